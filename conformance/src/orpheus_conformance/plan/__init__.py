"""The plan tier: whole graphs through the executor, where the other tiers judge one kernel at a time."""
