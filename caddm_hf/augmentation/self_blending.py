"""Forged crops out of genuine pictures alone.

A self-blended image (arXiv 2204.08376) blends a face with an altered copy of itself: colour,
sharpness and position differ slightly, so the seam is the only trace. A cross-blended image blends
in another person's face. Both have the same boxes as a facial swap, over the whole face or one
window of it, so the detector can be trained on a dataset without fakes.
"""

from collections.abc import Callable

import cv2
import numpy as np

from ..faces.landmarks import check_points, face_outline, fill_outline, five_points
from ..model.face_alignment import fit_similarity, transform_points, warp_face
from .blending import alpha_blend, blend, match_colour, random_mask
from .changes import NOMINAL_SIZE, SUBTLE_LEVELS, changed_box, visible_change
from .degradations import TrainingDegradations, check_image, degrade
from .facial_swap import (
    LEAST_BOX_SIDE,
    MARGIN,
    CropView,
    FacialSwapConfig,
    TrainingSample,
    draw_view,
    finish_sample,
    window_pixels,
)

# Changes to the copy in a self-blended image: colour, brightness and sharpness.
COPY_CHANGES = TrainingDegradations(
    jpeg_probability=0.1,
    stretch_probability=0.0,
    low_frequency_noise_probability=0.2,
    hsv_probability=0.6,
    saturation=(0.7, 1.3),
    value=(0.85, 1.15),
    gamma_probability=0.3,
    gamma=(0.8, 1.25),
    motion_blur_probability=0.0,
    gaussian_blur_probability=0.2,
    gaussian_noise_probability=0.1,
    gaussian_noise=(1.0, 4.0),
    tone_shift_probability=0.5,
    tone_shift=15.0,
    rescale_probability=0.3,
)
SHARPEN_PROBABILITY = 0.3
# Changes that make a copy look rendered: in grey levels, pixels of a 224 px crop, eye distances,
# and shares of the light.
SMOOTHING_PROBABILITY, LIGHT_PROBABILITY = 0.8, 0.6
SMOOTHED_LEVELS, SMOOTHING_PX, SMOOTHING_WINDOW_PX = (10, 45), (1.5, 4), 7
SHAPE_KNOTS, SHAPE_SHIFT = (4, 10), (0.01, 0.04)
LIGHT_KNOTS, LIGHT_CHANGE = (2, 6), (0.03, 0.12)
OPACITIES = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
# The copy's displacement, in eye distances, and the range of its size.
COPY_SHIFT = (0.08, 0.05)
COPY_SCALE = (0.95, 1.05)
NOMINAL_CANVAS = NOMINAL_SIZE * (1 + 2 * MARGIN)
FOREHEAD = 0.5  # a mask reaches up to this many eye distances above the brows

# Background, blended picture (both on the canvas), and whether only a window was blended.
Attempt = tuple[np.ndarray, np.ndarray, bool]
ATTEMPTS = 3
LEAST_CHANGED_SHARE = 0.01  # of the crop, at `SUBTLE_LEVELS`


def self_blend(
    image_rgb: np.ndarray,
    points_xy: np.ndarray,
    rng: np.random.Generator,
    config: FacialSwapConfig = FacialSwapConfig(),
    shared: np.random.Generator | None = None,
) -> TrainingSample:
    """Blend a genuine face with an altered copy of itself.

    Either the copy or the background is altered. Only alpha blending is used, because Poisson
    blending would remove the difference in colour.

    Args:
        image_rgb: (H, W, 3) uint8, a genuine frame.
        points_xy: (5 | 68 | 81, 2), its landmarks.
        rng: draws everything.
        config: `global_probability` decides between the whole face and a window,
            `rendered_probability` whether the copy looks rendered.
        shared: as in `make_training_sample`.

    Returns:
        The sample, "self-blended" or "self-blended-partial"; after some draws that changed
        nothing visible, the genuine crop as "genuine-fallback".
    """
    check_image(image_rgb)
    points_xy = check_points(points_xy)
    shared = rng if shared is None else shared
    view = draw_view(points_xy, shared, config)
    canvas, shown = view.cut(image_rgb), _shown(image_rgb, view.matrix, view)
    canvas_points_xy = transform_points(view.matrix, points_xy)

    def attempt() -> Attempt:
        altered = canvas
        if config.rendered_probability and rng.random() < config.rendered_probability:
            altered = as_rendered(altered, canvas_points_xy, rng)
        altered = degrade(altered, rng, COPY_CHANGES)
        if rng.random() < SHARPEN_PROBABILITY:
            altered = _sharpen(altered, rng.uniform(0.3, 1.5))
        background, foreground = (canvas, altered) if rng.random() < 0.5 else (altered, canvas)
        move = _small_move(canvas_points_xy, rng)
        foreground = cv2.warpAffine(
            foreground, move, canvas.shape[1::-1], None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        )
        moved_points_xy = transform_points(move, canvas_points_xy)
        mask, partial = _random_area(moved_points_xy, view, rng, config, shown)
        mask = cv2.convertScaleAbs(mask, alpha=rng.choice(OPACITIES))
        return background, alpha_blend(background, foreground, mask), partial

    return _first_visible(attempt, "self-blended", canvas, view, shared, config)


