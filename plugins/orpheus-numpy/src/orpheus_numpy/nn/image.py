"""ImageDecoder, by Pillow, which is imported only when the operator runs.

Source: https://onnx.ai/onnx/operators/onnx__ImageDecoder.html
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from orpheus_core.errors import KernelError, ModelError
from orpheus_core.types import Array

_MODES = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}
_SUFFIXES = ("BMP", "JPEG", "JPEG2000", "TIFF", "PNG", "WEBP", "PPM")


def image_decoder(encoded_stream: Array, *, pixel_format: str = "RGB") -> Array:
    """ImageDecoder: bytes (uint8, 1-D) -> image [H, W, C] (uint8); [0, 0, 0]-shaped when they cannot be decoded.

    Raises KernelError when Pillow is absent and ModelError for an unknown pixel_format.
    """
    if pixel_format not in _MODES:
        raise ModelError(
            f"ImageDecoder: pixel_format must be one of {', '.join(_MODES)}, got {pixel_format!r}"
        )
    try:
        from PIL import Image  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise KernelError("ImageDecoder needs Pillow, which is not installed: pip install pillow") from None
    try:
        with Image.open(io.BytesIO(encoded_stream.tobytes()), formats=_SUFFIXES) as image:
            pixels: Any = np.asarray(image.convert(_MODES[pixel_format]))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.empty((0, 0, 0), np.uint8)
    if pixel_format == "Grayscale":
        return np.array(pixels[:, :, None])
    return np.array(pixels[:, :, ::-1] if pixel_format == "BGR" else pixels)
