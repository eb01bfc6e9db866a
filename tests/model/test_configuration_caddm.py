"""The configuration alone: its code goes where it is saved, and checks its values."""

import json

import pytest

from caddm_hf.model.configuration_caddm import CaddmConfig


def test_saved_alone_it_brings_its_code(tmp_path):
    CaddmConfig().save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["auto_map"] == {"AutoConfig": "configuration_caddm.CaddmConfig"}
    code = (tmp_path / "configuration_caddm.py").read_text()
    assert "class CaddmConfig" in code


def test_values_come_back(tmp_path):
    CaddmConfig(artifact_width=32, fake_above=0.7).save_pretrained(tmp_path)
    again = CaddmConfig.from_pretrained(tmp_path)
    assert (again.artifact_width, again.fake_above) == (32, 0.7)


def test_thresholds_in_the_wrong_order():
    with pytest.raises(ValueError, match="real_below"):
        CaddmConfig(real_below=0.8, fake_above=0.2)


def test_measured_limits_come_back_and_are_absent_by_default(tmp_path):
    assert CaddmConfig().least_face_px is CaddmConfig().least_sharpness is None
    CaddmConfig(least_face_px=72, least_sharpness=0.3, least_heatmap_peak=0.4).save_pretrained(
        tmp_path
    )
    again = CaddmConfig.from_pretrained(tmp_path)
    limits = (again.least_face_px, again.least_sharpness, again.least_heatmap_peak)
    assert limits == (72, 0.3, 0.4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("least_face_px", 0),
        ("least_face_px", float("nan")),
        ("least_sharpness", 1.5),
        ("least_heatmap_peak", -0.1),
    ],
)
def test_limits_out_of_range(key, value):
    with pytest.raises(ValueError, match=key):
        CaddmConfig(**{key: value})
