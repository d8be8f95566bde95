"""A module that takes the process down while it is imported, as a shared library with a bad constructor does."""

import os

os.abort()