def cross_blend(
    image_rgb: np.ndarray,
    points_xy: np.ndarray,
    donor_rgb: np.ndarray,
    donor_points_xy: np.ndarray,
    rng: np.random.Generator,
    config: FacialSwapConfig = FacialSwapConfig(),
    shared: np.random.Generator | None = None,
) -> TrainingSample:
    """Blend another genuine face onto a genuine face, its colour matched to the place.

    The donor's face is aligned by the similarity transform between the five points of both. A
    donor in a similar pose gives the best forgery.

    Args:
        image_rgb: (H, W, 3) uint8, a genuine frame.
        points_xy: (5 | 68 | 81, 2), its landmarks.
        donor_rgb: (H', W', 3) uint8, a genuine frame of somebody else.
        donor_points_xy: (5 | 68 | 81, 2), the donor's landmarks.
        rng: draws everything.
        config: blending, masks and the share of partial blends.
        shared: as in `make_training_sample`.

    Returns:
        The sample, "cross-blended", "cross-blended-partial" or "genuine-fallback".
    """
    check_image(image_rgb)
    check_image(donor_rgb)
    points_xy, donor_points_xy = check_points(points_xy), check_points(donor_points_xy)
    shared = rng if shared is None else shared
    view = draw_view(points_xy, shared, config)
    canvas = view.cut(image_rgb)
    canvas_points_xy = transform_points(view.matrix, points_xy)
    donor_matrix = fit_similarity(five_points(donor_points_xy), five_points(canvas_points_xy))
    donor = warp_face(donor_rgb, donor_matrix, view.canvas_side)
    # Blend only inside both frames and inside the donor's face.
    shown = _shown(image_rgb, view.matrix, view)
    shown = cv2.min(shown, _shown(donor_rgb, donor_matrix, view))
    donor_outline_xy = face_outline(transform_points(donor_matrix, donor_points_xy), FOREHEAD)
    shown = cv2.min(shown, fill_outline(donor_outline_xy, shown.shape))
    face = cv2.min(shown, fill_outline(face_outline(canvas_points_xy), shown.shape))
    donor = match_colour(donor, canvas, face)

    def attempt() -> Attempt:
        mask, partial = _random_area(canvas_points_xy, view, rng, config, shown)
        return canvas, blend(canvas, donor, mask, rng, config.poisson_probability), partial

    return _first_visible(attempt, "cross-blended", canvas, view, shared, config)


