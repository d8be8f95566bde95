"""The circumstances of a measurement: the machine, what else it does, and everything whose version matters."""

from __future__ import annotations
