"""Neural-network operators."""

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

_ORPHEUS = "ai.orpheus"
_SHAPE = "orpheus_numpy.nn.conv_shape:"

KERNELS: tuple[Kernel, ...] = (
    Kernel(
        op="Conv", name="im2col", prepare="orpheus_numpy.nn.conv:Im2col", cost=_SHAPE + "im2col_cost",
        rank=10, overlap=True,
    ),
    Kernel(
        op="Conv", name="direct", run="orpheus_numpy.nn.conv_direct:direct", cost=_SHAPE + "direct_cost",
        rank=20, writes_out=True,
    ),
    Kernel(
        op="FusedConv", name="im2col", domain=_ORPHEUS, prepare="orpheus_numpy.nn.conv:Im2col",
        cost=_SHAPE + "im2col_cost", rank=10, overlap=True,
    ),
    Kernel(
        op="FusedConv", name="direct", domain=_ORPHEUS, run="orpheus_numpy.nn.conv_direct:fused_direct",
        cost=_SHAPE + "direct_cost", rank=20, writes_out=True,
    ),
    reference("ConvTranspose", "nn.conv_transpose:conv_transpose"),
    reference("Col2Im", "nn.col2im:col2im"),
    reference("MaxPool", "nn.pool:max_pool", takes_problem=True, writes_out=True),
    reference("AveragePool", "nn.pool:average_pool", writes_out=True),
    reference("LpPool", "nn.pool:lp_pool", writes_out=True),
    reference("GlobalAveragePool", "nn.pool:global_average_pool"),
    reference("GlobalMaxPool", "nn.pool:global_max_pool"),
    reference("GlobalLpPool", "nn.pool:global_lp_pool"),
    reference("MaxUnpool", "nn.pool:max_unpool"),
    reference("BatchNormalization", "nn.normalization:batch_normalization", writes_out=True, inplace=((0, 0),)),
    reference("InstanceNormalization", "nn.normalization:instance_normalization"),
    reference("LayerNormalization", "nn.normalization:layer_normalization"),
    reference("RMSNormalization", "nn.normalization:rms_normalization"),
    reference("GroupNormalization", "nn.normalization:group_normalization"),
    reference("MeanVarianceNormalization", "nn.normalization:mean_variance_normalization"),
    reference("LpNormalization", "nn.normalization:lp_normalization"),
    reference("LRN", "nn.normalization:lrn"),
    reference("Gemm", "nn.linear:gemm", writes_out=True),
    reference("FusedGemm", "nn.linear:fused_gemm", domain=_ORPHEUS, writes_out=True),
    reference("MatMul", "nn.linear:matmul", writes_out=True),
    reference("FusedMatMul", "nn.linear:fused_matmul", domain=_ORPHEUS, writes_out=True),
    reference("Einsum", "nn.linear:einsum"),
    reference("ScaleShift", "nn.normalization:scale_shift", domain=_ORPHEUS, writes_out=True, inplace=((0, 0),)),
    reference("Attention", "nn.attention:attention"),
    reference("FlexAttention", "nn.attention:flex_attention", domain="ai.onnx.preview"),
    reference("LinearAttention", "nn.sequence_mixing:linear_attention"),
    reference("RotaryEmbedding", "nn.sequence_mixing:rotary_embedding"),
    reference("CausalConvWithState", "nn.sequence_mixing:causal_conv_with_state"),
    reference("DeformConv", "nn.deform_conv:deform_conv"),
    reference("DepthToSpace", "nn.rearrange:depth_to_space"),
    reference("SpaceToDepth", "nn.rearrange:space_to_depth"),
    reference("AffineGrid", "nn.rearrange:affine_grid"),
    reference("NegativeLogLikelihoodLoss", "nn.loss:negative_log_likelihood_loss"),
    reference("SoftmaxCrossEntropyLoss", "nn.loss:softmax_cross_entropy_loss"),
    reference("ImageDecoder", "nn.image:image_decoder"),
    reference("Resize", "nn.resize:resize"),
    reference("GridSample", "nn.grid_sample:grid_sample"),
    reference("RoiAlign", "nn.roi:roi_align"),
    reference("MaxRoiPool", "nn.roi:max_roi_pool"),
)  # fmt: skip
