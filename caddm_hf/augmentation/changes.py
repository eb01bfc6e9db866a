"""Where, and how much, two pixel-aligned crops differ."""

import cv2
import numpy as np

NOMINAL_SIZE = 224  # neighbourhoods are given in pixels of a crop of this side

# Two frames differ visibly where their difference, averaged over a neighbourhood, exceeds some
# grey levels. Averaging removes codec noise, whose sign varies: on FaceForensics++ at c40, codec
# noise alone exceeds the level on 1 to 2% of a crop.
NEIGHBOURHOOD = 9
VISIBLE_LEVELS = 8.0
# A blend is compared with its own background, which carries the same codec noise.
SUBTLE_LEVELS = 2.0


def visible_change(
    image: np.ndarray, reference: np.ndarray, levels: float = VISIBLE_LEVELS
) -> np.ndarray:
    """Where two crops differ by more than `levels` on average over a small neighbourhood.

    The pixel itself must differ, too, so that averaging does not enlarge the changed area.

    Args:
        image, reference: (H, W, 3) uint8.

    Returns:
        (H, W) bool: any channel differs.
    """
    size = max(1, round(NEIGHBOURHOOD * image.shape[0] / NOMINAL_SIZE))
    difference = cv2.subtract(image, reference, dtype=cv2.CV_16S)
    around = _largest_channel(np.abs(cv2.blur(difference, (size, size))))
    return (around > levels) & changed_pixels(image, reference)


def changed_pixels(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(H, W) bool: any channel differs by more than a rounding error."""
    return _largest_channel(cv2.absdiff(image, background)) > SUBTLE_LEVELS


def _largest_channel(image: np.ndarray) -> np.ndarray:
    # Several times faster than NumPy's max over a last axis of three.
    first, second, third = cv2.split(image)
    return cv2.max(cv2.max(first, second), third)


def structural_dissimilarity(image_rgb: np.ndarray, other_rgb: np.ndarray) -> np.ndarray:
    """DSSIM = (1 - SSIM) / 2 of two crops, at half resolution, on grey levels.

    SSIM as in Wang et al., IEEE TIP 2004, with the mean over 7 x 7 pixels.

    Args:
        image_rgb, other_rgb: (H, W, 3) uint8.

    Returns:
        (H // 2, W // 2) float32 in [0, 1].
    """
    size_wh = (image_rgb.shape[1] // 2, image_rgb.shape[0] // 2)

    def grey(rgb: np.ndarray) -> np.ndarray:
        small = cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)

    def local_mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (7, 7))

    x, y = grey(image_rgb), grey(other_rgb)
    mean_x, mean_y = local_mean(x), local_mean(y)
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    covariance = local_mean(x * y) - product
    variances = local_mean(x * x + y * y) - squares
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ssim = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return np.clip((1 - ssim) / 2, 0, 1)


def most_changed_window(weights: np.ndarray, size_wh: tuple[int, int]) -> tuple[int, int]:
    """Left and top of the window of `size_wh` that holds the largest sum of `weights`."""
    width, height = size_wh
    sums = cv2.integral(weights, sdepth=cv2.CV_64F)
    inside = (sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]) + sums[
        :-height, :-width
    ]
    top, left = np.unravel_index(np.argmax(inside), inside.shape)
    return int(left), int(top)


def changed_box(image: np.ndarray, background: np.ndarray) -> tuple[float, ...] | None:
    """The box around the pixels of a crop that a blend has changed.

    Half a percent of the changed pixels may lie beyond each side, so that stray pixels do not
    enlarge the box.

    Args:
        image, background: (H, W, 3) uint8.

    Returns:
        x0, y0, x1, y1 in [0, 1] of the crop, or None where nothing has changed.
    """
    changed = changed_pixels(image, background)
    if not changed.any():
        return None

    def extent(counts: np.ndarray) -> tuple[float, float]:
        share = np.cumsum(counts) / counts.sum()
        first = np.argmax(share > 0.005)
        last = np.argmax(share >= 0.995)
        return first / len(counts), (last + 1) / len(counts)

    (x0, x1), (y0, y1) = extent(changed.sum(axis=0)), extent(changed.sum(axis=1))
    return x0, y0, x1, y1
