"""Train a small residual CNN on handwritten digits and export it to ONNX: ``digits/digits.onnx``.

    python examples/train_digits.py            # needs torch, scikit-learn, onnx and onnxscript

The data are scikit-learn's copy of the UCI digits: 1797 images of 8x8 pixels with values 0 to 16. A third is held
out, the same third every time, and written to ``digits/heldout.npz`` (``images`` uint8 (N, 8, 8), ``labels`` uint8
(N,)). The exported model takes ``input`` float32 (N, 1, 8, 8) with raw pixel values and gives ``logits`` (N, 10). Its
BatchNormalization is left unfused: folding it is the work of whoever runs the model.
"""

from __future__ import annotations

import io
import pathlib

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

FOLDER = pathlib.Path(__file__).resolve().parent / "digits"
SEED = 0
EPOCHS = 60


class Residual(nn.Module):
    """Two convolutions whose result is added to their input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same shape."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(x + self.bn2(self.conv2(y)))


class DigitNet(nn.Module):
    """28,410 parameters: stem, residual block, stride-2 convolution, residual block, mean, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.block1 = Residual(16)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.block2 = Residual(32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pixels (N, 1, 8, 8) from 0 to 16, to logits (N, 10)."""
        x = functional.relu(self.bn1(self.stem(x / 16)))
        x = functional.relu(self.bn2(self.down(self.block1(x))))
        x = self.block2(x)
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, held-out images, training labels, held-out labels; all uint8."""
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    training, heldout, targets, answers = train_test_split(
        images, labels, test_size=1 / 3, random_state=SEED, stratify=labels
    )
    return training, heldout, targets, answers


def train(model: DigitNet, images: np.ndarray, labels: np.ndarray) -> None:
    """Adam with one cycle of the learning rate, images shifted by up to one pixel; leaves eval mode."""
    x = torch.from_numpy(images[:, None].astype(np.float32))
    y = torch.from_numpy(labels.astype(np.int64))
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * len(batches))
    model.train()
    for _ in range(EPOCHS):
        for pixels, target in batches:
            down, right = torch.randint(-1, 2, (2,)).tolist()
            shifted = torch.roll(pixels, (down, right), (2, 3))
            loss = functional.cross_entropy(model(shifted), target, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def export(model: DigitNet) -> onnx.ModelProto:
    """The model as ONNX with BatchNormalization as it was trained, a batch axis ``N``, and nothing but the network."""
    buffer = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(2, 1, 8, 8),),
        buffer,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
        opset_version=17,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )
    exported = onnx.load_from_string(buffer.getvalue())
    # Traces of the exporting machine have no place in a model.
    exported.ClearField("doc_string")
    exported.ClearField("metadata_props")
    for node in exported.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    onnx.checker.check_model(exported, full_check=True)
    return exported


def main() -> None:
    """Train, report the held-out accuracy, write the model and the held-out digits."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    images, heldout, labels, answers = load()
    model = DigitNet()
    train(model, images, labels)
    with torch.no_grad():
        guesses = model(torch.from_numpy(heldout[:, None].astype(np.float32))).argmax(1).numpy()
    print(f"held-out accuracy: {(guesses == answers).mean():.2%} of {len(answers)} digits")
    FOLDER.mkdir(exist_ok=True)
    onnx.save(export(model), FOLDER / "digits.onnx")
    np.savez_compressed(FOLDER / "heldout.npz", images=heldout, labels=answers)


if __name__ == "__main__":
    main()
