"""Numbers of the C interface (dnnl_types.h) that several modules name; they are the same in every oneDNN 3.x."""

FORWARD = 96  # dnnl_forward_inference
# Arguments of an execution.
SRC, SRC_1, WEIGHTS, BIAS, MEAN, VARIANCE, SCALE, SHIFT = 1, 2, 33, 41, 49, 50, 51, 52
DST, SCRATCHPAD, MULTIPLE_SRC, SCALES, ZERO_POINTS, POST_OP = 17, 80, 1024, 4096, 8192, 32768
# Algorithms.
LINEAR, BINARY_ADD, BINARY_MUL = 38, 131056, 131057
