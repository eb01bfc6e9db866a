"""CADDM: a backbone, the artifact detection module on its last map, and one linear classifier.

    face crop -> timm backbone -> 7x7 map -+-> global average ----------------+-> label
                                           +-> artifact detection module -----+
                                                 7x7, 5x5, 3x3, 1x1 maps -> anchor offsets, logits

After "Implicit Identity Leakage: The Stumbling Block to Improving Deepfake Detection
Generalization" (CVPR 2023, arXiv 2210.14457). With the paper's backbones and no
`artifact_width` this is the authors' network, weight for weight.
"""

from dataclasses import dataclass

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput

from .configuration_caddm import CaddmConfig
from .heatmaps import ArtifactBox, anchor_heatmaps, artifact_boxes, at_even_odds
from .multibox import (
    ANCHOR_GRIDS,
    ANCHORS_PER_CELL,
    NEGATIVES_PER_POSITIVE,
    detection_losses,
)

FINEST_GRID = ANCHOR_GRIDS[0][0]
STRIDE = 32


@dataclass
class CaddmOutput(ModelOutput):
    """What the detector says about a batch of B face crops.

    Attributes:
        loss: scalar, given labels: cross-entropy, plus the weighted detection losses given
            boxes.
        logits: (B, 2) before softmax, index 1 = fake.
        anchor_offsets: (B, 168, 4) boxes as offsets from their anchors.
        anchor_logits: (B, 168, 2) before softmax, index 1 = artifact.
        pooled_features: (B, D) what the classifier sees.
        global_features: (B, C) average of the backbone's map.
        artifact_features: (B, W) the artifact module's 1x1 map.
        classification_loss, localisation_loss, confidence_loss: the unweighted parts of
            `loss`, detached.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    anchor_offsets: Tensor | None = None
    anchor_logits: Tensor | None = None
    pooled_features: Tensor | None = None
    global_features: Tensor | None = None
    artifact_features: Tensor | None = None
    classification_loss: Tensor | None = None
    localisation_loss: Tensor | None = None
    confidence_loss: Tensor | None = None


class ArtifactBlock(nn.Module):
    """Residual block that shrinks the map by `kernel_size - 1` (no padding)."""

    def __init__(self, width: int, kernel_size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, kernel_size)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut_conv = nn.Conv2d(width, width, kernel_size, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, W, S, S) -> (B, W, S - k + 1, S - k + 1)."""
        out = F.relu(self.norm1(self.conv1(features)))
        out = self.norm2(self.conv2(out))
        return F.relu(out + self.shortcut_norm(self.shortcut_conv(features)))


class ArtifactEndBlock(nn.Module):
    """The last residual block, 3x3 -> 1x1, without normalisation."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3)
        self.conv2 = nn.Conv2d(width, width, 1)
        self.shortcut_conv = nn.Conv2d(width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, W, 3, 3) -> (B, W, 1, 1)."""
        out = self.conv2(F.relu(self.conv1(features)))
        return F.relu(out + self.shortcut_conv(features))


