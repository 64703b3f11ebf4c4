"""The start of the .pyz, which is the package and this file in one archive."""

import sys

from differ.__main__ import command

sys.exit(command())
