"""Kill a sweep at random moments, go on with it, and see that nothing is lost: ``python scripts/kills.py [COUNT]``.

The sweep is the command itself, on a small network and the reference backend, in a temporary folder. After each
``kill -9`` of the sweep every record that was there has to be there, byte for byte, and every file has to be whole.
At the end no trial may be missing, and none that was kept may have been measured again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PLAN = """
[grid]
models = ["small.onnx"]
engines = ["numpy"]
threads = [{threads}]
[settings]
processes = 1
min_time = 0.02
min_runs = 3
warm_limit = 0.05
metrics = ["latency"]
"""
_COMMAND = "import sys; from orpheus_core.cli import main; sys.exit(main())"


def main() -> int:
    """Kill, go on, look; 1 when something was lost."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    trials = count  # one is done in about the time between two kills
    chance = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="orpheus-kills-") as name:
        place = Path(name)
        _write_model(place / "small.onnx")
        threads = ", ".join(map(str, range(1, trials + 1)))
        (place / "plan.toml").write_text(_PLAN.format(threads=threads))
        kept: dict[str, bytes] = {}
        kills = 0
        while kills < count:
            process = _sweep(place)
            time.sleep(chance.uniform(0.3, 6.0))
            if process.poll() is not None:
                break
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            now = _records(place)
            lost = [file for file in kept if now.get(file) != kept[file]]
            if lost:
                print(f"after kill {kills}: lost or changed: {', '.join(lost)}")
                return 1
            kept = now
            print(f"\r{kills} kills, {len(kept)} of {trials} trials are kept", end="", file=sys.stderr)
        code = _sweep(place).wait()
        now = _records(place)
        same = all(now.get(file) == kept[file] for file in kept)
        left = [p.name for p in (place / "out").rglob("*.part")]
        print(f"\n{kills} kills; {len(now)} of {trials} trials; what was kept is {'whole' if same else 'CHANGED'}; "
              f"left over: {left or 'nothing'}; exit code {code}")  # fmt: skip
        return 0 if len(now) == trials and same and not left and code == 0 else 1


def _sweep(place: Path) -> subprocess.Popen[bytes]:
    given = ["sweep", "plan.toml", "-o", "out", "--resume", "--no-report"]
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *given],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _records(place: Path) -> dict[str, bytes]:
    """All records that are there; ValueError for one that is torn."""
    import json

    found = {path.name: path.read_bytes() for path in (place / "out" / "trials").glob("*.json")}
    for text in found.values():
        json.loads(text)
    return found


def _write_model(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    shape = [1, 4, 8, 8]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "small", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)


if __name__ == "__main__":
    sys.exit(main())
