"""Blending masks drawn at random, and blending by a method drawn at random."""

import cv2
import numpy as np
from scipy import fft

from ..faces.landmarks import fill_outline


def random_mask(
    outline_xy: np.ndarray,
    canvas_side: int,
    rng: np.random.Generator,
    deform_probability: float,
    window_xyxy: tuple[int, int, int, int] | None = None,
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Draw a soft blending mask: the face's outline, sometimes deformed, with a blurred edge.

    The blur reaches exactly a randomly drawn radius. The mask is eroded by that radius first, so
    that the blurred mask ends at the intended border.

    Args:
        outline_xy: (N, 2) on the canvas.
        canvas_side: side of the canvas in pixels.
        deform_probability: chance of an elastic deformation.
        window_xyxy: in pixels of the canvas; outside it the mask, blur included, is 0.
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
    """Blend by Poisson or alpha, drawn from `rng`; arguments as for `alpha_blend`."""
    method = poisson_blend if rng.random() < poisson_probability else alpha_blend
    return method(background, foreground, mask)


def deform_mask(mask: np.ndarray, rng: np.random.Generator, amplitude_px: float) -> np.ndarray:
    """Move a mask's edge by a smooth random displacement field (elastic deformation).

    Args:
        mask: (H, W) uint8.
        amplitude_px: standard deviation of the displacement at the field's knots.

    Returns:
        (H, W) uint8.
    """
    height, width = mask.shape
    knots = int(rng.integers(3, 7))
    coarse = rng.standard_normal((knots, knots, 2), dtype=np.float32) * np.float32(amplitude_px)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    map_x = field[..., 0] + np.arange(width, dtype=np.float32)
    map_y = field[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR)


def soften_mask(mask: np.ndarray, radius_px: int) -> np.ndarray:
    """Blur a mask's edge with a Gaussian that ends exactly `radius_px` pixels away.

    Args:
        mask: (H, W) uint8.
        radius_px: reach of the blur; its standard deviation is half of that. 0 leaves the edge.

    Returns:
        (H, W) uint8: still 0 wherever `mask` is 0 within `radius_px` all around.
    """
    if radius_px < 1:
        return mask.copy()
    size = 2 * radius_px + 1
    return cv2.GaussianBlur(mask, (size, size), radius_px / 2, borderType=cv2.BORDER_REPLICATE)


def mask_slices(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle around a mask's non-zero pixels, or None."""
    x, y, width, height = cv2.boundingRect(mask)
    return (slice(y, y + height), slice(x, x + width)) if width and height else None


def alpha_blend(background: np.ndarray, foreground: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """background + mask / 255 * (foreground - background), rounded.

    Args:
        background, foreground: (H, W, 3) uint8.
        mask: (H, W) uint8.

    Returns:
        (H, W, 3) uint8, equal to `background` where the mask is 0.
    """
    blended = background.copy()
    region = mask_slices(mask)
    if region is not None:
        weight = mask[region].astype(np.float32) * np.float32(1 / 255)
        blended[region] = cv2.blendLinear(
            np.ascontiguousarray(foreground[region]),
            np.ascontiguousarray(background[region]),
            weight,
            1 - weight,
        )
    return blended


def poisson_blend(background: np.ndarray, foreground: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Put the foreground's gradients into the background (Perez et al., SIGGRAPH 2003).

    As in OpenCV's `seamlessClone`, the gradients are mixed by the mask and the equation is
    solved on the mask's bounding rectangle, whose rim keeps the background's values. With
    d = foreground - background, the change u that is added to the background solves

        laplacian(u) = divergence(mask * gradient(d)),  u = 0 on the rim,

    for which the type-I sine transform is the exact inverse.

    Args:
        background, foreground: (H, W, 3) uint8.
        mask: (H, W) uint8; only its bounding rectangle is touched.

    Returns:
        (H, W, 3) uint8.
    """
    blended = background.copy()
    region = mask_slices(mask)
    if region is None:
        return blended
    # The rim, where u is 0, is one more pixel on each side. It may lie outside the picture;
    # mask and difference are 0 there.
    rows, columns = mask[region].shape
    weight = np.zeros((rows + 2, columns + 2), np.float32)
    weight[1:-1, 1:-1] = mask[region]
    weight *= np.float32(1 / 255)
    difference = np.zeros((3, rows + 2, columns + 2), np.float32)
    inside = np.subtract(foreground[region], background[region], dtype=np.float32)
    difference[:, 1:-1, 1:-1] = inside.transpose(2, 0, 1)

    along_y = np.diff(difference, axis=1) * ((weight[1:] + weight[:-1]) / 2)
    along_x = np.diff(difference, axis=2) * ((weight[:, 1:] + weight[:, :-1]) / 2)
    divergence = np.diff(along_y, axis=1)[:, :, 1:-1] + np.diff(along_x, axis=2)[:, 1:-1]

    spectrum = fft.dstn(divergence, type=1, axes=(1, 2), overwrite_x=True)
    spectrum /= _sine_eigenvalues(rows)[:, None] + _sine_eigenvalues(columns)
    change = fft.idstn(spectrum, type=1, axes=(1, 2), overwrite_x=True)
    blended[region] = cv2.add(
        np.ascontiguousarray(background[region]),
        np.ascontiguousarray(change.transpose(1, 2, 0)),
        dtype=cv2.CV_8U,
    )
    return blended


def _sine_eigenvalues(count: int) -> np.ndarray:
    """Eigenvalues of the second difference of `count` points between two zeros."""
    angles = np.arange(1, count + 1, dtype=np.float32) * np.float32(np.pi / (count + 1))
    return 2 * np.cos(angles) - 2


def match_colour(image_rgb: np.ndarray, like_rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Match a picture's colour to that of another one's face (Reinhard et al., 2001).

    In CIELAB each channel's mean and standard deviation inside the mask are set to those of
    `like_rgb`. The gain is limited to [0.5, 2], to avoid extreme gains in flat pictures.

    Args:
        image_rgb, like_rgb: (H, W, 3) uint8.
        mask: (H, W) uint8; pixels above 0 count.

    Returns:
        (H, W, 3) uint8.
    """
    image_lab = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2LAB)
    mean, deviation = cv2.meanStdDev(image_lab, mask=mask)
    like_mean, like_deviation = cv2.meanStdDev(cv2.cvtColor(like_rgb, cv2.COLOR_RGB2LAB), mask=mask)
    gain = np.clip(like_deviation / np.maximum(deviation, 1.0), 0.5, 2.0)
    levels = np.arange(256)[:, None]
    table = (levels - mean[:, 0]) * gain[:, 0] + like_mean[:, 0]
    table = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.LUT(image_lab, table[None]), cv2.COLOR_LAB2RGB)
