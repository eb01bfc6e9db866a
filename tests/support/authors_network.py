"""The authors' network stated a second time, to hold the port against.

Two things are here. The rule that makes a checkpoint out of names and shapes (the figures in
`parity/` were computed with such checkpoints in the original implementation), and a plain
functional statement of the published architecture in terms of the authors' tensor names. The
statement shares no code with the package, so that in float64 an agreement to many digits proves
that converter and model together are the authors' network.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PARITY = Path(__file__).parents[1] / "parity"
SIZE = 224


def parity_figures(name: str) -> dict:
    return json.loads((PARITY / f"{name}.json").read_text())


def rule_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        is_weight = name.endswith("weight")
        values = rng.uniform(0.8, 1.2, shape) if is_weight else 0.1 * rng.standard_normal(shape)
    else:
        gain = {"base_model.conv1.weight": 1 / 64, "fc.weight": 0.01}.get(name, 1)
        values = gain * rng.standard_normal(shape) * (1.5 / np.prod(shape[1:])) ** 0.5
    return torch.from_numpy(np.asarray(values, np.float32))


def rule_checkpoint(keys: dict[str, list[int]], prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: rule_tensor(name, tuple(shape)) for name, shape in keys.items()}


def rule_image(seed: int) -> np.ndarray:
    """(224, 224, 3) uint8 BGR: six smooth blobs a channel."""
    rng = np.random.Generator(np.random.PCG64(seed))
    ticks = np.arange(SIZE) / (SIZE - 1)
    x, y = np.meshgrid(ticks, ticks)
    image = np.zeros((SIZE, SIZE, 3))
    for channel in range(3):
        for _ in range(6):
            a, b = rng.uniform(0, 1), rng.uniform(0, 1)
            s, w = rng.uniform(0.05, 0.4), rng.uniform(40, 160)
            image[..., channel] += w * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class AuthorsNetwork:
    """The published forward pass over an authors' state dict, in float64."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}

    def __call__(self, images_bgr: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 224, 224, 3) uint8 -> logits (B, 2), offsets (B, 168, 4), anchor logits."""
        x = torch.from_numpy(images_bgr).double().permute(0, 3, 1, 2)
        is_resnet = "base_model.conv1.weight" in self.tensors
        features = self._resnet(x) if is_resnet else self._efficientnet(x)
        offsets, logits, last = self._artifact_module(features)
        pooled = features.mean(dim=(2, 3)) + last.flatten(1)
        return F.linear(pooled, self["fc.weight"], self["fc.bias"]), offsets, logits

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def _norm(self, x: Tensor, name: str, eps: float = 1e-5) -> Tensor:
        scale = self[f"{name}.weight"] / torch.sqrt(self[f"{name}.running_var"] + eps)
        shift = self[f"{name}.bias"] - self[f"{name}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def _conv(self, x: Tensor, name: str, **options) -> Tensor:
        return F.conv2d(x, self[f"{name}.weight"], self.tensors.get(f"{name}.bias"), **options)

    def _resnet(self, x: Tensor) -> Tensor:
        stem = self._conv(x, "base_model.conv1", stride=2, padding=3)
        x = F.relu(self._norm(stem, "base_model.bn1"))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for layer, blocks in enumerate((3, 4, 6, 3), start=1):
            for block in range(blocks):
                name = f"base_model.layer{layer}.{block}"
                stride = 2 if layer > 1 and block == 0 else 1
                out = self._conv(x, f"{name}.conv1", stride=stride, padding=1)
                out = self._conv(F.relu(self._norm(out, f"{name}.bn1")), f"{name}.conv2", padding=1)
                if f"{name}.downsample.0.weight" in self.tensors:
                    x = self._conv(x, f"{name}.downsample.0", stride=stride)
                    x = self._norm(x, f"{name}.downsample.1")
                x = F.relu(x + self._norm(out, f"{name}.bn2"))
        return x

    def _same_conv(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        """TensorFlow's "same" padding: what is missing, the odd pixel right and below."""
        kernel = self[f"{name}.weight"].shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = F.pad(x, [total // 2, total - total // 2] * 2)
        return self._conv(x, name, stride=stride, groups=groups)

    def _efficientnet(self, x: Tensor) -> Tensor:
        def swish(values: Tensor) -> Tensor:
            return values * torch.sigmoid(values)

        x = self._same_conv(x, "base_model._conv_stem", stride=2)
        x = swish(self._norm(x, "base_model._bn0", 1e-3))
        names = {name.split(".")[2] for name in self.tensors if "._blocks." in name}
        channels_before = x.shape[1]
        previous_width = None
        for number in range(len(names)):
            name = f"base_model._blocks.{number}"
            inputs = x
            if f"{name}._expand_conv.weight" in self.tensors:
                x = swish(self._norm(self._conv(x, f"{name}._expand_conv"), f"{name}._bn0", 1e-3))
            width = self[f"{name}._project_conv.weight"].shape[0]
            # A stage starts where the width changes; the 2nd, 3rd, 4th and 6th halve the map.
            starts_stage = width != previous_width
            stride = 2 if starts_stage and self._halves(width) else 1
            x = self._same_conv(x, f"{name}._depthwise_conv", stride=stride, groups=x.shape[1])
            x = swish(self._norm(x, f"{name}._bn1", 1e-3))
            gate = self._conv(x.mean(dim=(2, 3), keepdim=True), f"{name}._se_reduce")
            x = torch.sigmoid(self._conv(swish(gate), f"{name}._se_expand")) * x
            x = self._norm(self._conv(x, f"{name}._project_conv"), f"{name}._bn2", 1e-3)
            if stride == 1 and inputs.shape[1] == x.shape[1]:
                x = x + inputs
            previous_width = width
        assert channels_before == self["base_model._bn0.weight"].numel()
        x = self._conv(x, "base_model._conv_head")
        return swish(self._norm(x, "base_model._bn1", 1e-3))

    def _halves(self, width: int) -> bool:
        widths = []
        for number in range(len(self.tensors)):
            tensor = self.tensors.get(f"base_model._blocks.{number}._project_conv.weight")
            if tensor is None:
                break
            if not widths or widths[-1] != tensor.shape[0]:
                widths.append(tensor.shape[0])
        return widths.index(width) in (1, 2, 3, 5)

    def _artifact_module(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        offsets, logits = [], []
        for level in range(4):
            name = f"adm.adm_extra_layers.{level}"
            if level < 3:
                name += ".0"
                out = F.relu(self._norm(self._conv(x, f"{name}.conv1"), f"{name}.bn1"))
                out = self._norm(self._conv(out, f"{name}.conv2", padding=1), f"{name}.bn2")
                shortcut = self._conv(x, f"{name}.downsample.0")
                x = F.relu(out + self._norm(shortcut, f"{name}.downsample.1"))
            else:
                out = self._conv(F.relu(self._conv(x, f"{name}.conv1")), f"{name}.conv2")
                x = F.relu(out + self._conv(x, f"{name}.downsample"))
            heads = "adm.multi_scale_detection_module"
            padding = 1 if level < 3 else 0
            for head, values, found in (("ms_dets", 4, offsets), ("ms_cls", 2, logits)):
                rows = self._conv(x, f"{heads}.{head}.{level}", padding=padding)
                found.append(rows.permute(0, 2, 3, 1).reshape(len(x), -1, values))
        return torch.cat(offsets, 1), torch.cat(logits, 1), x
