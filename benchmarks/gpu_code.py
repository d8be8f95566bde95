"""What the inner loops of orpheus-cuda's products are compiled to, without a GPU: instructions by kind for each tile.

usage: python benchmarks/gpu_code.py [--arch sm_90]

Needs NVRTC (of CuPy) and nvdisasm: pip install cupy-cuda13x nvidia-cuda-nvrtc nvidia-cuda-nvdisasm. A loop is what lies
before a jump back; the one with most products is told. LDL and STL would be registers that were spilled.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from orpheus_cuda import programs, tiles
from orpheus_cuda.expressions import act

_PRODUCTS = ("FFMA", "HMMA")


def disassembler() -> str:
    """nvdisasm, on the path or of its wheel."""
    wheels = (p for folder in sys.path for p in Path(folder).glob("nvidia/*/bin/nvdisasm"))
    found = shutil.which("nvdisasm") or next(map(str, wheels), None)
    if found is None:
        sys.exit("nvdisasm is not there: pip install nvidia-cuda-nvdisasm")
    return found


def loop(code: bytes, tool: str) -> Counter[str]:
    """Instructions of the loop with most products, by their first names."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        done = subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True)
    labels: dict[str, int] = {}
    instructions: list[str] = []
    best: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = len(instructions)
        if instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?(.*?);", line):
            instructions.append(instruction[1])
            back = re.search(r"BRA.*`\((\.L_x_\d+)\)", instruction[1])
            if back and back[1] in labels:
                names = (i.split()[0].split(".")[0] for i in instructions[labels[back[1]] :])
                best = max(best, Counter(names), key=lambda c: sum(c[p] for p in _PRODUCTS))
    return best


def main() -> None:
    """A line for each tile and kind of window."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="sm_90")
    arch, tool = parser.parse_args().arch, disassembler()
    print(
        "| type | tile | threads | window | instructions | products | spills |\n|---|---|---|---|---|---|---|"
    )
    for tile in (*tiles.PLAIN, *tiles.TENSOR):
        kind = {"T": "half_t", "VEC": 8, "MMA": "mma_half"} if tile.tensor else {"T": "float", "VEC": 4}
        for window, told in ((1, "one element"), (2, "others")):
            words = {
                **kind, **tile.words(227 << 10), "ACT": act(""), "LINEAR": 1, "CHUNK_A": 16, "CHUNK_B": 16,
                "WINDOW": window, "WHOLE": 1, "TOGETHER": 1, "CLUSTER": 1,
            }  # fmt: skip
            found = loop(programs.build(programs.text(programs.define("product.cu", **words)), arch), tool)
            products, spills = sum(found[p] for p in _PRODUCTS), found["LDL"] + found["STL"]
            print(
                f"| {'float16' if tile.tensor else 'float32'} | {tile.rows} x {tile.columns} | {tile.threads} | {told}"
                f" | {found.total()} | {products} | {spills} |"
            )


if __name__ == "__main__":
    main()
