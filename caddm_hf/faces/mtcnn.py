"""Runs MTCNN's three networks on a batch of frames of one size.

The networks, their weights and the box arithmetic are facenet-pytorch's. Two parts that took most
of its time are replaced: the computation of the networks' input pixels, and PReLU with pooling.
The pyramid's levels and the candidates' windows are averaged from one summed-area table a frame,
in integers and for all windows at once, and the networks run channels-last. Boxes, points and
confidences equal those of facenet-pytorch's `detect_face`, up to the rounding of float32.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import (
    batched_nms_numpy,
    bbreg,
    generateBoundingBox,
    pad,
    rerec,
)
from torch import Tensor, nn
from torchvision.ops import batched_nms

# The smallest face that is searched for, and the windows of the three networks, in pixels.
SMALLEST_FACE_PX = 20
FIRST_WINDOW_PX = 12
SECOND_WINDOW_PX = 24
THIRD_WINDOW_PX = 48
CHANNELS = 3
# MTCNN's thresholds of intersection over union, above which the weaker box is dropped.
LEVEL_OVERLAP = 0.5
OVERLAP = 0.7
# Batch sizes. On a CPU the values between two layers should fit into a core's cache: with batches
# several times as large, each window takes almost twice the time.
FRAMES_AT_ONCE = 1
SECOND_WINDOWS_AT_ONCE = 64
THIRD_WINDOWS_AT_ONCE = 16
AT_ONCE_ON_GPU = 512


class MtcnnCascade:
    """Finds faces in frames of one size.

    Args:
        device: torch device.
    """

    def __init__(self, device: torch.device):
        self.device = device
        networks = MTCNN(device=device).eval().to(memory_format=torch.channels_last)
        self._first, self._second, self._third = networks.pnet, networks.rnet, networks.onet
        self._thresholds, self._factor = networks.thresholds, networks.factor

    def leaves_out(self, smallest_px: float) -> bool:
        """Whether a search from this size on has fewer pyramid levels than a full search."""
        return smallest_px >= SMALLEST_FACE_PX / self._factor

    @torch.inference_mode()
    def __call__(
        self, frames_rgb: np.ndarray, smallest_px: float = SMALLEST_FACE_PX
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the faces of each frame.

        Args:
            frames_rgb: (N, H, W, 3) uint8.
            smallest_px: skip pyramid levels whose window is smaller than this, except the largest
                such level. Faces of at least twice this size get the same boxes as in a full
                search.

        Returns:
            for each frame (K, 5) float32, box xyxy and confidence, and (K, 5, 2) float32
            points, both in pixels.
        """
        sums = _sums(frames_rgb)
        boxes, owners = self._propose(sums, smallest_px)
        boxes, owners = self._refine(sums, boxes, owners)
        boxes, owners, points = self._finish(sums, boxes, owners)
        return [
            (boxes[owners == number].cpu().numpy(), points[owners == number].cpu().numpy())
            for number in range(len(frames_rgb))
        ]

    def _propose(self, sums: np.ndarray, smallest_px: float) -> tuple[Tensor, Tensor]:
        """First network, on each pyramid level.

        Returns:
            (K, 5) square boxes with confidences, and for each the index of its frame.
        """
        height, width = sums.shape[1] - 1, sums.shape[2] - 1
        found, owners = [], []
        for scale in pyramid_scales(min(height, width), self._factor, smallest_px):
            level = _level(sums, int(height * scale + 1), int(width * scale + 1))
            network = partial(_first_network, self._first)
            offsets, scores = self._in_parts(network, level, FRAMES_AT_ONCE)
            boxes, whose = generateBoundingBox(offsets, scores[:, 1], scale, self._thresholds[0])
            kept = batched_nms(boxes[:, :4], boxes[:, 4], whose, LEVEL_OVERLAP)
            found.append(boxes[kept])
            owners.append(whose[kept])
        boxes, whose = torch.cat(found), torch.cat(owners)
        kept = batched_nms(boxes[:, :4], boxes[:, 4], whose, OVERLAP)
        boxes, whose = boxes[kept], whose[kept]
        sides = (boxes[:, 2:4] - boxes[:, :2]).repeat(1, 2)
        moved = boxes[:, :4] + boxes[:, 5:9] * sides
        return rerec(torch.cat([moved, boxes[:, 4:5]], dim=1)), whose

    def _refine(self, sums: np.ndarray, boxes: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
        """Second network: drop and refine boxes. Arguments and results as of `_propose`."""
        boxes, owners, windows = _windows(sums, boxes, owners, SECOND_WINDOW_PX)
        if not len(boxes):
            return boxes, owners
        offsets, scores = self._in_parts(self._second_network, windows, SECOND_WINDOWS_AT_ONCE)
        passed = scores[:, 1] > self._thresholds[1]
        boxes = torch.cat([boxes[passed, :4], scores[passed, 1:]], dim=1)
        owners, offsets = owners[passed], offsets[passed]
        kept = batched_nms(boxes[:, :4], boxes[:, 4], owners, OVERLAP)
        return rerec(bbreg(boxes[kept], offsets[kept])), owners[kept]

    def _finish(
        self, sums: np.ndarray, boxes: Tensor, owners: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Third network: the final boxes, their frames, and (K, 5, 2) points."""
        boxes, owners, windows = _windows(sums, boxes, owners, THIRD_WINDOW_PX)
        if not len(boxes):
            return boxes, owners, torch.zeros(0, 5, 2)
        offsets, points, scores = self._in_parts(self._third, windows, THIRD_WINDOWS_AT_ONCE)
        passed = scores[:, 1] > self._thresholds[2]
        boxes = torch.cat([boxes[passed, :4], scores[passed, 1:]], dim=1)
        owners, offsets, points = owners[passed], offsets[passed], points[passed]
        # Points are in units of the window, first all x, then all y; pixels count from 1.
        sides = boxes[:, 2:4] - boxes[:, :2] + 1
        points = points.view(-1, 2, 5) * sides[:, :, None] + boxes[:, :2, None] - 1
        boxes = bbreg(boxes, offsets)
        kept = batched_nms_numpy(boxes[:, :4], boxes[:, 4], owners, OVERLAP, "Min")
        return boxes[kept], owners[kept], points[kept].transpose(1, 2)

    def _second_network(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """facenet-pytorch's RNet with a faster pooling; (B, 4) offsets and (B, 2) scores."""
        network = self._second
        values = _pool_by_three(network.prelu1(network.conv1(values)))
        values = _pool_by_three(network.prelu2(network.conv2(values)))
        values = network.prelu3(network.conv3(values))
        # The dense layer expects columns first.
        values = network.prelu4(network.dense4(values.permute(0, 3, 2, 1).flatten(1)))
        return network.dense5_2(values), network.dense5_1(values).softmax(dim=1)

    def _in_parts(self, network: Callable, pixels: np.ndarray, at_once: int) -> tuple[Tensor, ...]:
        at_once = at_once if self.device.type == "cpu" else AT_ONCE_ON_GPU
        parts = [
            network(self._on_device(pixels[start : start + at_once]))
            for start in range(0, len(pixels), at_once)
        ]
        return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))

    def _on_device(self, pixels: np.ndarray) -> Tensor:
        """Convert (B, h, w, 3) means in 0..255 to (B, 3, h, w), scaled for the networks."""
        values = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2)
        return values.sub_(127.5).mul_(1 / 128)


