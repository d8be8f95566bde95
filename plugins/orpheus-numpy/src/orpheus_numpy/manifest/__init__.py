"""What orpheus-numpy implements, as data. Importing this imports no kernel and not the heavy parts of numpy's users."""

from orpheus_numpy.manifest import contrib, control, math, ml, nn, quant, recurrent, signal, tensor

KERNELS = (
    *math.KERNELS,
    *nn.KERNELS,
    *recurrent.KERNELS,
    *tensor.KERNELS,
    *control.KERNELS,
    *signal.KERNELS,
    *quant.KERNELS,
    *ml.KERNELS,
    *contrib.KERNELS,
)
