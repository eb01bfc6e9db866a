"""Multi-scale facial swap: training crops with the places where they were forged.

A forged frame and the genuine frame it was made from are mixed (CADDM, arXiv 2210.14457): whole
faces are swapped between them, or only the window in which they differ most, so that the evidence
of one fake appears at several scales and places.

Both frames are first cut to the aligned crop with one matrix; all further work is done on crops.
So the cost does not grow with the frame, and boxes need no transformation. Genuine and forged
crops pass through the same cut, halving, degradations and flip: no step may reveal the label.

Deliberate differences from the paper's code: boxes are xyxy in [0, 1] and refitted to the changed
pixels; the flip is applied to picture and boxes; every crop may be halved, not only swapped fakes.
A swap can leave no visible forgery: a genuine face pasted over a subtle fake restores the genuine
picture. Such a sample is replaced by the untouched fake. This fallback, as any other, is named in
`kind`.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..faces.landmarks import (
    check_points,
    face_outline,
    fill_outline,
    five_points,
)
from ..model.face_alignment import (
    AlignmentJitter,
    jittered_alignment_matrix,
    transform_points,
    warp_face,
)
from .blending import blend, random_mask
from .changes import (
    NOMINAL_SIZE,
    changed_box,
    most_changed_window,
    structural_dissimilarity,
    visible_change,
)
from .degradations import TrainingDegradations, check_image, degrade

MAX_BOXES = 2  # the whole crop and one window
WHOLE_CROP_XYXY = (0.0, 0.0, 1.0, 1.0)

# Swaps use a canvas slightly larger than the crop: otherwise a chin that leaves the crop would be
# blended into the crop's rim.
MARGIN = 0.125
LEAST_HALVED_SHARE = 0.25  # of the crop's side: do not halve faces that are small already

# A swap with a smaller visible change is not used as a fake.
LEAST_CHANGED_SHARE = 0.03  # of the crop, for a swapped face to count as forged
LEAST_CHANGED_WINDOW_SHARE = 0.15  # of a partial swap's box
LEAST_BOX_SIDE = 16 / NOMINAL_SIZE


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """One training crop with its label and boxes.

    Attributes:
        image_rgb: (S, S, 3) uint8.
        label: 0 genuine, 1 forged.
        boxes_xyxy: (MAX_BOXES, 4) float32 in [0, 1] of the crop. For a forged crop: the whole
            crop, then the window of a partial swap. Rows of zeros stand for no box.
        kind: how the crop came about. "genuine"; "fake" (untouched); "global-fake-background",
            "global-source-background", "partial"; "self-blended", "cross-blended" and the same
            with "-partial"; "fake-fallback" and "genuine-fallback" where a swap or blend was
            drawn but could not be made.
        changed_mask: (S, S) bool, where the crop visibly differs from its genuine frame (of a
            self- or cross-blend: from its background) before the degradations; all False when
            genuine, None when there is no genuine frame to compare with.
    """

    image_rgb: np.ndarray
    label: int
    boxes_xyxy: np.ndarray
    kind: str
    changed_mask: np.ndarray | None


@dataclass(frozen=True)
class FacialSwapConfig:
    """Settings of the facial swap; probabilities are those of the CADDM paper's code.

    Attributes:
        image_size: side of the crop in pixels.
        align_scale, eye_height: size and place of the face, as `face_alignment` takes them.
        jitter: ranges of the random change of the alignment.
        global_probability: chance that a whole face is swapped; else a window is.
        fake_background_probability: share of the global swaps that put the genuine face into
            the fake frame.
        source_background_probability: share that put the fake face into the genuine frame; in
            the rest of the global swaps the fake stays untouched.
        windows_wh: windows of partial swaps in pixels of a 224 px crop, drawn evenly. They are
            the detector's anchor sizes.
        poisson_probability: chance of Poisson blending; else alpha blending.
        deform_probability: chance that a mask is elastically deformed.
        rendered_probability: chance that the copy of a self-blend is first changed as by face
            reenactment (`self_blending.as_rendered`); the paper does not have this.
        halve_probability: chance that the frame is first halved in size.
        flip_probability: chance of a left-right flip.
        degradations: applied to the finished crop.
    """

    image_size: int = 224
    align_scale: float = 0.9
    eye_height: float | None = None
    jitter: AlignmentJitter = field(default_factory=AlignmentJitter)
    global_probability: float = 0.8
    fake_background_probability: float = 0.5
    source_background_probability: float = 0.25
    windows_wh: tuple[tuple[int, int], ...] = (
        (40, 80),
        (80, 40),
        (80, 120),
        (120, 80),
        (120, 160),
        (160, 120),
        (224, 224),
    )
    poisson_probability: float = 0.5
    deform_probability: float = 0.5
    rendered_probability: float = 0.0
    halve_probability: float = 0.3
    flip_probability: float = 0.5
    degradations: TrainingDegradations = field(default_factory=TrainingDegradations)

    def __post_init__(self):
        for name, value in vars(self).items():
            if name.endswith("_probability") and not 0 <= value <= 1:
                raise ValueError(f"{name} must be within [0, 1], got {value}")
        if self.fake_background_probability + self.source_background_probability > 1:
            raise ValueError("the two background probabilities must not sum to more than 1")
        if self.image_size < 32:
            raise ValueError(f"image_size must be at least 32 pixels, got {self.image_size}")
        if not self.windows_wh or not all(
            0 < side <= NOMINAL_SIZE for window in self.windows_wh for side in window
        ):
            raise ValueError(f"windows_wh must be sizes within 1..{NOMINAL_SIZE} pixels")


@dataclass(frozen=True)
class CropView:
    """A drawn alignment: how frames are cut to the canvas around one training crop.

    Attributes:
        matrix: (2, 3) float64, frame to canvas.
        side: side of the crop on the canvas, at most `image_size`.
        margin: width of the canvas around the crop, in pixels.
    """

    matrix: np.ndarray
    side: int
    margin: int

    @property
    def canvas_side(self) -> int:
        """Side of the square canvas in pixels."""
        return self.side + 2 * self.margin

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """Cut the canvas out of a frame."""
        return warp_face(frame, self.matrix, self.canvas_side)

    def crop(self, canvas: np.ndarray) -> np.ndarray:
        """Return the crop of a canvas; a view, not a copy."""
        inner = slice(self.margin, self.margin + self.side)
        return canvas[inner, inner]


def make_training_sample(
    image_rgb: np.ndarray,
    points_xy: np.ndarray,
    label: int,
    rng: np.random.Generator,
    config: FacialSwapConfig = FacialSwapConfig(),
    source_rgb: np.ndarray | None = None,
    swappable: bool = True,
    shared: np.random.Generator | None = None,
) -> TrainingSample:
    """Make one training crop of a genuine or forged frame.

    Args:
        image_rgb: (H, W, 3) uint8, the frame.
        points_xy: (5 | 68 | 81, 2), the frame's landmarks in its pixels.
        label: 0 genuine, 1 forged.
        rng: draws everything; equal states give equal samples.
        config: see `FacialSwapConfig`.
        source_rgb: (H, W, 3) uint8, the genuine frame a forged one was made from.
        swappable: whether source and frame are the same moment, pixel for pixel.
        shared: draws alignment, degradations and flip, the same for both samples of a pair; by
            default `rng` does.

    Returns:
        The sample. A forged frame stays untouched if it has no usable source ("fake") or if the
        drawn swap has no visible effect ("fake-fallback").

    Raises:
        ValueError: a picture or the landmarks are malformed.
    """
    if label not in (0, 1):
        raise ValueError(f"the label must be 0 (genuine) or 1 (forged), got {label}")
    check_image(image_rgb)
    points_xy = check_points(points_xy)
    shared = rng if shared is None else shared
    if label == 0 or source_rgb is None or not swappable:
        view = draw_view(points_xy, shared, config, margin_share=0.0)
        crop = view.cut(image_rgb)
        if label == 0:
            return finish_sample(crop, "genuine", np.zeros(crop.shape[:2], bool), shared, config)
        return finish_sample(crop, "fake", None, shared, config)
    check_image(source_rgb)
    view = draw_view(points_xy, shared, config)
    if source_rgb.shape != image_rgb.shape:
        return finish_sample(view.crop(view.cut(image_rgb)), "fake-fallback", None, shared, config)

    fake, source = view.cut(image_rgb), view.cut(source_rgb)
    outline_xy = face_outline(transform_points(view.matrix, points_xy))
    if rng.random() < config.global_probability:
        swapped, kind = _swap_face(fake, source, outline_xy, view, rng, config)
        box = None
    else:
        swapped, box = _swap_window(fake, source, outline_xy, view, rng, config)
        kind = "partial"
    changed = None if swapped is None else visible_change(view.crop(swapped), view.crop(source))
    least = LEAST_CHANGED_SHARE
    if box is not None:
        least = LEAST_CHANGED_WINDOW_SHARE * (box[2] - box[0]) * (box[3] - box[1])
    if changed is None or (kind != "fake" and changed.mean() < least):
        kind, swapped, box = "fake-fallback", fake, None
        changed = visible_change(view.crop(fake), view.crop(source))
    return finish_sample(view.crop(swapped), kind, changed, shared, config, box)


def draw_view(
    points_xy: np.ndarray,
    rng: np.random.Generator,
    config: FacialSwapConfig,
    margin_share: float = MARGIN,
) -> CropView:
    """Draw a jittered alignment, and whether the frame is halved.

    Halving the frame halves the detail of the crop, unless the face is so large that the crop
    shrinks it further anyway. So the crop is made smaller instead of the frame, by the same
    factor, and enlarged at the end.
    """
    matrix = jittered_alignment_matrix(
        five_points(points_xy),
        rng,
        config.jitter,
        config.image_size,
        config.align_scale,
        config.eye_height,
    )
    side = config.image_size
    if rng.random() < config.halve_probability:
        zoom = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
        side = round(side * min(max(0.5 / zoom, LEAST_HALVED_SHARE), 1.0))
    factor = side / config.image_size
    margin = round(side * margin_share)
    matrix = matrix * factor
    matrix[:, 2] += 0.5 * factor - 0.5 + margin  # pixel centres lie at whole numbers
    return CropView(matrix, side, margin)


def window_pixels(window_wh: tuple[int, int], side: int) -> tuple[int, int]:
    """Convert a window from pixels of a 224 px crop to pixels of a crop of `side`."""
    width, height = (max(1, round(length * side / NOMINAL_SIZE)) for length in window_wh)
    return width, height


def _swap_face(
    fake: np.ndarray,
    source: np.ndarray,
    outline_xy: np.ndarray,
    view: CropView,
    rng: np.random.Generator,
    config: FacialSwapConfig,
) -> tuple[np.ndarray, str]:
    """A global swap: the canvas and its kind."""
    draw = rng.random() - config.fake_background_probability
    if draw >= config.source_background_probability:
        return fake, "fake"
    mask = random_mask(outline_xy, view.canvas_side, rng, config.deform_probability)
    if draw < 0:
        swapped = blend(fake, source, mask, rng, config.poisson_probability)
        return swapped, "global-fake-background"
    swapped = blend(source, fake, mask, rng, config.poisson_probability)
    return swapped, "global-source-background"


def _swap_window(
    fake: np.ndarray,
    source: np.ndarray,
    outline_xy: np.ndarray,
    view: CropView,
    rng: np.random.Generator,
    config: FacialSwapConfig,
) -> tuple[np.ndarray | None, tuple[float, ...] | None]:
    """A partial swap: the canvas and its box, or (None, None) if there is nothing to swap."""
    window_wh = config.windows_wh[rng.integers(len(config.windows_wh))]
    window_xyxy = None
    if min(window_wh) < NOMINAL_SIZE:  # a window as large as the crop clips nothing
        weights = structural_dissimilarity(view.crop(fake), view.crop(source))
        half = view.side // 2
        hull_xy = (outline_xy - view.margin) / 2
        weights[fill_outline(hull_xy, (half, half)) == 0] = 0
        width, height = window_pixels(window_wh, half)
        left, top = most_changed_window(weights, (width, height))
        x0, y0 = view.margin + 2 * left, view.margin + 2 * top
        window_xyxy = (x0, y0, x0 + 2 * width, y0 + 2 * height)
    mask = random_mask(outline_xy, view.canvas_side, rng, config.deform_probability, window_xyxy)
    swapped = blend(source, fake, mask, rng, config.poisson_probability)
    box = changed_box(view.crop(swapped), view.crop(source))
    if box is None or min(box[2] - box[0], box[3] - box[1]) < LEAST_BOX_SIDE:
        return None, None
    return swapped, box


def finish_sample(
    crop: np.ndarray,
    kind: str,
    changed: np.ndarray | None,
    rng: np.random.Generator,
    config: FacialSwapConfig,
    window_xyxy: tuple[float, ...] | None = None,
) -> TrainingSample:
    """Resize, degrade and flip a crop, and return it with its label and boxes.

    Args:
        crop: (side, side, 3) uint8.
        kind: see `TrainingSample`; decides the label.
        changed: (side, side) bool or None.
        window_xyxy: in [0, 1] of the crop, the place of a partial swap.
    """
    label = 0 if kind.startswith("genuine") else 1
    boxes = np.zeros((MAX_BOXES, 4), np.float32)
    if label:
        boxes[0] = WHOLE_CROP_XYXY
    if window_xyxy is not None:
        boxes[1] = window_xyxy
    size_wh = (config.image_size, config.image_size)
    if crop.shape[0] != config.image_size:
        crop = cv2.resize(crop, size_wh, interpolation=cv2.INTER_LINEAR)
        if changed is not None:
            # Not INTER_NEAREST, which rounds towards the left and top.
            nearest = cv2.INTER_NEAREST_EXACT
            changed = cv2.resize(changed.view(np.uint8), size_wh, None, 0, 0, nearest).view(bool)
    image = degrade(crop, rng, config.degradations)
    if rng.random() < config.flip_probability:
        image = np.ascontiguousarray(image[:, ::-1])
        real = boxes[:, 2] > boxes[:, 0]
        boxes[real, 0], boxes[real, 2] = 1 - boxes[real, 2], 1 - boxes[real, 0]
        changed = None if changed is None else np.ascontiguousarray(changed[:, ::-1])
    return TrainingSample(image, label, boxes, kind, changed)
