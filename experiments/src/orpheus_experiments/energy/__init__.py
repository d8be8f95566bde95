"""Meters of energy: counters that the system lets one read, never an estimate."""

from __future__ import annotations
