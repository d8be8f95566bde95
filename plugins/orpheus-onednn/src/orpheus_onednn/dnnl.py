"""Numbers of the C interface (dnnl_types.h) that several modules name; they are the same in every oneDNN 3.x."""

FORWARD = 96  # dnnl_forward_inference
# Arguments of an execution.
SRC, SRC_1, SRC_2, DST, DST_1, DST_2 = 1, 2, 3, 17, 18, 19
WEIGHTS, WEIGHTS_1, BIAS, MEAN, VARIANCE, SCALE, SHIFT = 33, 34, 41, 49, 50, 51, 52
SCRATCHPAD, MULTIPLE_SRC, SCALES, ZERO_POINTS, POST_OP = 80, 1024, 4096, 8192, 32768
# Algorithms.
LINEAR, BINARY_ADD, BINARY_MUL = 38, 131056, 131057
