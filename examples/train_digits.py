"""Trains the example network on scikit-learn's handwritten digits and writes digits.onnx and digits.npz.

pip install --constraint constraints.txt '.[finetune,test]' scikit-learn
python examples/train_digits.py
"""

import logging
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

HERE = Path(__file__).parent
TRAINED_ON = 1197  # the first of the file; neighbours are by the same hand, which a random split would put on both sides
SIDE = 32  # pixels
MEAN, SCALE = 80.0, 96.0  # of 0..255
EPOCHS = 100
BATCH = 64
SEED = 0


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All 1,797 digits: (n, 8, 8, 1) in 0..255, and what they show."""
    pixels, labels = load_digits(return_X_y=True)
    return np.rint(pixels.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8), labels.astype(np.int64)


def enlarge(images: NDArray[np.uint8]) -> Tensor:
    """(n, 8, 8, 1) to the network's input (n, 1, SIDE, SIDE), as `preprocessing` of recipe.json says."""
    large = [np.asarray(Image.fromarray(image[..., 0]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for image in images]
    return (torch.tensor(np.stack(large), dtype=torch.float32)[:, None] - MEAN) / SCALE


class Unit(nn.Module):
    """Convolution, batch normalisation and, unless `linear`, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, linear: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x if self.linear else functional.relu(x)

    def fold(self) -> None:
        """Multiply the normalisation into the convolution."""
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Residual(nn.Module):
    """ReLU(x + second(first(x)))."""

    def __init__(self, first: Unit, second: Unit):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def network() -> nn.Sequential:
    """(n, 1, 32, 32) to (n, 10) logits: plain, residual, depthwise and pointwise convolutions, 71 thousand weights."""
    parts: dict[str, nn.Module] = {
        "stem": Unit(1, 24, stride=2),  # 16 x 16
        "residual1": Residual(Unit(24, 24), Unit(24, 24, linear=True)),
        "depthwise1": Unit(24, 24, stride=2, groups=24),  # 8 x 8
        "pointwise1": Unit(24, 48, kernel=1),
        "residual2": Residual(Unit(48, 48), Unit(48, 48, linear=True)),
        "depthwise2": Unit(48, 48, stride=2, groups=48),  # 4 x 4
        "pointwise2": Unit(48, 96, kernel=1),
        "residual3": Residual(Unit(96, 96, groups=96), Unit(96, 96, kernel=1, linear=True)),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(0.2),
        "classifier": nn.Linear(96, 10),
    }
    return nn.Sequential(OrderedDict(parts))


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, shear, scale and shift every image a little."""
    count = len(images)

    def spread(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle, shear, scale = spread(0.25), spread(0.25), 1 + spread(0.15)
    row_x = torch.stack([scale * angle.cos(), scale * (shear - angle.sin()), spread(0.15)], 1)
    row_y = torch.stack([scale * angle.sin(), scale * angle.cos(), spread(0.15)], 1)
    grid = functional.affine_grid(torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def train(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Cross-entropy with smoothed labels, SGD, one cycle of the learning rate."""
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=EPOCHS, steps_per_epoch=steps)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            logits = model(distort(images[batch], generator))
            loss = functional.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        logging.info("epoch %d: loss %.3f", epoch + 1, loss.item())


def export(model: nn.Module, path: Path) -> None:
    """ONNX with free batch size and the normalisations folded in."""
    for module in model.modules():
        if isinstance(module, Unit):
            module.fold()
    axes = {"image": {0: "N"}, "logits": {0: "N"}}
    names = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(model, torch.zeros(1, 1, SIDE, SIDE), path, dynamo=False, dynamic_axes=axes, **names)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # one order of summation
    images, labels = digits()
    inputs, targets = enlarge(images), torch.tensor(labels)
    model = network()
    train(model, inputs[:TRAINED_ON], targets[:TRAINED_ON])
    model.eval()
    with torch.inference_mode():
        right = (model(inputs[TRAINED_ON:]).argmax(1) == targets[TRAINED_ON:]).float().mean().item()
    logging.info("%.2f %% of the last %d digits", 100 * right, len(labels) - TRAINED_ON)
    export(model, HERE / "digits.onnx")
    np.savez_compressed(HERE / "digits.npz", x=images[TRAINED_ON:], y=labels[TRAINED_ON:].astype(np.uint8))


if __name__ == "__main__":
    main()
