"""Measure how many training crops a second one core makes, compared with a full-frame baseline.

Run from the repository's root:

    python benchmarks/facial_swap_throughput.py [--samples 400] [--rounds 4]

Forged frames with their genuine source, at 640x480 and 1920x1080, the face in the same proportion
to the frame. "here" is `make_training_sample` with everything in it: jittered alignment, swap,
degradations, flip. "full frame" reimplements the stages of the CADDM paper's code in their order:
halve, mask, deform, blend and compare whole frames, align afterwards, compare again. The baseline
is written from a description, not from the authors' code. Both call the same compiled library
functions and end with the same degradations, so they differ only in working on crops or on whole
frames. Frames are decoded in advance for both.
"""

import argparse
import math
import os
import time
from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np
from skimage import data
from skimage.metrics import structural_similarity

import _paths  # noqa: F401
from caddm_hf.augmentation.degradations import degrade
from caddm_hf.augmentation.facial_swap import FacialSwapConfig, make_training_sample
from caddm_hf.faces.landmarks import face_outline, fill_outline
from caddm_hf.model.face_alignment import jittered_alignment_matrix, warp_face

ASTRONAUT_POINTS_XY = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)], float)
SIZES_WH = ((640, 480), (1920, 1080))
CONFIG = FacialSwapConfig()


