"""Element-wise operators, activations, reductions, casts and random numbers."""
