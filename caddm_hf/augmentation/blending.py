"""Blending masks drawn at random, and blending by a method drawn at random."""

import cv2
import numpy as np

from ..faces.landmarks import alpha_blend, deform_mask, fill_outline, poisson_blend, soften_mask


def random_mask(
    outline_xy: np.ndarray,
    canvas_side: int,
    rng: np.random.Generator,
    deform_probability: float,
    window_xyxy: tuple[int, int, int, int] | None = None,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """A soft blending mask: the face's outline, at times deformed, its edge blurred.

    The blur reaches a drawn radius and no further, and the mask is cut back by that radius
    before, so that it ends where it must and not before or after.

    Args:
        outline_xy: (N, 2) on the canvas.
        canvas_side: side of the canvas in pixels.
        deform_probability: chance of an elastic deformation.
        window_xyxy: pixels of the canvas outside which the mask, blur included, is 0.
        allowed: (canvas_side, canvas_side) uint8; where it is 0, so is the mask.

    Returns:
        (canvas_side, canvas_side) uint8.
    """
    mask = fill_outline(outline_xy, (canvas_side, canvas_side))
    if rng.random() < deform_probability:
        mask = deform_mask(mask, rng, canvas_side * rng.uniform(0.01, 0.05))
    radius = round(canvas_side * rng.uniform(0.005, 0.06))
    if window_xyxy is not None:
        x0, y0, x1, y1 = window_xyxy
        radius = min(radius, (x1 - x0) // 5, (y1 - y0) // 5)
        clipped = np.zeros_like(mask)
        kept = np.s_[y0 + radius : y1 - radius, x0 + radius : x1 - radius]
        clipped[kept] = mask[kept]
        mask = clipped
    if allowed is not None:
        square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        mask = cv2.min(mask, cv2.erode(allowed, square))
    return soften_mask(mask, radius)


def blend(
    background: np.ndarray,
    foreground: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    poisson_probability: float,
) -> np.ndarray:
    """Blend by Poisson or alpha, drawn from `rng`; arguments as `alpha_blend` takes them."""
    method = poisson_blend if rng.random() < poisson_probability else alpha_blend
    return method(background, foreground, mask)
