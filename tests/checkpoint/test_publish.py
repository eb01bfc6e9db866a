"""What the finished folder holds when its weights are to be stored in half precision."""

import torch
from safetensors.torch import load_file

from caddm_hf.checkpoint.loading import load_model
from caddm_hf.checkpoint.publish import HALVED_FROM, is_halved, write_model_folder
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection


def test_large_tensors_alone_are_halved(tmp_path, monkeypatch):
    monkeypatch.setattr("caddm_hf.checkpoint.publish.write_model_card", lambda folder, facts: None)
    config = CaddmConfig(backbone="tf_efficientnet_lite0", artifact_width=64, image_size=160)
    torch.manual_seed(0)
    weights = CaddmForDeepfakeDetection(config).state_dict()
    sizes = {}
    for name, half in (("full", False), ("half", True)):
        (tmp_path / name).mkdir()
        write_model_folder(
            tmp_path / name, config, weights, CaddmImageProcessor(size=160), None, half
        )
        sizes[name] = (tmp_path / name / "model.safetensors").stat().st_size
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert stored.keys() == weights.keys()
    for name, tensor in stored.items():
        large = weights[name].is_floating_point() and weights[name].numel() >= HALVED_FROM
        assert tensor.dtype == (torch.float16 if large else weights[name].dtype)
    assert 0.5 < sizes["half"] / sizes["full"] < 0.75
    loaded = load_model(tmp_path / "half").model.state_dict()
    for name, tensor in loaded.items():
        assert tensor.dtype == weights[name].dtype
        expected = weights[name].half().float() if is_halved(weights[name]) else weights[name]
        assert torch.equal(tensor, expected)
