"""Aligned face crops -> probabilities, heatmaps and artifact boxes, through any network.

The detector's every forward goes through one callable, a `CropNetwork`, so that another runtime
can take the place of torch without the rest knowing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..model.heatmaps import ArtifactBox
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput

# Crops in one call of a network that leaves the other cores to further calls: as fast a crop as
# larger batches, and the cores end at about the same time.
CROPS_A_CORE = 4


class CropNetwork(Protocol):
    """What computes a network's answer on some runtime.

    Attributes:
        calls_at_once: how many calls may run side by side, each in a thread of its own. A
            runtime that spreads one call over all cores by itself says 1.
    """

    calls_at_once: int

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """The answer to a batch.

        Args:
            pixel_values: (B, 3, S, S) float32 on the CPU, as the image processor made them.

        Returns:
            `logits` (B, 2), `anchor_offsets` (B, 168, 4) and `anchor_logits` (B, 168, 2); the
            other fields may be left out.
        """


class TorchNetwork:
    """The model itself: channels-last, in half precision on a GPU.

    Args:
        model: moved to `device`, in eval mode.
        device: torch device.
    """

    def __init__(self, model: CaddmForDeepfakeDetection, device: torch.device):
        self.model = model.eval().to(device, memory_format=torch.channels_last)
        self.device = device
        self.calls_at_once = torch.get_num_threads() if device.type == "cpu" else 1

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        values = pixel_values.to(
            self.device, self.model.dtype, memory_format=torch.channels_last, non_blocking=True
        )
        # Ampere and later compute bfloat16, which cannot overflow, as fast as float16.
        on_gpu = self.device.type == "cuda"
        half = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float16
        with torch.autocast(self.device.type, half, enabled=on_gpu):
            return self.model(values)


@dataclass(frozen=True)
class CropScores:
    """What is known of some crops, in their order.

    Attributes:
        probabilities: calibrated, of "fake".
        uncalibrated: the same before calibration.
        heatmaps: (S, S) float16 in [0, 1] each.
        boxes: places marked on each crop.
    """

    probabilities: list[float] = field(default_factory=list)
    uncalibrated: list[float] = field(default_factory=list)
    heatmaps: list[np.ndarray] = field(default_factory=list)
    boxes: list[list[ArtifactBox]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[tuple]) -> "CropScores":
        """From what `rows` gives, in any order."""
        rows = list(rows)
        return cls(*map(list, zip(*rows, strict=True))) if rows else cls()

    def rows(self) -> Iterator[tuple[float, float, np.ndarray, list[ArtifactBox]]]:
        """Crop by crop."""
        return zip(self.probabilities, self.uncalibrated, self.heatmaps, self.boxes, strict=True)

    def extend(self, more: "CropScores") -> None:
        """Appends the scores of further crops."""
        self.probabilities.extend(more.probabilities)
        self.uncalibrated.extend(more.uncalibrated)
        self.heatmaps.extend(more.heatmaps)
        self.boxes.extend(more.boxes)


class CropScorer:
    """Scores batches of crops.

    Args:
        model: for its calibration.
        image_processor: the checkpoint's input contract.
        network: computes the model's answers.
        batch_size: most crops in one call.
    """

    def __init__(
        self,
        model: CaddmForDeepfakeDetection,
        image_processor: CaddmImageProcessor,
        network: CropNetwork,
        batch_size: int,
    ):
        self.model, self.image_processor, self.network = model, image_processor, network
        together = network.calls_at_once > 1
        self.crops_at_once = min(batch_size, CROPS_A_CORE) if together else batch_size

    @torch.inference_mode()
    def __call__(self, crops_rgb: list[np.ndarray]) -> CropScores:
        """The scores of at most `crops_at_once` (S, S, 3) uint8 crops."""
        output = self.network(self.image_processor.pixel_values(crops_rgb))
        # In double precision: single rounds what is surer than 17 in logits to 1, and
        # calibration would find nothing left to soften.
        logits = output.logits.float().cpu().double()
        heatmaps = self.model.artifact_heatmaps(output, self.image_processor.size)
        return CropScores(
            self.model.fake_probability(output).tolist(),
            logits.softmax(-1)[:, 1].tolist(),
            list(heatmaps.half().cpu().numpy()),
            self.model.artifact_boxes(output),
        )
