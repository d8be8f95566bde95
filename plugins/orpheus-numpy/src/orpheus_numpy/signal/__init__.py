"""Reference kernels of signal processing."""
