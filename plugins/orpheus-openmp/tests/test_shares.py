"""How a layer is shared out among threads does not change its bits, whether the shares come out even or not."""

from __future__ import annotations

import numpy as np
import pytest

convolutions = pytest.importorskip("orpheus_openmp.conv", reason="orpheus-openmp is not installed")
strassen = pytest.importorskip("orpheus_openmp.strassen", reason="orpheus-openmp is not installed")

KERNELS = {
    "strassen": strassen.Strassen,
    "strassen2": strassen.Strassen2,
    "pointwise": convolutions.Pointwise,
    "depthwise": convolutions.Depthwise,
}


@pytest.mark.parametrize("size", [(4, 5), (9, 11), (14, 14), (17, 28), (40, 36)], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_every_number_of_threads_computes_the_same_bits(layers, name, batch, size):
    rng = np.random.default_rng(0)
    channels, filters = 9 * layers.block - 3, 11 * layers.block - 1
    x = rng.standard_normal((batch, channels, *size)).astype(np.float32)
    if name == "depthwise":
        filters, shape, attributes = channels, (channels, 1, 3, 3), {"group": channels, "pads": (1, 1, 1, 1)}
    else:
        shape, attributes = (filters, channels, 1, 1), {}
    w = rng.standard_normal(shape).astype(np.float32)

    def run(threads):
        problem = layers.problem(
            "Conv", [x, w], [(batch, filters, *size)], attributes, threads=threads,
            layouts=(layers.blocked,), out=(layers.blocked,), constants=(1,),
        )  # fmt: skip
        return layers.run(KERNELS[name], problem, [x, w])[0]

    alone = run(1)
    assert alone.any()
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(run(threads), alone)