def _first_network(network: nn.Module, values: Tensor) -> tuple[Tensor, Tensor]:
    """facenet-pytorch's PNet, with its two slowest steps, PReLU and max-pooling, swapped.

    PReLU decreases and then increases, or only increases. Its maximum over a window is therefore
    at the largest or smallest argument, so PReLU is applied to a quarter of the values only.

    Returns:
        offsets (B, 4, h, w) and scores (B, 2, h, w), as `network(values)`.
    """
    low = high = network.conv1(values)
    for axis in (2, 3):
        low = _over_pairs(torch.minimum, low, axis)
        high = _over_pairs(torch.maximum, high, axis)
    values = torch.maximum(network.prelu1(low), network.prelu1(high))
    values = network.prelu3(network.conv3(network.prelu2(network.conv2(values))))
    return network.conv4_2(values), network.conv4_1(values).softmax(dim=1)


def _over_pairs(of_two: Callable, values: Tensor, axis: int) -> Tensor:
    """Minimum or maximum of neighbours 2k and 2k + 1 along an axis; an odd last one is kept."""
    pairs, odd = divmod(values.shape[axis], 2)
    first, second = values.narrow(axis, 0, 2 * pairs).unflatten(axis, (pairs, 2)).unbind(axis + 1)
    found = of_two(first, second)
    return torch.cat([found, values.narrow(axis, 2 * pairs, 1)], dim=axis) if odd else found


