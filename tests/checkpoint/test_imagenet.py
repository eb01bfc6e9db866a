"""ImageNet weights for the backbone: from the package, from files, or refused."""

from pathlib import Path

import cv2
import pytest
import timm
import torch
from safetensors.torch import save_file
from skimage import data

from caddm_hf import CaddmConfig, CaddmForDeepfakeDetection, CaddmImageProcessor
from caddm_hf.checkpoint.imagenet import (
    LITE0_BACKBONE,
    LITE0_PACKAGE,
    WeightsError,
    _lite0_file,
    _read_tensors,
    _rename_lite0,
    backbone_normalisation,
    load_imagenet_weights,
)


@pytest.fixture(scope="module")
def lite0() -> CaddmForDeepfakeDetection:
    return CaddmForDeepfakeDetection(
        CaddmConfig(backbone=LITE0_BACKBONE, artifact_width=8, image_size=64)
    )


def test_the_lite0_package_fits_timms_network(lite0: CaddmForDeepfakeDetection):
    """It has learnt what a cat is: the mapping by order is right, not only of the right shapes."""
    load_imagenet_weights(lite0, LITE0_PACKAGE)
    network = timm.create_model(LITE0_BACKBONE).eval()
    tensors = _rename_lite0(_read_tensors(_lite0_file()))
    network.load_state_dict(tensors)
    for name, tensor in lite0.backbone.state_dict().items():
        assert torch.equal(tensor, tensors[name])
    mean, std = backbone_normalisation(LITE0_BACKBONE)
    picture = cv2.resize(data.cat()[:, 75:375], (224, 224), interpolation=cv2.INTER_AREA)
    processor = CaddmImageProcessor(image_mean=mean, image_std=std)
    with torch.inference_mode():
        logits = network(processor.pixel_values(picture[None]))[0]
    assert 281 <= int(logits.argmax()) <= 285  # ImageNet's domestic cats


def test_weights_come_from_files_too(lite0: CaddmForDeepfakeDetection, tmp_path: Path):
    weights = {
        name: torch.rand_like(t) if t.is_floating_point() else t
        for name, t in lite0.backbone.state_dict().items()
    }
    save_file(weights, tmp_path / "backbone.safetensors")
    load_imagenet_weights(lite0, str(tmp_path / "backbone.safetensors"))
    assert torch.equal(lite0.backbone.conv_stem.weight, weights["conv_stem.weight"])
    # With a classifier beside, as timm's files have it.
    torch.save(weights | {"classifier.weight": torch.zeros(1000, 1280)}, tmp_path / "whole.pth")
    load_imagenet_weights(lite0, str(tmp_path / "whole.pth"))


def test_unusable_weights_are_refused(lite0: CaddmForDeepfakeDetection, tmp_path: Path):
    def refused(name: str, message: str) -> None:
        before = lite0.backbone.conv_stem.weight.clone()
        with pytest.raises(WeightsError, match=message):
            load_imagenet_weights(lite0, name)
        assert torch.equal(before, lite0.backbone.conv_stem.weight)

    refused(str(tmp_path / "gone.pth"), "no file")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    refused(str(tmp_path / "broken.safetensors"), "cannot be read")
    torch.save({"run": Path("/")}, tmp_path / "code.pth")
    refused(str(tmp_path / "code.pth"), "more than weights")
    torch.save([1, 2], tmp_path / "list.pth")
    refused(str(tmp_path / "list.pth"), "not a file of named tensors")
    torch.save({"conv_stem.weight": torch.zeros(1)}, tmp_path / "other.pth")
    refused(str(tmp_path / "other.pth"), "missing or misshaped")


def test_the_processor_has_the_backbones_normalisation():
    assert backbone_normalisation("tf_efficientnet_lite0")[0] == (0.5, 0.5, 0.5)
    assert backbone_normalisation("resnet34")[0] == (0.485, 0.456, 0.406)
