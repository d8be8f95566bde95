"""Reference kernels that move, select, create and count elements."""
