import numpy as np
import pytest
import torch
from PIL import Image

from caddm_hf import CaddmImageProcessor
from caddm_hf.model.face_alignment import template_points


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (300, 400, 3), np.uint8)


def test_default_contract_is_rgb_with_imagenet_normalisation():
    grey = np.full((224, 224, 3), (255, 0, 128), np.uint8)
    values = CaddmImageProcessor()(grey).pixel_values
    assert values.shape == (1, 3, 224, 224)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(values[0, :, 100, 100], expected, rtol=1e-5)


def test_authors_contract_is_raw_bgr():
    processor = CaddmImageProcessor(channel_order="bgr", do_rescale=False, do_normalize=False)
    grey = np.full((224, 224, 3), (250, 10, 128), np.uint8)
    assert processor(grey).pixel_values[0, :, 7, 7].tolist() == [128.0, 10.0, 250.0]


def test_points_align_the_face(picture):
    points = template_points(224, 0.9) * 0.8 + (60, 20)
    processor = CaddmImageProcessor(do_rescale=False, do_normalize=False)
    marked = picture.copy()
    x, y = points[2].round().astype(int)
    marked[y - 2 : y + 3, x - 2 : x + 3] = (255, 0, 255)
    crop = processor(marked, landmarks=points).pixel_values[0]
    nose_x, nose_y = template_points(224, 0.9)[2].round().astype(int)
    assert crop[:, nose_y, nose_x].tolist() == pytest.approx([255, 0, 255], abs=20)


def test_pil_arrays_and_tensors_agree(picture):
    processor = CaddmImageProcessor()
    from_array = processor(picture).pixel_values
    assert torch.equal(processor(Image.fromarray(picture)).pixel_values, from_array)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    assert torch.equal(processor(tensor).pixel_values, from_array)
    batch = processor([picture, Image.fromarray(picture)]).pixel_values
    assert torch.equal(batch[1], from_array[0])


def test_grey_and_transparent_pictures():
    processor = CaddmImageProcessor()
    assert processor(Image.new("L", (50, 60), 90)).pixel_values.shape == (1, 3, 224, 224)
    assert processor(Image.new("RGBA", (50, 60))).pixel_values.shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p(np.zeros((9, 9, 3), np.float32)), "8-bit"),
        (lambda p: p(np.zeros((9, 9, 3), np.uint8), landmarks=np.zeros((2, 5, 2))), "landmarks"),
        (lambda p: p(np.zeros((9, 9, 3), np.uint8), landmarks=np.zeros((5, 2))), "coincide"),
    ],
)
def test_wrong_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call(CaddmImageProcessor())


@pytest.mark.parametrize(
    "settings",
    [{"channel_order": "gbr"}, {"size": 10**9}, {"image_std": (0, 1, 1)}, {"size": "224"}],
)
def test_absurd_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"must|need"):
        CaddmImageProcessor(**settings)


def test_contract_survives_saving(tmp_path, picture):
    processor = CaddmImageProcessor(channel_order="bgr", align_scale=0.75, do_normalize=False)
    processor.save_pretrained(tmp_path)
    loaded = CaddmImageProcessor.from_pretrained(tmp_path)
    assert loaded.align_scale == 0.75
    points = template_points(224) + 30
    ours, theirs = (p(picture, landmarks=points).pixel_values for p in (processor, loaded))
    assert torch.equal(ours, theirs)
