"""Signal processing."""

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

KERNELS: tuple[Kernel, ...] = (
    reference("DFT", "signal.fourier:dft"),
    reference("STFT", "signal.fourier:stft"),
    reference("HannWindow", "signal.window:hann_window"),
    reference("HammingWindow", "signal.window:hamming_window"),
    reference("BlackmanWindow", "signal.window:blackman_window"),
    reference("MelWeightMatrix", "signal.window:mel_weight_matrix"),
)
