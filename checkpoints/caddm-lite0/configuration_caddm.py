"""Everything the weights of a CADDM detector need to be put to use."""

import math

from transformers import PreTrainedConfig


class CaddmConfig(PreTrainedConfig):
    """Configuration of `CaddmForDeepfakeDetection`.

    Args:
        backbone: a timm model name whose last feature map has stride 32. The paper's are
            `resnet34`, `tf_efficientnet_b3` and `tf_efficientnet_b4`; `tf_efficientnet_lite0`
            is the one for CPU use.
        artifact_width: channels of the artifact detection module. `None` gives it the
            backbone's own number, as in the paper (290 M parameters with EfficientNet-b4); a
            number puts a 1x1 projection to that width before it.
        image_size: side of the square face crop in pixels.
        detection_loss_weight: weight of the box and anchor losses beside the cross-entropy
            of the label.
        genuine_negatives: anchors learn from genuine crops, too, that nothing is there; the
            paper has negatives in forged crops only.
        calibration_temperature: the difference of the two logits is divided by it before it
            becomes a probability, as is the logit of a mean over frames. With a bias of 0, 1
            means not calibrated.
        calibration_bias: added to the same logits before they are divided.
        real_below: a probability of "fake" below this is called real.
        fake_above: a probability of "fake" above this is called fake; between the two
            lies the undecided band.
        trained: False marks random weights, whose scores mean nothing.
        least_face_px: smaller faces (longer side of the box, pixels of the frame) get no verdict,
            as was measured for these weights. `None` leaves the limit to the detector.
        least_sharpness: less sharp faces get no verdict, as was measured for these weights; in
            [0, 1], a measure of the aligned crop at the face's own size. `None` for no limit.
        least_heatmap_peak: no place of a face stands out where the heatmap's peak is lower; in
            [0, 1]. `None` leaves the level to the detector.

    Raises:
        ValueError: a value is outside its range; the sentence names it.
    """

    model_type = "caddm"

    def __init__(
        self,
        backbone: str = "resnet34",
        artifact_width: int | None = None,
        image_size: int = 224,
        detection_loss_weight: float = 0.1,
        genuine_negatives: bool = False,
        calibration_temperature: float = 1.0,
        calibration_bias: float = 0.0,
        real_below: float = 0.4,
        fake_above: float = 0.6,
        trained: bool = True,
        least_face_px: float | None = None,
        least_sharpness: float | None = None,
        least_heatmap_peak: float | None = None,
        **kwargs,
    ):
        if artifact_width is not None and not 1 <= artifact_width <= 4096:
            raise ValueError(f"artifact_width must lie between 1 and 4096, got {artifact_width}")
        if not 64 <= image_size <= 1024:
            raise ValueError(f"image_size must lie between 64 and 1024 pixels, got {image_size}")
        if not (math.isfinite(calibration_temperature) and calibration_temperature > 0):
            raise ValueError(
                f"calibration_temperature must be a positive number, got {calibration_temperature}"
            )
        if not math.isfinite(calibration_bias):
            raise ValueError(f"calibration_bias must be a finite number, got {calibration_bias}")
        if not 0 <= real_below <= fake_above <= 1:
            raise ValueError(
                "the thresholds must satisfy 0 <= real_below <= fake_above <= 1, got "
                f"{real_below} and {fake_above}"
            )
        if not (math.isfinite(detection_loss_weight) and detection_loss_weight >= 0):
            raise ValueError(
                f"detection_loss_weight must not be negative, got {detection_loss_weight}"
            )
        if least_face_px is not None and not 1 <= least_face_px <= 4096:
            raise ValueError(f"least_face_px must lie between 1 and 4096, got {least_face_px}")
        for name, share in (
            ("least_sharpness", least_sharpness),
            ("least_heatmap_peak", least_heatmap_peak),
        ):
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {share}")
        self.backbone = backbone
        self.artifact_width = artifact_width
        self.image_size = image_size
        self.detection_loss_weight = detection_loss_weight
        self.genuine_negatives = genuine_negatives
        self.calibration_temperature = calibration_temperature
        self.calibration_bias = calibration_bias
        self.real_below = real_below
        self.fake_above = fake_above
        self.trained = trained
        self.least_face_px = least_face_px
        self.least_sharpness = least_sharpness
        self.least_heatmap_peak = least_heatmap_peak
        kwargs.setdefault("id2label", {0: "real", 1: "fake"})
        kwargs.setdefault("label2id", {"real": 0, "fake": 1})
        super().__init__(**kwargs)


CaddmConfig.register_for_auto_class()
