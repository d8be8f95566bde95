"""ImageDecoder on images that this file encodes, losslessly, so that every pixel is known."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Steps
from orpheus_core.types import Array


def _pixels(height: int, width: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _png(pixels: Array) -> bytes:
    height, width, _ = pixels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _bmp(pixels: Array) -> bytes:
    height, width, _ = pixels.shape
    rows = b"".join(row[:, ::-1].tobytes() + b"\0" * (-3 * width % 4) for row in pixels[::-1])
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + info + rows


def _pnm(pixels: Array) -> bytes:
    return b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


@space("ImageDecoder", Steps(1, "weights of the grey value are rounded"))
def image_decoder(d: Draw) -> Layer:
    """PNG, BMP and PNM; what is no image at all gives an empty one."""
    encode = d.choose((_png, _bmp, _pnm))
    content = encode(_pixels(d.choose((1, 2, 5)), d.choose((1, 3, 4)), d.integer(0, 9)))
    stream = Operand("uint8", (len(content),), "normal", tuple(content))
    return Layer((stream,), {"pixel_format": d.attribute("pixel_format", (OMIT, "RGB", "BGR", "Grayscale"))})
