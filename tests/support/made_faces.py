"""A forgery made out of a portrait, for the tests of the training crops."""

from dataclasses import replace

import cv2
import numpy as np
from skimage import data

from caddm_hf.augmentation.degradations import TrainingDegradations
from caddm_hf.augmentation.facial_swap import FacialSwapConfig
from caddm_hf.faces.landmarks import face_outline, fill_outline
from caddm_hf.model.face_alignment import AlignmentJitter, alignment_matrix, warp_face

# The portrait's eyes, nose tip and mouth corners.
POINTS_XY = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)], float)
CLEAN = FacialSwapConfig(degradations=TrainingDegradations(strength=0))
STILL = replace(
    CLEAN,
    jitter=AlignmentJitter(0.0, 0.0, 0.0, 0.0, 0.0),
    halve_probability=0.0,
    flip_probability=0.0,
)


def portrait() -> np.ndarray:
    """(400, 512, 3) uint8: not square, so that x and y differ."""
    return np.ascontiguousarray(data.astronaut()[:400])


def forge(source: np.ndarray, grown: float = 1.25) -> np.ndarray:
    """The face's outline, grown about its middle, moved, blurred and tinted."""
    middle = POINTS_XY.mean(axis=0)
    outline_xy = (face_outline(POINTS_XY) - middle) * grown + middle
    inside = fill_outline(outline_xy, source.shape[:2]) > 0
    altered = cv2.add(
        cv2.GaussianBlur(np.roll(source, (5, 4), (0, 1)), (0, 0), 1.5), (25, 0, -15, 0)
    )
    forged = source.copy()
    forged[inside] = altered[inside]
    return forged


def aligned(frame: np.ndarray, config: FacialSwapConfig = STILL) -> np.ndarray:
    """The crop of the portrait's face without any jitter."""
    matrix = alignment_matrix(POINTS_XY, config.image_size, config.align_scale)
    return warp_face(frame, matrix, config.image_size)


def share_inside(changed: np.ndarray, box_xyxy: np.ndarray) -> float:
    """The share of the changed pixels whose centre lies in the box."""
    y, x = np.nonzero(changed)
    x, y = (x + 0.5) / changed.shape[1], (y + 0.5) / changed.shape[0]
    x0, y0, x1, y1 = box_xyxy
    return float(np.mean((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)))


def sixty_eight_points() -> np.ndarray:
    """A made face of 68 landmarks: jaw and brows on an outline, the rest inside it."""
    jaw = [(100 + 60 * np.cos(t), 90 + 80 * np.sin(t)) for t in np.linspace(np.pi, 0, 17)]
    brows = [(x, 60.0) for x in (50, 60, 70, 80, 90, 110, 120, 130, 140, 150)]
    nose = [(100.0, y) for y in (75, 85, 95, 105)] + [(x, 108.0) for x in (92, 96, 100, 104, 108)]
    nose[3] = (101.0, 104.0)  # the tip, number 30

    def ring(x: float, y: float, width: float, count: int) -> list[tuple[float, float]]:
        angles = np.pi - np.arange(count) * 2 * np.pi / count
        return [(x + width * np.cos(t), y - 0.3 * width * np.sin(t)) for t in angles]

    eyes = ring(75, 75, 10, 6) + ring(125, 75, 10, 6)
    mouth = ring(100, 135, 20, 12) + ring(100, 135, 15, 8)
    return np.array(jaw + brows + nose + eyes + mouth)
