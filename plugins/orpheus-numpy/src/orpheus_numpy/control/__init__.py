"""Reference kernels of control flow, sequences and optionals."""
