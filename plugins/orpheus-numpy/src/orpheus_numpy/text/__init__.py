"""Reference kernels of string tensors: numpy object arrays of str."""
