"""Recurrent operators."""

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

KERNELS: tuple[Kernel, ...] = (
    reference("RNN", "recurrent.cells:rnn"),
    reference("GRU", "recurrent.cells:gru"),
    reference("LSTM", "recurrent.cells:lstm"),
)
