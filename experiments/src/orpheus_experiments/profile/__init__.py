"""Profiles: what each layer takes and how near it comes to what the machine can do."""
