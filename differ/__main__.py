"""``python -m differ``."""

import sys

from .cli import main

sys.exit(main())
