"""Small models that ask for huge work while they are simplified and planned: bounded at load, whatever they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("orpheus_numpy")

BOMBS = {
    "ConstantOfShape": "c = Constant <value_ints: ints = [1099511627776]> ()\n y = ConstantOfShape (c)",
    "Expand": "c = Constant <value_ints: ints = [1048576, 1048576]> ()\n y = Expand (x, c)",
    "Tile": "c = Constant <value_ints: ints = [1099511627776]> ()\n y = Tile (x, c)",
    "Range": """a = Constant <value_int: int = 0> ()
        b = Constant <value_int: int = 1099511627776> ()
        s = Constant <value_int: int = 1> ()
        r = Range (a, b, s)
        y = Cast <to: int = 1> (r)""",
    "Pad": "c = Constant <value_ints: ints = [0, 1099511627776]> ()\n y = Pad (x, c)",
    "Resize": """e = Constant <value_floats: floats = [1e12]> ()
        z = Constant <value_floats: floats = [0.0]> ()
        y = Resize <mode: string = "nearest"> (x, , e)""",
    "OneHot": """i = Constant <value_ints: ints = [1, 2]> ()
        d = Constant <value_int: int = 1099511627776> ()
        v = Constant <value_floats: floats = [0.0, 1.0]> ()
        y = OneHot (i, d, v)""",
    "doubling": "\n".join(
        ["v0 = Constant <value_floats: floats = [1.0, 2.0]> ()"]
        + [f"v{i + 1} = Concat <axis: int = 0> (v{i}, v{i})" for i in range(40)]
        + ["y = Identity (v40)"]
    ),
    "Split": "y, z = Split <axis: int = 0, num_outputs: int = 1000000> (x)",
    "Einsum": 'y = Einsum <equation: string = "a,b,c,d,e,f->abcdef"> (x, x, x, x, x, x)',
}
SCRIPT = """
import resource, sys, time
import onnx.parser
import orpheus_core as orpheus
orpheus.InferenceSession  # imports are not the model's doing
text = sys.stdin.read()
model = onnx.parser.parse_model(text).SerializeToString()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    orpheus.InferenceSession(model, providers=["numpy"])
    outcome = "loaded"
except orpheus.OrpheusError as error:
    outcome = type(error).__name__
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(outcome, time.perf_counter() - start, grown // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory with the resource module")
@pytest.mark.parametrize("name", BOMBS)
def test_loading_is_bounded(name: str) -> None:
    text = f'<ir_version: 10, opset_import: ["" : 21]>\ng (float[4] x) => (float[M] y) {{\n{BOMBS[name]}\n}}'
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    outcome, seconds, grown = done.stdout.split()
    assert outcome in ("loaded", "LimitError", "ModelError", "UnsupportedModelError")
    assert float(seconds) < 2
    assert int(grown) < 256