def _pool_by_three(values: Tensor) -> Tensor:
    """Max-pooling over 3x3 with stride 2, axis by axis; windows are cropped at the far edge.

    Twice as fast as torch's, which also computes the position of each maximum.
    """
    for axis in (2, 3):
        pooled = _over_pairs(torch.maximum, values, axis).narrow(axis, 0, values.shape[axis] // 2)
        third = values[(*[slice(None)] * axis, slice(2, None, 2))]
        inside = third.shape[axis]
        last = pooled.narrow(axis, inside, pooled.shape[axis] - inside)
        values = torch.maximum(pooled.narrow(axis, 0, inside), third)
        values = torch.cat([values, last], dim=axis) if last.shape[axis] else values
    return values


def pyramid_scales(
    shorter_side: int, factor: float, smallest_px: float = SMALLEST_FACE_PX
) -> list[float]:
    """The scales of the pyramid, whose windows grow to the size of the frame.

    Args:
        shorter_side: of the frame, in pixels.
        factor: from one scale to the next.
        smallest_px: the windows of the first level are the largest of at most this size, or of
            20 px if this is smaller.
    """
    scale = FIRST_WINDOW_PX / SMALLEST_FACE_PX
    side = shorter_side * scale
    scales: list[float] = []
    while side >= FIRST_WINDOW_PX:
        if FIRST_WINDOW_PX / scale <= smallest_px:
            scales.clear()
        scales.append(scale)
        scale, side = scale * factor, side * factor
    return scales


def _bins(start: np.ndarray, length: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide ranges of pixels into `count` bins each, by the rule of torch's "area" resizing.

    Args:
        start, length: (B,) of the ranges.

    Returns:
        starts and ends of the bins, (B, count) each; neighbouring bins may share a pixel.
    """
    number = np.arange(count)
    begins = number * length[:, None] // count
    ends = -(-(number + 1) * length[:, None] // count)
    return start[:, None] + begins, start[:, None] + ends


def _sums(frames_rgb: np.ndarray) -> np.ndarray:
    """Summed-area tables of (N, H, W, 3) uint8 frames: (N, H + 1, W + 1, 4) int32.

    The fourth channel is not used: NumPy indexes items of 16 bytes faster than of 12.
    """
    return np.stack([cv2.integral(cv2.cvtColor(f, cv2.COLOR_RGB2RGBA)) for f in frames_rgb])


def _level(sums: np.ndarray, height: int, width: int) -> np.ndarray:
    """Frames resized by averaging: (N, height, width, 3) float32 from (N, H + 1, W + 1, 4) sums."""
    zero = np.zeros(1, int)
    (y0,), (y1,) = _bins(zero, np.array([sums.shape[1] - 1]), height)
    (x0,), (x1,) = _bins(zero, np.array([sums.shape[2] - 1]), width)
    # `take` of single values is several times faster than indexing, or than `take` of pixels.
    values = sums.reshape(*sums.shape[:2], -1)
    rows = values.take(y1, axis=1)
    rows -= values.take(y0, axis=1)
    channel = np.arange(CHANNELS)
    x0, x1 = (np.add.outer(sums.shape[3] * x, channel).ravel() for x in (x0, x1))
    totals = rows.take(x1, axis=2)
    totals -= rows.take(x0, axis=2)
    pixels = np.outer(y1 - y0, (x1 - x0) // sums.shape[3])
    means = totals.astype(np.float32) * (1 / pixels).astype(np.float32)
    return means.reshape(len(sums), height, width, CHANNELS)


def _windows(
    sums: np.ndarray, boxes: Tensor, owners: Tensor, side: int
) -> tuple[Tensor, Tensor, np.ndarray]:
    """The pixels in boxes, cropped at the frame's edges and averaged to `side` x `side`.

    Returns:
        the boxes that overlap their frame, the indices of their frames, and their windows,
        (K, side, side, 3) float32.
    """
    y1, y_end, x1, x_end = pad(boxes[:, :4], sums.shape[2] - 1, sums.shape[1] - 1)
    y, x = y1 - 1, x1 - 1  # pad counts from 1
    inside = (y_end > y) & (x_end > x)
    kept = torch.from_numpy(inside).to(boxes.device)
    boxes, owners = boxes[kept], owners[kept]
    y, y_end, x, x_end = y[inside], y_end[inside], x[inside], x_end[inside]
    y0, y1 = _bins(y, y_end - y, side)
    x0, x1 = _bins(x, x_end - x, side)
    pixels = ((y1 - y0)[:, :, None] * (x1 - x0)[:, None])[..., None]
    # One index for each pixel of all frames: `take` is several times faster than three indices.
    columns = sums.shape[2]
    whose = owners.cpu().numpy()[:, None] * sums.shape[1]
    y0, y1 = ((whose + rows)[:, :, None] * columns for rows in (y0, y1))
    x0, x1 = x0[:, None], x1[:, None]
    places = sums.reshape(-1, sums.shape[3])
    totals = places.take(y1 + x1, axis=0)
    totals -= places.take(y0 + x1, axis=0)
    totals -= places.take(y1 + x0, axis=0)
    totals += places.take(y0 + x0, axis=0)
    totals = totals[..., :CHANNELS].astype(np.float32)
    return boxes, owners, totals * (1 / pixels).astype(np.float32)
