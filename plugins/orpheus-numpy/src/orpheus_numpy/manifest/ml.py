"""ai.onnx.ml, and the optimizers of ai.onnx.preview.training."""

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

_TRAINING = "ai.onnx.preview.training"

KERNELS: tuple[Kernel, ...] = (
    reference("Adagrad", "ml.training_ops:adagrad", domain=_TRAINING),
    reference("Adam", "ml.training_ops:adam", domain=_TRAINING),
    reference("Momentum", "ml.training_ops:momentum", domain=_TRAINING),
)
