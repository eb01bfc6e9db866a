"""Frame and five points -> the tensor a checkpoint expects: its input contract, kept with it."""

from typing import ClassVar

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor, BatchFeature
from transformers.image_utils import ImageInput, make_flat_list_of_images

from .face_alignment import alignment_matrix, template_points, warp_face

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE = 16384


class CaddmImageProcessor(BaseImageProcessor):
    """Aligns faces and turns crops into `pixel_values`.

    Args:
        size: side of the face crop in pixels.
        align_scale: size of the face in the crop; 0.9 is the paper's.
        eye_height: where the eyes lie in the crop, in units of its height; None is the paper's
            way (see `face_alignment`).
        channel_order: "rgb", or "bgr" for the authors' weights.
        do_rescale: multiply the 0..255 values by `rescale_factor`; the authors' weights take
            raw values.
        rescale_factor: usually 1/255.
        do_normalize: subtract `image_mean` and divide by `image_std` after rescaling.
        image_mean, image_std: of each channel, in `channel_order`.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(
        self,
        size: int = 224,
        align_scale: float = 0.9,
        eye_height: float | None = None,
        channel_order: str = "rgb",
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: tuple[float, float, float] = IMAGENET_MEAN,
        image_std: tuple[float, float, float] = IMAGENET_STD,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', got {channel_order!r}")
        if not (isinstance(size, int) and 64 <= size <= 1024):
            raise ValueError(f"size must lie between 64 and 1024 pixels, got {size!r}")
        if len(image_mean) != 3 or len(image_std) != 3 or min(image_std) <= 0:
            raise ValueError("image_mean and image_std need three values each, image_std positive")
        self.size = size
        template_points(size, align_scale, eye_height)  # raises what is wrong with them
        self.align_scale = align_scale
        self.eye_height = eye_height
        self.channel_order = channel_order
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)

    def align(
        self, image_rgb: np.ndarray, landmarks_xy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cut one face out of a frame.

        Args:
            image_rgb: (H, W, 3) uint8 frame.
            landmarks_xy: (5, 2) pixels of the frame: left eye, right eye, nose tip, left and
                right mouth corner.

        Returns:
            crop (size, size, 3) uint8 RGB and the (2, 3) matrix from frame to crop.
        """
        matrix = alignment_matrix(landmarks_xy, self.size, self.align_scale, self.eye_height)
        return warp_face(image_rgb, matrix, self.size), matrix

    def pixel_values(self, crops_rgb: np.ndarray | list[np.ndarray]) -> torch.Tensor:
        """(B, size, size, 3) uint8 RGB crops -> (B, 3, size, size) float32 by the contract."""
        values = torch.from_numpy(np.ascontiguousarray(np.stack(crops_rgb)))
        values = values.permute(0, 3, 1, 2).float()
        if self.channel_order == "bgr":
            values = values.flip(1)
        if self.do_rescale:
            values = values * self.rescale_factor
        if self.do_normalize:
            mean = torch.tensor(self.image_mean).view(1, 3, 1, 1)
            std = torch.tensor(self.image_std).view(1, 3, 1, 1)
            values = (values - mean) / std
        return values.contiguous()

    def preprocess(
        self,
        images: ImageInput,
        landmarks: list[np.ndarray] | np.ndarray | None = None,
        return_tensors: str | None = "pt",
        **kwargs,
    ) -> BatchFeature:
        """Prepare images for the model.

        Args:
            images: one or more RGB images: PIL, or (H, W, 3) / (3, H, W) uint8 arrays or
                tensors.
            landmarks: (5, 2) points for each image, in its pixels. Without them every image is
                taken for a face crop already and only resized.
            return_tensors: "pt" (default) or "np".

        Raises:
            ValueError: an image is no 8-bit picture, or the landmarks do not fit the images.
        """
        frames = [_as_rgb(image) for image in make_flat_list_of_images(images)]
        if landmarks is None:
            crops = [self._resize(frame) for frame in frames]
        else:
            points = np.asarray(landmarks, dtype=np.float64)
            points = points[None] if points.ndim == 2 else points
            if points.shape != (len(frames), 5, 2):
                raise ValueError(
                    f"landmarks must be ({len(frames)}, 5, 2) for {len(frames)} image(s), got "
                    f"{points.shape}"
                )
            crops = [self.align(frame, five)[0] for frame, five in zip(frames, points, strict=True)]
        return BatchFeature({"pixel_values": self.pixel_values(crops)}, tensor_type=return_tensors)

    def _resize(self, frame_rgb: np.ndarray) -> np.ndarray:
        shrinking = max(frame_rgb.shape[:2]) > self.size
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        return cv2.resize(frame_rgb, (self.size, self.size), interpolation=interpolation)


def _as_rgb(image: Image.Image | np.ndarray | torch.Tensor) -> np.ndarray:
    """One image as (H, W, 3) uint8 RGB."""
    if isinstance(image, Image.Image):
        array = np.asarray(image.convert("RGB"))
    else:
        array = image.cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
        if array.ndim == 2:
            array = np.repeat(array[..., None], 3, axis=2)
        if array.ndim == 3 and array.shape[2] not in (3, 4) and array.shape[0] in (3, 4):
            array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype != np.uint8:
        raise ValueError(
            f"an image must be 8-bit with 3 channels, got {array.dtype} of shape {array.shape}"
        )
    if not 1 <= min(array.shape[:2]) <= max(array.shape[:2]) <= MAX_SIDE:
        raise ValueError(f"an image of {array.shape[1]}x{array.shape[0]} pixels is not accepted")
    return np.ascontiguousarray(array[..., :3])


CaddmImageProcessor.register_for_auto_class()
