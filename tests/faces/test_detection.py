"""What a search passes over in a video, and what it must not."""

import cv2
import numpy as np
import pytest
from skimage import data

from caddm_hf import DetectionConfig, VideoDetector
from caddm_hf.faces.detection import FaceDetector
from support.made_faces import portrait

WANTED_PX = 48


@pytest.fixture(scope="module")
def both() -> tuple[FaceDetector, FaceDetector]:
    """One that passes nothing over, and one that does."""
    return FaceDetector(), FaceDetector(wanted_px=WANTED_PX)


def scene(*face_sizes_px: int, shift: int = 0, size_hw: tuple[int, int] = (480, 640)) -> np.ndarray:
    """People beside one another, their faces about so high."""
    frame = np.full((*size_hw, 3), 90, np.uint8)
    left = shift
    for face_px in face_sizes_px:
        zoom = face_px / 115  # the height of the portrait's face
        person = cv2.resize(
            portrait()[:200, 120:330], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA
        )[: size_hw[0]]
        height, width = person.shape[:2]
        frame[size_hw[0] - height :, left : left + width] = person
        left += width
    return frame


def sizes(found) -> list[list[int]]:
    return [[round(face.size_px) for face in faces] for faces in found]


def test_the_scene_is_what_it_says(both):
    everything, _ = both
    ((large, small),) = sizes(everything.search([scene(150, 26)]))
    assert large == pytest.approx(150, rel=0.1)
    assert small == pytest.approx(26, rel=0.1)


@pytest.mark.parametrize("face_px", [52, 60, 75, 100, 150, 250])
def test_faces_that_matter_are_found_as_they_always_are(both, face_px):
    frames = [scene(face_px, shift=4 * n) for n in range(4)]
    expected, found = (detector.search(frames) for detector in both)
    assert all(len(faces) == 1 and faces[0].size_px >= WANTED_PX for faces in expected)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine[0].box_xyxy, theirs[0].box_xyxy, atol=0.01)
        np.testing.assert_allclose(mine[0].landmarks_xy, theirs[0].landmarks_xy, atol=0.01)
        assert mine[0].confidence == pytest.approx(theirs[0].confidence, abs=1e-4)


def test_small_ones_beside_a_large_one_are_found_in_the_first_frame(both):
    everything, passing = both
    frames = [scene(150, 20, shift=4 * n) for n in range(4)]
    assert [len(faces) for faces in everything.search(frames)] == [2, 2, 2, 2]
    assert [len(faces) for faces in passing.search(frames)] == [2, 1, 1, 1]


@pytest.mark.parametrize("first", [(), (26,), (150,)])
def test_small_ones_are_found_where_there_is_no_large_one(both, first):
    frames = [scene(*first), *[scene(26, shift=4 * n) for n in range(3)]]
    expected, found = (sizes(detector.search(frames)) for detector in both)
    assert found == expected
    assert [len(faces) for faces in found] == [len(first), 1, 1, 1]


def test_one_that_comes_later_is_found_at_once(both):
    frames = [scene(150), scene(150, 56), scene(150, 56, shift=4), scene(150, 56, shift=8)]
    expected, found = (detector.search(frames) for detector in both)
    assert [len(faces) for faces in found] == [1, 2, 2, 2]
    for mine, theirs in zip(found, expected, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert np.abs(one.box_xyxy - other.box_xyxy).max() < 0.06 * other.size_px


def test_nothing_is_passed_over_in_frames_shrunk_much(both):
    """There small windows hold faces that matter."""
    large = [
        cv2.resize(scene(150, 26, shift=4 * n), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        for n in range(4)
    ]
    expected, found = (sizes(detector.search(large)) for detector in both)
    assert found == expected
    assert all(len(faces) == 2 and faces[1] > WANTED_PX for faces in found)


def test_nothing_is_passed_over_in_a_picture(both):
    _, passing = both
    ((large, small),) = sizes(passing.search([scene(150, 26)], still=True))
    assert small < WANTED_PX < large


def test_a_detector_passes_over_what_gets_no_verdict():
    config = DetectionConfig()
    assert VideoDetector.untrained(config=config).face_detector.wanted_px == 48


# Crops around one face.


def tight_crops() -> list[np.ndarray]:
    """Pictures of several sizes that a face fills."""
    x0, y0, x1, y1 = 175, 60, 280, 175
    face = data.astronaut()[y0:y1, x0:x1]
    shapes = [(224, 224), (128, 128), (96, 80), (224, 224), (300, 280)]
    return [cv2.resize(face, shape, interpolation=cv2.INTER_AREA) for shape in shapes]


def test_a_tight_crop_gets_the_points_of_two_searches_from_one(monkeypatch):
    detector = FaceDetector(max_side=160)
    crops = tight_crops()
    expected = detector.detect(crops, border_if_empty=True)
    searches: list[tuple[int, float]] = []
    search = detector._search

    def note(frames, to_frame, border, smallest_px):
        searches.append((border, smallest_px / max(frames.shape[1:3])))
        return search(frames, to_frame, border, smallest_px)

    monkeypatch.setattr(detector, "_search", note)
    found = detector.detect_in_crops(crops)
    assert all(border > 0 and least == 3 / 8 for border, least in searches)
    assert len(searches) == 4  # two crops have the same size
    for mine, theirs in zip(found, expected, strict=True):
        size = theirs[0].size_px
        moved = np.abs(mine[0].landmarks_xy - theirs[0].landmarks_xy)
        assert moved.max() < 0.02 * size


def test_a_small_face_in_a_crop_is_still_found():
    detector = FaceDetector(max_side=160)
    wide = scene(60, shift=120, size_hw=(300, 300))
    empty = np.full((224, 224, 3), 90, np.uint8)
    found = detector.detect_in_crops([wide, empty])
    (expected,) = detector.detect([wide], border_if_empty=True)
    assert len(found[0]) == len(expected) == 1
    np.testing.assert_allclose(found[0][0].landmarks_xy, expected[0].landmarks_xy, atol=0.01)
    assert found[1] == []
    assert detector.detect_in_crops([]) == []