def make_frames(size_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A forged frame, its genuine source and the five points, of the given size."""
    width, height = size_wh
    portrait = data.astronaut()
    # The face's eyes end up an eighth of the frame's height apart, as in a talking-head video.
    scale = height / 8 / 42
    shift_x, shift_y = width / 2 - 225 * scale, height / 2 - 120 * scale
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
    source = cv2.warpAffine(portrait, matrix, size_wh, borderMode=cv2.BORDER_REFLECT)
    points_xy = ASTRONAUT_POINTS_XY * scale + (shift_x, shift_y)
    middle = points_xy.mean(axis=0)
    outline_xy = (face_outline(points_xy) - middle) * 1.15 + middle
    inside = fill_outline(outline_xy, (height, width)) > 0
    fake = source.copy()
    changed = cv2.GaussianBlur(np.roll(source, round(height / 60), axis=0), (0, 0), height / 300)
    fake[inside] = cv2.add(changed, (18, 4, -12, 0))[inside]
    return fake, source, points_xy


def full_frame_sample(
    fake: np.ndarray, source: np.ndarray, points_xy: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The baseline: a swap on whole frames, then the aligned, degraded crop."""
    if rng.random() < CONFIG.halve_probability:
        half_wh = (fake.shape[1] // 2, fake.shape[0] // 2)
        fake, source = cv2.resize(fake, half_wh), cv2.resize(source, half_wh)
        points_xy = points_xy / 2
    partial = rng.random() >= CONFIG.global_probability
    draw = rng.random()
    untouched = not partial and draw >= 0.75
    background, foreground = (fake, source) if not partial and draw < 0.5 else (source, fake)
    swapped = fake
    if not untouched:
        mask = full_frame_mask(fake.shape[:2], points_xy, rng)
        if partial:
            mask = keep_most_different_window(fake, source, mask, points_xy, rng)
        swapped = full_frame_blend(background, foreground, mask, rng)
    matrix = jittered_alignment_matrix(points_xy, rng)
    crop = warp_face(swapped, matrix, CONFIG.image_size)
    if partial:
        source_crop = warp_face(source, matrix, CONFIG.image_size)
        different = dissimilarity(crop, source_crop) > 0.1
        cv2.boundingRect(different.astype(np.uint8))
    crop = degrade(crop, rng)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def full_frame_mask(
    size_hw: tuple[int, int], points_xy: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The hull over the whole frame, elastically deformed (p = .5) and blurred."""
    height, width = size_hw
    mask = fill_outline(face_outline(points_xy), size_hw)
    if rng.random() < CONFIG.deform_probability:
        grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
        # Simard et al., 2003: white noise smoothed, then scaled to some pixels.
        noise = rng.uniform(-1, 1, (height, width, 2)).astype(np.float32)
        field = cv2.GaussianBlur(noise, (0, 0), 10)
        field *= 5 / field.std()
        mask = cv2.remap(mask, grid_x + field[..., 0], grid_y + field[..., 1], cv2.INTER_LINEAR)
    return cv2.GaussianBlur(mask, (15, 15), 5)


def dissimilarity(image_rgb: np.ndarray, other_rgb: np.ndarray) -> np.ndarray:
    """DSSIM map at full size."""
    grey = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (image_rgb, other_rgb))
    return (1 - structural_similarity(*grey, data_range=255, full=True)[1]) / 2


def keep_most_different_window(
    fake: np.ndarray,
    source: np.ndarray,
    mask: np.ndarray,
    points_xy: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Clear the mask outside the window that holds most of the frames' dissimilarity."""
    face_side = 3.1 * np.hypot(*(points_xy[1] - points_xy[0]))  # a 224 px crop's share of a face
    window_wh = CONFIG.windows_wh[rng.integers(len(CONFIG.windows_wh))]
    width, height = (round(length * face_side / 224) for length in window_wh)
    weights = dissimilarity(fake, source) * (mask > 0)
    sums = cv2.integral(weights)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
    inside += sums[:-height, :-width]
    top, left = np.unravel_index(np.argmax(inside), inside.shape)
    clipped = np.zeros_like(mask)
    window = np.s_[top : top + height, left : left + width]
    clipped[window] = mask[window]
    return clipped


def full_frame_blend(
    background: np.ndarray, foreground: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Poisson (the library's, on the whole frame) or alpha, 50/50."""
    if rng.random() < CONFIG.poisson_probability:
        # seamlessClone centres the mask's bounding box on the given point.
        x, y, width, height = cv2.boundingRect(mask)
        centre = (x + width // 2, y + height // 2)
        return cv2.seamlessClone(foreground, background, mask, centre, cv2.NORMAL_CLONE)
    alpha = mask[..., None].astype(np.float32) / 255
    return (foreground * alpha + background * (1 - alpha)).astype(np.uint8)


def seconds_per_sample(make: Callable[[np.random.Generator], object], count: int) -> float:
    """Mean duration of `count` calls of `make`, after a short warm-up."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        make(rng)
    start = time.perf_counter()
    for _ in range(count):
        make(rng)
    return (time.perf_counter() - start) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=400, help="measured calls a round")
    parser.add_argument("--rounds", type=int, default=4, help="the best round is reported")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    kinds = Counter()
    rows: dict[str, dict[str, Callable[[np.random.Generator], object]]] = {}
    for size_wh in SIZES_WH:
        fake, source, points_xy = make_frames(size_wh)

        def forged(rng, fake=fake, source=source, points_xy=points_xy):
            sample = make_training_sample(fake, points_xy, 1, rng, CONFIG, source)
            kinds[sample.kind] += 1

        def genuine(rng, source=source, points_xy=points_xy):
            make_training_sample(source, points_xy, 0, rng, CONFIG)

        def baseline(rng, fake=fake, source=source, points_xy=points_xy):
            full_frame_sample(fake, source, points_xy, rng)

        rows["{}x{}".format(*size_wh)] = {"full": baseline, "forged": forged, "genuine": genuine}

    # Rounds alternate, so that a busy moment of the machine does not affect one row alone.
    best: dict[tuple[str, str], float] = {}
    for _ in range(arguments.rounds):
        for size, makers in rows.items():
            for name, make in makers.items():
                # The baseline is slow: fewer calls give as steady a mean.
                count = max(arguments.samples // 4, 20) if name == "full" else arguments.samples
                seconds = seconds_per_sample(make, count)
                best[size, name] = min(best.get((size, name), math.inf), seconds)

    print(f"one core, {CONFIG.image_size} px crops, samples per second, best of the rounds")
    heads = ("frame", "full frame", "here, forged", "here, genuine", "gain")
    print("{:>10} {:>11} {:>13} {:>14} {:>6}".format(*heads))
    for size in rows:
        full, forged, genuine = (1 / best[size, name] for name in ("full", "forged", "genuine"))
        gain = f"{forged / full:.1f}x"
        print(f"{size:>10} {full:>11.1f} {forged:>13.1f} {genuine:>14.1f} {gain:>6}")
    shares = ", ".join(f"{kind} {n / kinds.total():.0%}" for kind, n in kinds.most_common())
    print(f"forged samples were {shares}")


if __name__ == "__main__":
    main()
