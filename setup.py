"""What setup.cfg cannot say: the part that is compiled, where there is a compiler (differ/finder.py does without)."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("differ._suspects", ["differ/_suspects.c"], optional=True)])
