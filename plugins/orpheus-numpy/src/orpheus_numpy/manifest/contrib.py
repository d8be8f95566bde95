from orpheus_core.plugin import Kernel

KERNELS: tuple[Kernel, ...] = ()
