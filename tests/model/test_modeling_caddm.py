import pytest
import torch
import torch.nn.functional as F

from caddm_hf import CaddmConfig, CaddmForDeepfakeDetection
from caddm_hf.model.modeling_caddm import CaddmOutput
from caddm_hf.model.multibox import detection_losses


@pytest.fixture(scope="module")
def slim() -> CaddmForDeepfakeDetection:
    torch.manual_seed(0)
    return CaddmForDeepfakeDetection(
        CaddmConfig(backbone="tf_efficientnet_lite0", artifact_width=192)
    ).eval()


def test_slim_model_is_small(slim):
    assert sum(parameter.numel() for parameter in slim.parameters()) <= 8_000_000


def test_output_shapes(slim):
    with torch.inference_mode():
        output = slim(torch.randn(3, 3, 224, 224))
    assert output.loss is None
    assert output.logits.shape == (3, 2)
    assert output.anchor_offsets.shape == (3, 168, 4)
    assert output.anchor_logits.shape == (3, 168, 2)
    assert output.pooled_features.shape == (3, 1280 + 192)
    assert output.global_features.shape == (3, 1280)
    assert output.artifact_features.shape == (3, 192)


@pytest.mark.parametrize("genuine_negatives", [False, True])
def test_loss_is_classification_plus_weighted_detection(slim, monkeypatch, genuine_negatives):
    monkeypatch.setattr(slim.config, "genuine_negatives", genuine_negatives)
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0.2, 0.2, 0.5, 0.6]], [[0.0] * 4] * 2])
    labels = torch.tensor([1, 0])
    with torch.no_grad():
        output = slim(torch.randn(2, 3, 224, 224), labels=labels, artifact_boxes=boxes)
    parts = detection_losses(output.anchor_offsets, output.anchor_logits, boxes, genuine_negatives)
    expected = F.cross_entropy(output.logits, labels) + 0.1 * (parts[0] + parts[1])
    assert float(output.loss) == pytest.approx(float(expected), rel=1e-6)
    assert float(parts[0]) > 0
    assert output.localisation_loss == parts[0]
    assert output.confidence_loss == parts[1]


def test_labels_alone_train_a_plain_classifier(slim):
    with torch.no_grad():
        output = slim(torch.randn(2, 3, 224, 224), labels=torch.tensor([1, 0]))
    assert output.loss == F.cross_entropy(output.logits, torch.tensor([1, 0]))
    assert output.localisation_loss is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixel_values": torch.zeros(1, 1, 224, 224)}, "pixel_values must be"),
        ({"artifact_boxes": torch.zeros(1, 1, 4)}, "need labels"),
        ({"labels": torch.zeros(2, dtype=torch.long)}, "labels must be"),
        (
            {"labels": torch.zeros(1, dtype=torch.long), "artifact_boxes": torch.zeros(1, 4)},
            "artifact_boxes must be",
        ),
    ],
)
def test_wrong_shapes_are_explained(slim, arguments, message):
    arguments = {"pixel_values": torch.zeros(1, 3, 224, 224), **arguments}
    with pytest.raises(ValueError, match=message):
        slim(**arguments)


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = CaddmForDeepfakeDetection(CaddmConfig(backbone="resnet18", artifact_width=16))
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0.2, 0.2, 0.5, 0.6]], [[0.0] * 4] * 2])
    model(torch.randn(2, 3, 224, 224), torch.tensor([1, 0]), boxes).loss.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("backbone", "width", "size"),
    [
        ("resnet34", None, 224),
        ("convnext_atto", 32, 224),
        ("mobilenetv3_small_050", 32, 224),
        ("tf_efficientnet_lite0", 64, 160),
        ("tf_efficientnet_lite0", 64, 300),
    ],
)
def test_other_backbones_and_sizes(backbone, width, size):
    config = CaddmConfig(backbone=backbone, artifact_width=width, image_size=size)
    model = CaddmForDeepfakeDetection(config).eval()
    with torch.inference_mode():
        output = model(torch.randn(1, 3, size, size))
    assert output.anchor_logits.shape == (1, 168, 2)
    assert model.artifact_heatmaps(output, size).shape == (1, size, size)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("vit_tiny_patch16_224", r"stride 32 and channels first"),
        ("swin_tiny_patch4_window7_224", r"stride 32 and channels first"),
        ("no_such_network", r"is not a model of timm"),
        ("hf-hub:someone/else", r"is not a model of timm"),
        ("local-dir:/tmp", r"is not a model of timm"),
        (["resnet34"], r"is not a model of timm"),
    ],
)
def test_unsuitable_backbones_are_refused(backbone, message):
    with pytest.raises(ValueError, match=message):
        CaddmForDeepfakeDetection(CaddmConfig(backbone=backbone))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("artifact_width", 0),
        ("artifact_width", 10**9),
        ("image_size", 10**6),
        ("calibration_temperature", 0.0),
        ("calibration_temperature", float("nan")),
        ("calibration_bias", float("nan")),
        ("calibration_bias", float("-inf")),
        ("real_below", 0.9),
        ("fake_above", 1.5),
        ("detection_loss_weight", -1.0),
    ],
)
def test_absurd_configurations_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        CaddmConfig(**{field: value})


