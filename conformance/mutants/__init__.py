"""Backends that try the suite: mutants, each with one bug that it must find, and unusual ones that it must pass.

:mod:`.plain` holds short right kernels; a mutant is one of them with one line changed. Not part of the wheel.
"""
