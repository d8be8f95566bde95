"""Accuracy of the digits model on held-out digits, with every backend that is ready here.

    python examples/digits_accuracy.py

The model and the digits are those that ``train_digits.py`` writes. Every backend must recognize the same digits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import orpheus_core as orpheus

FOLDER = Path(__file__).resolve().parent / "digits"


def main() -> int:
    """Print a line for each backend; 1 when two backends disagree on a digit."""
    heldout = np.load(FOLDER / "heldout.npz")
    images, labels = heldout["images"][:, None].astype(np.float32), heldout["labels"]
    answers = {}
    for row in orpheus.backends():
        if row.kind == "extension":
            continue
        if not row.ready:
            print(f"{row.name}: {row.status}: {row.reason}")
            continue
        session = orpheus.InferenceSession(FOLDER / "digits.onnx", providers=[row.name])
        (logits,) = session.run(None, {"input": images})
        answers[row.name] = logits.argmax(axis=1)
        right = int((answers[row.name] == labels).sum())
        print(f"{row.name}: {right / len(labels):.2%} ({right} of {len(labels)} held-out digits)")
    if not answers:
        print("no backend is ready; try: pip install orpheus-numpy", file=sys.stderr)
        return 1
    first, *others = answers
    differing = [name for name in others if (answers[name] != answers[first]).any()]
    for name in differing:
        print(f"{name} recognizes other digits than {first}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
