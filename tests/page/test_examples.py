"""caddm_hf.page.examples: four small files with a face that can be judged."""

from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from caddm_hf.faces.detection import FaceDetector
from caddm_hf.media.frames import probe_media
from caddm_hf.page.examples import make_examples, swapped_portrait
from support.media_checks import sampled


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> dict[str, Path]:
    return make_examples(tmp_path_factory.mktemp("made") / "examples")


def test_there_are_two_clips_and_two_pictures(examples):
    assert list(examples) == [
        "genuine_clip",
        "genuine_picture",
        "swapped_clip",
        "swapped_picture",
    ]
    assert all(0 < path.stat().st_size < 300_000 for path in examples.values())


@pytest.mark.parametrize("name", ["genuine_clip", "swapped_clip"])
def test_clips_are_two_seconds_of_h264(examples, name):
    info = probe_media(examples[name])
    assert (info.kind, info.codec, info.pixel_format) == ("video", "h264", "yuv420p")
    assert (info.frame_count, info.frame_rate) == (50, 25)
    assert info.duration_s == pytest.approx(2.0)


def test_the_face_moves_and_is_large_enough(examples):
    detector = FaceDetector()
    frames = [frame.image_rgb for frame in sampled(examples["swapped_clip"], 2)]
    boxes = [faces[0].box_xyxy for faces in detector.detect(frames)]
    heights = [box[3] - box[1] for box in boxes]
    assert all(140 < height < 210 for height in heights)
    assert heights[1] > heights[0]


def test_only_the_lower_face_is_swapped(examples):
    genuine, swapped = (
        sampled(examples[f"{name}_picture"])[0].image_rgb.astype(int)
        for name in ("genuine", "swapped")
    )
    changed = np.abs(genuine - swapped).max(axis=2) > 24
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 300
    assert 110 < rows.min() < rows.max() < 166
    assert 190 < columns.min() < columns.max() < 260


def test_the_swap_leaves_the_portrait_itself_alone():
    portrait = astronaut()
    before = portrait.copy()
    assert swapped_portrait(portrait).dtype == np.uint8
    assert np.array_equal(portrait, before)


def test_the_same_pictures_come_out_every_time(examples, tmp_path):
    again = make_examples(tmp_path)
    for name, path in examples.items():
        for first, second in zip(sampled(path, 5), sampled(again[name], 5), strict=True):
            assert np.array_equal(first.image_rgb, second.image_rgb)
