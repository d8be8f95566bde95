"""The main job, on a machine with Python alone: a trained model and a zoo network, every backend side by side.

    python3 scripts/demo.py

Sets up ``.venv`` when there is none. The C++ backend is built where there is a compiler, else a row says what to
install. Prints the accuracy of the digits model on held-out digits, then a table of
time, memory, load time and error for it and for ResNet-18. Backends that are not installed or not usable here are
named with the reason, not failed on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from environment import COMPILED, ROOT, build, ensure

#: The choice of kernels within one backend is a comparison too, so that there is one with numpy alone.
VARIANTS = "numpy,numpy:Conv/direct"
NETWORK = "resnet-18"


def step(title: str, *command: str) -> None:
    """Run one step of the demo; end the demo with its exit code when it fails."""
    print(f"\n== {title}", flush=True)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def main() -> None:
    """Every step of the main job in turn."""
    python = str(ensure())
    orpheus = (python, "-m", "orpheus_core")
    zoo = Path(".venv") / "zoo"
    (ROOT / zoo).mkdir(exist_ok=True)
    network = str(zoo / f"{NETWORK}.onnx")
    step("backends", *orpheus, "backends")
    built = []
    for name in COMPILED:
        reason = build(name)
        if reason is None:
            built.append(name)
        else:
            print(f"{name}: not built, {reason}")
    step("accuracy of the digits model", python, "examples/digits_accuracy.py")
    step("digits: every backend", *orpheus, "compare", "examples/digits/digits.onnx")
    step(f"{NETWORK} from the zoo", *orpheus, "zoo", NETWORK, "--raw", "-o", network)
    step(f"{NETWORK}: what simplification does", *orpheus, "inspect", network)
    variants = ",".join((*built, VARIANTS))
    step(f"{NETWORK}: implementations of convolution", *orpheus, "compare", network, "-b", variants)


if __name__ == "__main__":
    main()
