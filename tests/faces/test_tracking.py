import cv2
import numpy as np
import pytest
from skimage import data

from caddm_hf.faces.detection import DetectedFace, FaceDetector
from caddm_hf.faces.tracking import FaceTracker, TrackedPerson
from support.made_faces import POINTS_XY

SIZE_HW = (240, 480)


def face_at(points_xy: np.ndarray) -> DetectedFace:
    low, high = points_xy.min(axis=0), points_xy.max(axis=0)
    margin = 0.6 * (high - low).max()
    box = np.concatenate([low - margin, high + margin]).astype(np.float32)
    return DetectedFace(box, 0.99, points_xy.astype(np.float32))


def person_picture(kind: str) -> np.ndarray:
    """The portrait, or somebody else: mirrored in colour and shape."""
    portrait = np.ascontiguousarray(data.astronaut()[:220, 110:330])
    if kind == "a":
        return portrait
    other = cv2.applyColorMap(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), cv2.COLORMAP_OCEAN)
    return cv2.flip(other, 0)


def frame_with(people: dict[str, int], background: int = 90) -> tuple[np.ndarray, list]:
    """A frame with people at the given columns, and their faces."""
    frame = np.full((*SIZE_HW, 3), background, np.uint8)
    ramp = np.linspace(0, 60, SIZE_HW[1]).astype(np.uint8)
    frame[..., background % 3] += ramp  # a scene of its own for each background
    faces = []
    for kind, column in people.items():
        frame[10:230, column : column + 220] = person_picture(kind)
        faces.append(face_at(POINTS_XY - (110, 0) + (column, 10)))
    return frame, faces


def follow(frames) -> list[list[int]]:
    tracker = FaceTracker()
    for frame, faces in frames:
        tracker.add_frame(frame, faces)
    return [sorted(person.faces) for person in tracker.people]


def test_two_people_side_by_side_stay_two_whatever_their_order():
    frames = []
    for number in range(12):
        frame, faces = frame_with({"a": number, "b": 240 - number})
        frames.append((frame, faces[::-1] if number % 2 else faces))
    assert follow(frames) == [list(range(12))] * 2
    tracker = FaceTracker()
    for frame, faces in frames:
        tracker.add_frame(frame, faces)
    left, right = (
        [face.box_xyxy[0] for face in person.faces.values()] for person in tracker.people
    )
    assert max(left) < min(right)


def test_a_person_who_leaves_and_returns_is_the_same():
    empty = frame_with({})
    frames = [frame_with({"a": 10})] * 4 + [empty] * 3 + [frame_with({"a": 250})] * 4
    assert follow(frames) == [[0, 1, 2, 3, 7, 8, 9, 10]]


def test_another_person_at_the_same_place_after_a_cut_is_another():
    frames = [frame_with({"a": 100}, 40)] * 5 + [frame_with({"b": 100}, 160)] * 5
    frames += [frame_with({"a": 100}, 40)] * 2
    assert follow(frames) == [[0, 1, 2, 3, 4, 10, 11], [5, 6, 7, 8, 9]]


def test_people_who_change_places_keep_their_identity():
    """Looks weigh more than places."""
    frames = [frame_with({"a": 0, "b": 240})] * 4 + [frame_with({"b": 0, "a": 240})] * 4
    assert follow(frames) == [list(range(8))] * 2
    tracker = FaceTracker()
    for frame, faces in frames:
        tracker.add_frame(frame, faces)
    lefts = [face.box_xyxy[0] < 240 for face in tracker.people[0].faces.values()]
    assert lefts == [True] * 4 + [False] * 4


def test_no_frame_and_no_face():
    assert FaceTracker().people == []
    assert follow([frame_with({})] * 3) == []


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def test_detector_finds_the_portraits_points(detector):
    (face,) = detector.detect([data.astronaut()])[0]
    np.testing.assert_allclose(face.landmarks_xy, POINTS_XY, atol=6)
    assert face.confidence > 0.99
    assert 60 < face.size_px < 160


def test_detector_speaks_of_the_full_frame_and_mixes_sizes(detector):
    portrait = data.astronaut()
    large = cv2.resize(portrait, None, fx=3, fy=3)
    blank = np.full((48, 30, 3), 128, np.uint8)
    small, big, nothing = detector.detect([portrait, large, blank])
    np.testing.assert_allclose(big[0].landmarks_xy / 3, small[0].landmarks_xy, atol=4)
    assert nothing == []


@pytest.mark.parametrize("margin", [0, 4, 10])
def test_points_of_a_tight_crop_are_those_of_the_whole_picture(detector, margin):
    """MTCNN alone squeezes windows that reach over the rim, which moves the points."""
    portrait = data.astronaut()
    (whole,) = detector.detect([portrait])[0]
    x0, y0, x1, y1 = whole.box_xyxy.round().astype(int) + margin * np.array([-1, -1, 1, 1])
    tight = np.ascontiguousarray(portrait[y0:y1, x0:x1])
    (face,) = detector.detect([tight], border_if_empty=True)[0]
    np.testing.assert_allclose(face.landmarks_xy + np.array([x0, y0]), whole.landmarks_xy, atol=4)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 900, 3), (23, 23, 3)])
def test_tiny_pictures_are_searched_without_fuss(detector, shape):
    assert detector.detect([np.zeros(shape, np.uint8)]) == [[]]


def test_seen_share_counts_scenes_with_the_person_only():
    person = TrackedPerson(scenes={0: 0, 1: 0, 2: 0, 6: 2, 7: 2})
    assert person.seen_share == 1
    assert TrackedPerson(scenes={0: 0, 4: 0, 9: 0}).seen_share == pytest.approx(0.3)


def test_people_are_recognised_in_frames_between():
    tracker = FaceTracker()
    for number in (0, 6):
        tracker.add_frame(*frame_with({"a": number, "b": 240 - number}))
    frame, faces = frame_with({"a": 3, "b": 237})
    assert tracker.recognise(frame, faces[::-1], [0, 1]) == {1: 0, 0: 1}
    assert [len(person.faces) for person in tracker.people] == [2, 2]
    assert tracker.recognise(frame, [], [0]) == {}
