"""Kernels of the neural-network operators: convolution, pooling, normalization, attention, resizing."""