def as_rendered(
    image_rgb: np.ndarray, points_xy: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Change a face as reenactment does: smooth the skin, vary shape and light smoothly.

    Args:
        image_rgb: (S, S, 3) uint8.
        points_xy: (5 | 68 | 81, 2), its landmarks; the distance of the eyes scales the change.
        rng: draws everything.

    Returns:
        (S, S, 3) uint8, a new array.
    """
    side = len(image_rgb)
    left_eye, right_eye = five_points(points_xy)[:2]
    eye_distance = float(np.hypot(*(right_eye - left_eye)))
    image = image_rgb
    if rng.random() < SMOOTHING_PROBABILITY:
        levels = rng.uniform(*SMOOTHED_LEVELS)
        reach_px = rng.uniform(*SMOOTHING_PX) * side / NOMINAL_CANVAS
        image = cv2.bilateralFilter(image, SMOOTHING_WINDOW_PX, levels, reach_px)
    knots = int(rng.integers(*SHAPE_KNOTS))
    amount = eye_distance * rng.uniform(*SHAPE_SHIFT)
    shift = _spread(
        rng.standard_normal((knots, knots, 2)).astype(np.float32) * np.float32(amount), side
    )
    place = np.mgrid[:side, :side].astype(np.float32)
    image = cv2.remap(
        image,
        place[1] + shift[..., 0],
        place[0] + shift[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if rng.random() < LIGHT_PROBABILITY:
        knots = int(rng.integers(*LIGHT_KNOTS))
        change = rng.standard_normal((knots, knots)).astype(np.float32)
        light = _spread(1 + change * np.float32(rng.uniform(*LIGHT_CHANGE)), side)
        image = np.clip(image * light[..., None], 0, 255).astype(np.uint8)
    return image


def _spread(knots: np.ndarray, side: int) -> np.ndarray:
    """Interpolate (K, K) or (K, K, 2) values to a smooth field of `side` x `side` pixels."""
    return cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)


def _first_visible(
    attempt: Callable[[], Attempt],
    kind: str,
    canvas: np.ndarray,
    view: CropView,
    shared: np.random.Generator,
    config: FacialSwapConfig,
) -> TrainingSample:
    """The first attempt that changes enough to be called forged, else the genuine crop."""
    for _ in range(ATTEMPTS):
        background, blended, partial = attempt()
        background, blended = view.crop(background), view.crop(blended)
        changed = visible_change(blended, background, SUBTLE_LEVELS)
        if changed.mean() < LEAST_CHANGED_SHARE:
            continue
        if not partial:
            return finish_sample(blended, kind, changed, shared, config)
        box = changed_box(blended, background)
        if box is not None and min(box[2] - box[0], box[3] - box[1]) >= LEAST_BOX_SIDE:
            return finish_sample(blended, f"{kind}-partial", changed, shared, config, box)
    genuine = view.crop(canvas)
    unchanged = np.zeros(genuine.shape[:2], bool)
    return finish_sample(genuine, "genuine-fallback", unchanged, shared, config)


def _random_area(
    points_xy: np.ndarray,
    view: CropView,
    rng: np.random.Generator,
    config: FacialSwapConfig,
    allowed: np.ndarray,
) -> tuple[np.ndarray, bool]:
    """A soft mask over the face or over a window of it, and whether it is a window.

    A window is centred on a random point of the face and moved into the crop.
    """
    outline_xy = face_outline(points_xy, forehead=rng.uniform(0, FOREHEAD))
    windows_wh = [window for window in config.windows_wh if min(window) < NOMINAL_SIZE]
    window_xyxy = None
    if windows_wh and rng.random() >= config.global_probability:
        width, height = window_pixels(windows_wh[rng.integers(len(windows_wh))], view.side)
        weights = rng.dirichlet(np.ones(len(outline_xy)))  # a point inside the convex outline
        x, y = weights @ outline_xy - view.margin
        x0 = view.margin + int(np.clip(x - width / 2, 0, view.side - width))
        y0 = view.margin + int(np.clip(y - height / 2, 0, view.side - height))
        window_xyxy = (x0, y0, x0 + width, y0 + height)
    mask = random_mask(
        outline_xy, view.canvas_side, rng, config.deform_probability, window_xyxy, allowed
    )
    return mask, window_xyxy is not None


def _shown(frame: np.ndarray, matrix: np.ndarray, view: CropView) -> np.ndarray:
    """255 where the canvas shows the frame, 0 beyond its borders; uint8."""
    return warp_face(np.full(frame.shape[:2], 255, np.uint8), matrix, view.canvas_side)


def _small_move(points_xy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A (2, 3) matrix that shifts and scales a face a little about its middle."""
    left_eye, right_eye = five_points(points_xy)[:2]
    eye_distance = float(np.hypot(*(right_eye - left_eye)))
    scale = rng.uniform(*COPY_SCALE)
    shift = rng.uniform(-1, 1, size=2) * COPY_SHIFT * eye_distance
    middle = points_xy.mean(axis=0)
    return np.column_stack([np.eye(2) * scale, middle * (1 - scale) + shift])


def _sharpen(image_rgb: np.ndarray, amount: float) -> np.ndarray:
    """Unsharp mask: add `amount` times what a small blur takes away."""
    blurred = cv2.GaussianBlur(image_rgb, (0, 0), 1.0)
    return cv2.addWeighted(image_rgb, 1 + amount, blurred, -amount, 0)
