"""caddm_hf.faces.mtcnn: the answers of facenet-pytorch's own cascade."""

import cv2
import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import detect_face, imresample
from skimage import data

from caddm_hf.faces.mtcnn import (
    SMALLEST_FACE_PX,
    MtcnnCascade,
    _level,
    _sums,
    _windows,
    pyramid_scales,
)


@pytest.fixture(scope="module")
def cascade() -> MtcnnCascade:
    return MtcnnCascade(torch.device("cpu"))


@pytest.fixture(scope="module")
def library() -> MTCNN:
    return MTCNN().eval()


def crowd(size_hw: tuple[int, int], seed: int) -> np.ndarray:
    """Portraits of several sizes on noise, some cut off by the rim."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (*size_hw, 3), np.uint8)
    frame = cv2.GaussianBlur(frame, (0, 0), 3)
    head = data.astronaut()[20:220, 120:320]
    for side in (200, 120, 60, 45):
        y, x = (int(rng.integers(0, length - side // 2)) for length in size_hw)
        portrait = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
        shown = portrait[: size_hw[0] - y, : size_hw[1] - x]
        frame[y : y + side, x : x + side] = shown
    return frame


@pytest.mark.parametrize("size_hw", [(240, 320), (331, 203), (480, 640)])
def test_faces_are_those_of_the_library(cascade, library, size_hw):
    frames = np.stack([crowd(size_hw, seed) for seed in range(3)])
    with torch.inference_mode():
        boxes, points = detect_face(
            frames,
            SMALLEST_FACE_PX,
            library.pnet,
            library.rnet,
            library.onet,
            library.thresholds,
            library.factor,
            "cpu",
        )
    found = cascade(frames)
    assert sum(len(rows) for rows, _ in found) > 3
    for (rows, five), rows_there, five_there in zip(found, boxes, points, strict=True):
        np.testing.assert_allclose(rows, np.reshape(rows_there, (-1, 5)).astype(float), atol=1e-3)
        np.testing.assert_allclose(
            five, np.reshape(five_there, (-1, 5, 2)).astype(float), atol=1e-3
        )


def test_nothing_is_found_in_nothing(cascade):
    ((boxes, points),) = cascade(np.full((1, 90, 70, 3), 128, np.uint8))
    assert boxes.shape == (0, 5)
    assert points.shape == (0, 5, 2)


def sums_of(frame: np.ndarray) -> np.ndarray:
    return _sums(frame[None])


@pytest.mark.parametrize("size_hw", [(60, 80), (37, 41), (12, 100)])
def test_levels_are_averaged_as_the_library_does(size_hw):
    frame = np.random.default_rng(0).integers(0, 256, (61, 97, 3), np.uint8)
    expected = imresample(torch.from_numpy(frame).permute(2, 0, 1)[None].float(), size_hw)
    level = _level(sums_of(frame), *size_hw)
    np.testing.assert_allclose(level[0], expected[0].permute(1, 2, 0), atol=1e-3)


def test_windows_are_cut_off_at_the_rim_or_dropped():
    frame = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    boxes = torch.tensor([[10, 5, 40, 35, 1], [-9, -4, 20, 25, 1], [80, 60, 90, 70, 1]]).float()
    kept, owners, windows = _windows(
        sums_of(frame), boxes, torch.zeros(3, dtype=torch.int64), side=24
    )
    assert kept.tolist() == boxes[:2].tolist()
    assert owners.tolist() == [0, 0]
    for window, part in zip(windows, (frame[4:35, 9:40], frame[:25, :20]), strict=True):
        expected = imresample(
            torch.from_numpy(part.copy()).permute(2, 0, 1)[None].float(), (24, 24)
        )
        np.testing.assert_allclose(window, expected[0].permute(1, 2, 0), atol=1e-3)


def test_the_pyramid_reaches_from_the_smallest_face_to_the_frame():
    scales = pyramid_scales(240, 0.709)
    assert scales[0] == 12 / SMALLEST_FACE_PX
    assert 240 * scales[-1] >= 12 > 240 * scales[-1] * 0.709


def test_small_windows_are_left_out_but_for_the_largest_of_them():
    scales = pyramid_scales(240, 0.709)
    windows = [12 / scale for scale in scales]
    assert windows[:4] == pytest.approx([20, 28.21, 39.79, 56.12], abs=0.01)
    for smallest, left_out in ((0, 0), (20, 0), (28, 0), (28.3, 1), (48, 2), (60, 3)):
        assert pyramid_scales(240, 0.709, smallest) == scales[left_out:]
    assert pyramid_scales(240, 0.709, 1000) == scales[-1:]