class AnchorHead(nn.Conv2d):
    """Convolution that gives some values for each anchor of each cell of a map."""

    def __init__(self, width: int, values: int, kernel_size: int):
        super().__init__(width, ANCHORS_PER_CELL * values, kernel_size, padding=kernel_size // 2)
        self.values = values

    def forward(self, features: Tensor) -> Tensor:
        """(B, W, S, S) -> (B, S * S * 2, values), in the order of the anchors."""
        rows = super().forward(features).permute(0, 2, 3, 1)
        return rows.reshape(len(features), -1, self.values)


class ArtifactDetectionModule(nn.Module):
    """Four maps of falling size, each with its own heads for box offsets and artifact logits."""

    def __init__(self, width: int):
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                ArtifactBlock(width, kernel_size=1),
                ArtifactBlock(width, kernel_size=3),
                ArtifactBlock(width, kernel_size=3),
                ArtifactEndBlock(width),
            ]
        )
        kernels = [3, 3, 3, 1]
        self.offset_heads = nn.ModuleList(AnchorHead(width, 4, kernel) for kernel in kernels)
        self.logit_heads = nn.ModuleList(AnchorHead(width, 2, kernel) for kernel in kernels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, W, 7, 7) -> anchor offsets (B, 168, 4), anchor logits (B, 168, 2), (B, W)."""
        offsets, logits = [], []
        for block, offset_head, logit_head in zip(
            self.blocks, self.offset_heads, self.logit_heads, strict=True
        ):
            features = block(features)
            offsets.append(offset_head(features))
            logits.append(logit_head(features))
        return torch.cat(offsets, dim=1), torch.cat(logits, dim=1), features.flatten(1)


def create_backbone(name: str, image_size: int) -> tuple[nn.Module, int]:
    """A timm model without its classifier, and the channels of its last map.

    Weights are random: ImageNet ones are loaded by the training script, by an explicit call.

    Raises:
        ValueError: timm has no such model, or its last map is not (B, C, H, W) of stride 32.
    """
    # Only names from timm's own list: prefixes such as "hf-hub:" would fetch foreign files.
    if not (isinstance(name, str) and timm.is_model(name)):
        raise ValueError(
            f"backbone {name!r} is not a model of timm {timm.__version__}: "
            "timm.list_models() lists the names"
        )
    # Shapes only: on the meta device nothing is computed.
    with torch.device("meta"):
        try:
            probe = timm.create_model(name, num_classes=0, global_pool="").eval()
            seen = probe.forward_features(torch.empty(1, 3, image_size, image_size))
        except Exception as error:
            raise ValueError(
                f"backbone {name!r} cannot take a {image_size} px face crop: {error}"
            ) from error
    side = -(-image_size // STRIDE)
    shape = tuple(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__
    if not (isinstance(shape, tuple) and len(shape) == 4 and shape[2:] == (side, side)):
        raise ValueError(
            f"backbone {name!r} gives {shape} for a {image_size} px face crop; CADDM needs a "
            f"map (1, channels, {side}, {side}), that is stride {STRIDE} and channels first"
        )
    return timm.create_model(name, num_classes=0, global_pool=""), shape[1]


class CaddmForDeepfakeDetection(PreTrainedModel):
    """Real or fake for a face crop, with the places that look forged."""

    config_class = CaddmConfig
    base_model_prefix = "caddm"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = False

    def __init__(self, config: CaddmConfig):
        super().__init__(config)
        self.backbone, channels = create_backbone(config.backbone, config.image_size)
        if not next(self.backbone.parameters()).is_meta:
            # timm has initialised its model in the way that suits it; leave it so. (On the
            # meta device, under `from_pretrained`, nothing has been initialised yet.)
            for module in self.backbone.modules():
                module._is_hf_initialized = True
        width = config.artifact_width or channels
        # With the backbone's own width both vectors are added, as in the paper; a slim module
        # has fewer channels, so they stand side by side.
        self.slim = config.artifact_width is not None
        self.projection = nn.Conv2d(channels, width, 1, bias=False) if self.slim else nn.Identity()
        self.artifact_module = ArtifactDetectionModule(width)
        self.classifier = nn.Linear(channels + width if self.slim else channels, 2)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """He initialisation for ReLU networks (arXiv 1502.01852), small weights for the outputs."""
        if isinstance(module, (AnchorHead, nn.Linear)):
            # Near zero, so that training does not start by unlearning random certainties.
            init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.Conv2d):
            fan_out = module.weight.shape[0] * module.weight[0, 0].numel() // module.groups
            init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        else:
            super()._init_weights(module)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            init.zeros_(module.bias)
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        artifact_boxes: Tensor | None = None,
        **kwargs,
    ) -> CaddmOutput:
        """Score a batch of aligned face crops.

        Args:
            pixel_values: (B, 3, S, S) from the checkpoint's image processor.
            labels: (B,) int64, 0 = real, 1 = fake.
            artifact_boxes: (B, K, 4) xyxy in [0, 1] of the crop, zero area = none; without
                them only the classification loss is computed (a plain classifier).

        Raises:
            ValueError: a tensor has another shape than stated, or boxes come without labels.
        """
        if pixel_values.dim() != 4 or pixel_values.shape[1] != 3:
            raise ValueError(
                f"pixel_values must be (batch, 3, height, width), got {tuple(pixel_values.shape)}"
            )
        feature_map = self.backbone.forward_features(pixel_values)
        global_features = feature_map.mean(dim=(2, 3))
        grid_map = self.projection(feature_map)
        if grid_map.shape[2:] != (FINEST_GRID, FINEST_GRID):
            # Another crop size than 224: bring the map onto the finest anchor grid.
            grid_map = F.interpolate(
                grid_map, size=(FINEST_GRID, FINEST_GRID), mode="bilinear", align_corners=False
            )
        offsets, anchor_logits, artifact_features = self.artifact_module(grid_map)
        if self.slim:
            pooled = torch.cat([global_features, artifact_features], dim=1)
        else:
            pooled = global_features + artifact_features
        output = CaddmOutput(
            logits=self.classifier(pooled),
            anchor_offsets=offsets,
            anchor_logits=anchor_logits,
            pooled_features=pooled,
            global_features=global_features,
            artifact_features=artifact_features,
        )
        if labels is not None:
            self._add_losses(output, labels, artifact_boxes)
        elif artifact_boxes is not None:
            raise ValueError("artifact_boxes need labels: a loss of boxes alone is not defined")
        return output

    def _add_losses(
        self, output: CaddmOutput, labels: Tensor, artifact_boxes: Tensor | None
    ) -> None:
        batch = len(output.logits)
        if labels.shape != (batch,):
            raise ValueError(f"labels must be ({batch},), got {tuple(labels.shape)}")
        loss = F.cross_entropy(output.logits.float(), labels)
        output.classification_loss = loss.detach()
        if artifact_boxes is not None:
            if artifact_boxes.dim() != 3 or artifact_boxes.shape[::2] != (batch, 4):
                raise ValueError(
                    f"artifact_boxes must be ({batch}, K, 4), got {tuple(artifact_boxes.shape)}"
                )
            localisation, confidence = detection_losses(
                output.anchor_offsets,
                output.anchor_logits,
                artifact_boxes,
                self.config.genuine_negatives,
            )
            output.localisation_loss = localisation.detach()
            output.confidence_loss = confidence.detach()
            loss = loss + self.config.detection_loss_weight * (localisation + confidence)
        output.loss = loss

    def fake_probability(self, output: CaddmOutput) -> Tensor:
        """(B,) calibrated probability of "fake".

        It is sigmoid((logits' difference + bias) / temperature): with temperature 1 and bias 0 the
        softmax of the logits.
        """
        difference = output.logits[:, 1].float() - output.logits[:, 0].float()
        config = self.config
        shifted = difference + config.calibration_bias
        return torch.sigmoid(shifted / config.calibration_temperature)

    @property
    def negatives_per_positive(self) -> float:
        """Anchors without an artifact for each with one in training: genuine crops double them."""
        return NEGATIVES_PER_POSITIVE * (2 if self.config.genuine_negatives else 1)

    def artifact_heatmaps(self, output: CaddmOutput, size: int = 224) -> Tensor:
        """(B, size, size) in [0, 1]: where on the crop the anchors see artifacts."""
        confidences = output.anchor_logits.float().softmax(dim=-1)[..., 1]
        return anchor_heatmaps(confidences, size, self.negatives_per_positive)

    def artifact_boxes(self, output: CaddmOutput) -> list[list[ArtifactBox]]:
        """For each crop the places that anchors are surer are forged than not."""
        confidences = output.anchor_logits.float().softmax(dim=-1)[..., 1]
        confidences = at_even_odds(confidences, self.negatives_per_positive)
        return artifact_boxes(output.anchor_offsets, confidences)


CaddmForDeepfakeDetection.register_for_auto_class("AutoModelForImageClassification")
