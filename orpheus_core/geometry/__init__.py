"""Where a layer's elements lie: windows and strides, worked out for whoever writes kernels."""