@pytest.mark.parametrize("backbone", ["resnetblur18", "tf_efficientnet_lite0"])
def test_saved_and_loaded_model_answers_the_same(backbone, tmp_path):
    """Also for a backbone with buffers that are not saved (the blur filters)."""
    torch.manual_seed(3)
    model = CaddmForDeepfakeDetection(CaddmConfig(backbone=backbone, artifact_width=24)).eval()
    model.save_pretrained(tmp_path)
    loaded = CaddmForDeepfakeDetection.from_pretrained(tmp_path).eval()
    values = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        # Not to the last bit: where a tensor lies in memory can change the order of a sum.
        torch.testing.assert_close(loaded(values).logits, model(values).logits)
    assert (tmp_path / "model.safetensors").is_file()


def test_building_a_model_asks_no_network_and_is_seeded():
    def weights() -> list[torch.Tensor]:
        torch.manual_seed(5)
        model = CaddmForDeepfakeDetection(CaddmConfig("tf_efficientnet_lite0", artifact_width=8))
        return list(model.state_dict().values())

    assert all(torch.equal(a, b) for a, b in zip(weights(), weights(), strict=True))


def test_calibration_keeps_the_ranking(slim):
    with torch.inference_mode():
        output = slim(torch.randn(8, 3, 224, 224))
        plain = slim.fake_probability(output)
        torch.testing.assert_close(plain, output.logits.softmax(-1)[:, 1])
        slim.config.calibration_temperature = 3.0
        warm = slim.fake_probability(output)
        slim.config.calibration_bias = -2.0
        moved = slim.fake_probability(output)
        slim.config.calibration_temperature, slim.config.calibration_bias = 1.0, 0.0
    assert torch.equal(plain.argsort(), warm.argsort())
    assert torch.equal(plain.argsort(), moved.argsort())
    assert ((warm - 0.5).abs() < (plain - 0.5).abs()).all()
    torch.testing.assert_close(moved.logit(), (plain.logit() - 2) / 3)


def test_a_configuration_without_a_bias_has_none():
    values = CaddmConfig(calibration_temperature=2.0).to_dict()
    del values["calibration_bias"]
    assert CaddmConfig.from_dict(values).calibration_bias == 0
    assert CaddmConfig(calibration_bias=-1.5).to_dict()["calibration_bias"] == -1.5


def test_heads_start_undecided():
    """In the first step no anchor may be sure of itself: training would start by unlearning."""
    config = CaddmConfig(backbone="tf_efficientnet_lite0", artifact_width=192)
    with torch.inference_mode():
        output = CaddmForDeepfakeDetection(config).train()(torch.randn(4, 3, 224, 224))
    confidences = output.anchor_logits.softmax(-1)[..., 1]
    assert float(confidences.min()) > 0.02
    assert float(confidences.max()) < 0.98


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inference(slim, dtype, tmp_path):
    slim.save_pretrained(tmp_path)
    half = CaddmForDeepfakeDetection.from_pretrained(tmp_path, dtype=dtype).eval()
    values = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        output = half(values.to(dtype))
        assert output.logits.dtype == dtype
        heatmap = half.artifact_heatmaps(output)
        difference = half.fake_probability(output) - slim.fake_probability(slim(values))
    assert heatmap.dtype == torch.float32
    assert float(difference.abs().max()) < 0.1


@pytest.mark.parametrize(("genuine_negatives", "raw"), [(False, 0.4), (True, 0.25)])
def test_places_are_marked_at_the_odds_of_training(slim, monkeypatch, genuine_negatives, raw):
    """2 or 4 negatives a positive: a confidence of 1/3 or 1/5 is as much as none at even odds."""
    monkeypatch.setattr(slim.config, "genuine_negatives", genuine_negatives)
    logits = torch.full((1, 168, 2), -5.0)
    logits[..., 0] = 5.0
    logits[0, 120] = torch.tensor([1 - raw, raw]).log()
    output = CaddmOutput(anchor_offsets=torch.zeros(1, 168, 4), anchor_logits=logits)
    ((place,),) = slim.artifact_boxes(output)
    odds = slim.negatives_per_positive * raw / (1 - raw)
    assert 0.5 < place.confidence == pytest.approx(odds / (1 + odds))
    assert float(slim.artifact_heatmaps(output).max()) > 0.2
    logits[0, 120] = torch.tensor([0.85, 0.15]).log()
    assert slim.artifact_boxes(output) == [[]]
