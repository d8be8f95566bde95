"""Tiles among which measurements choose."""

#: What follows a kernel's name, and which of the tiles, in order of modelled time (tiles.py), it takes.
CHOICES = {"": 0, "_2nd": 1, "_3rd": 2}
