"""The conformance suite: what judges backends.

Importing this loads nothing, since every pytest run of an environment does so to see the suite's options.
"""
