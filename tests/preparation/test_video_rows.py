"""Records -> rows: the face, the twin, the account."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pyarrow as pa
import pytest

from caddm_hf.dataset.frame_table import read_row
from caddm_hf.dataset.schema import FRAME_FEATURES
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.faces.detection import FaceDetector
from caddm_hf.model.face_alignment import invert_matrix, jittered_alignment_matrix, transform_points
from caddm_hf.preparation import video_rows
from caddm_hf.preparation.face_crops import crop_rectangle, encode_picture
from caddm_hf.preparation.layouts import caddm_frames
from caddm_hf.preparation.records import FrameOptions, VideoRecord, open_root
from caddm_hf.preparation.video_account import VideoRows, rows_digest
from caddm_hf.preparation.video_rows import video_group_rows
from support.made_datasets import (
    MadeVideos,
    faceless_frames,
    five_points_of,
    made_frames,
    made_number,
    make_caddm_frames,
    write_clip,
)
from support.made_media import write_video

GENUINE = VideoRecord(
    "folder", "real.mp4", "folder/real", "train", None, "c23", "folder/real", "real.mp4"
)
FAKE = VideoRecord(
    "folder", "fake.mp4", "folder/fake", "train", "swapper", "c23", "folder/real", "real.mp4"
)
OPTIONS = FrameOptions(frames=5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> MadeVideos:
    return MadeVideos(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def root(tmp_path: Path, videos: MadeVideos) -> Path:
    """A genuine video and its fake."""
    videos.put("genuine", tmp_path / "real.mp4")
    videos.put("forged", tmp_path / "fake.mp4")
    return tmp_path


def rows_of(
    root: Path | str, records: Iterable[VideoRecord] = (GENUINE, FAKE), frames: int = 5
) -> list[VideoRows]:
    """Rows and accounts, each account checked for adding up."""
    results = video_group_rows(open_root(str(root)), list(records), FrameOptions(frames))
    for result in results:
        account = result.account
        assert account.frames_wanted == frames
        assert account.frames_kept == len(result.rows)
        assert account.frames_kept + sum(account.dropped.values()) == frames
        assert account.digest == rows_digest(result.rows)
        assert (account.failure is None) == bool(result.rows)
        with_twin = sum(row["source_image"] is not None for row in result.rows)
        assert account.twins_kept == with_twin
        if account.method:
            assert with_twin + sum(account.twins_dropped.values()) == len(result.rows)
    return results


def decoded(picture: dict) -> np.ndarray:
    data = np.frombuffer(picture["bytes"], np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def numbers(result: VideoRows, column: str = "image") -> list[int]:
    return [made_number(decoded(row[column])) for row in result.rows]


# --- rows --------------------------------------------------------------------------------


def test_a_fake_and_its_source(root: Path) -> None:
    genuine, fake = rows_of(root)
    indexes = [0, 2, 4, 6, 9]
    for result in (genuine, fake):
        assert [row["frame_index"] for row in result.rows] == indexes
        assert numbers(result) == indexes
        assert [row["time_s"] for row in result.rows] == pytest.approx([i / 25 for i in indexes])
    assert numbers(fake, "source_image") == indexes
    for row in fake.rows:
        assert row["label"] == 1
        assert row["source_video_id"] == "folder/real"
        frame = read_row(row, 1)
        assert frame.is_same_frame()
        assert np.abs(frame.image_rgb.astype(int) - frame.source_rgb).max() > 30
    for row in genuine.rows:
        assert (row["label"], row["method"], row["source_image"]) == (0, None, None)
        assert row["source_video_id"] == row["video_id"] == "folder/real"
    table = pa.Table.from_pylist(genuine.rows + fake.rows, schema=FRAME_FEATURES.arrow_schema)
    assert table.column("landmarks").null_count == 0


def test_landmarks_are_the_frames_own_in_pixels_of_the_crop(root: Path) -> None:
    (genuine,) = rows_of(root, [GENUINE])
    for row in genuine.rows:
        points_xy = np.array(row["landmarks"])
        expected = five_points_of(row["frame_index"])
        crop = decoded(row["image"])
        # The crop reaches the frame's top, so only x is shifted.
        assert np.abs(points_xy[:, 1] - expected[:, 1]).max() < 3
        assert np.ptp(points_xy[:, 0] - expected[:, 0]) < 4
        (frame,) = made_frames([row["frame_index"]])
        x0 = round(float(np.median(expected[:, 0] - points_xy[:, 0])))
        around = frame[: crop.shape[0], max(0, x0 - 4) : x0 + crop.shape[1] + 4]
        match = cv2.matchTemplate(around, crop, cv2.TM_SQDIFF)
        assert math.sqrt(match.min() / crop.size) < 8


def test_genuine_rows_do_not_depend_on_the_fakes(root: Path) -> None:
    alone = rows_of(root, [GENUINE])[0]
    longer = replace(FAKE, path="longer.mp4", video_id="folder/longer")
    write_clip(root / "longer.mp4", made_frames([1, 2, 3, 4, 5, 6, 7], forged=True))
    together = rows_of(root, [GENUINE, FAKE, longer])
    assert together[0].rows == alone.rows
    assert together[1].rows == rows_of(root)[1].rows


def test_a_fake_without_its_source(root: Path) -> None:
    (fake,) = rows_of(root, [replace(FAKE, source_path=None)])
    assert fake.account.twins_dropped == {"no_source": 5}
    # Its source is in another split: twins, but no rows of it.
    (fake,) = rows_of(root, [FAKE])
    assert fake.account.twins_kept == 5


@pytest.mark.parametrize("turn", [8, 9])
def test_a_fake_longer_than_its_source_runs_backwards(root: Path, turn: int) -> None:
    shown = [*range(10), *range(turn, 1, -1)]
    write_clip(root / "fake.mp4", made_frames(shown, forged=True))
    _, fake = rows_of(root, frames=len(shown))
    assert numbers(fake) == shown
    assert numbers(fake, "source_image") == shown


def test_twins_are_checked_by_the_picture(root: Path) -> None:
    write_clip(root / "real.mp4", made_frames(range(9, -1, -1)))
    _, fake = rows_of(root)
    assert fake.account.twins_dropped == {"other_moment": 5}
    write_clip(root / "real.mp4", (frame[:, :-8] for frame in made_frames(range(10))))
    _, fake = rows_of(root)
    assert fake.account.twins_dropped == {"other_size": 5}
    write_clip(root / "real.mp4", made_frames([0, 1, 2]))
    _, fake = rows_of(root)  # wanted are 0, 2, 4, 6 and 9, and 2 is the last
    assert fake.account.twins_dropped == {"other_moment": 2, "past_end": 1}


# --- what can be wrong with a video ------------------------------------------------------


def test_broken_fake(root: Path, videos: MadeVideos) -> None:
    videos.put("broken", root / "fake.mp4")
    genuine, fake = rows_of(root)
    assert genuine.account.frames_kept == 5
    assert fake.account.dropped == {"damaged_video": 5}
    assert fake.account.failure.startswith("'fake.mp4' is not a video")


def test_broken_source(root: Path, videos: MadeVideos) -> None:
    videos.put("broken", root / "real.mp4")
    genuine, fake = rows_of(root)
    assert genuine.account.failure.startswith("'real.mp4' is not a video")
    assert fake.account.frames_kept == 5
    assert fake.account.twins_dropped == {"damaged_source": 5}


def test_short_video(root: Path) -> None:
    genuine, _ = rows_of(root, frames=16)
    assert genuine.account.dropped == {"short_video": 6}


def test_frames_without_a_face(root: Path) -> None:
    shown = [*made_frames(range(5)), *faceless_frames(5)]
    write_clip(root / "real.mp4", shown)
    genuine, _ = rows_of(root)
    assert genuine.account.dropped == {"no_face": 2}
    assert [row["frame_index"] for row in genuine.rows] == [0, 2, 4]
    write_clip(root / "real.mp4", faceless_frames())
    genuine, _ = rows_of(root)
    assert genuine.account.dropped == {"no_face": 5}
    assert genuine.account.failure == "None of its frames shows a face."


def test_damaged_frames(root: Path) -> None:
    path = root / "real.mp4"
    write_video(path, made_frames(range(10)), options={"crf": "12", "g": "5", "bf": "0"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) * 6 // 10
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    genuine, _ = rows_of(root, frames=10)
    assert genuine.account.dropped["damaged_frame"] > 0
    assert numbers(genuine) == [row["frame_index"] for row in genuine.rows]


def test_faults_of_the_machine_are_not_the_videos(root: Path, monkeypatch) -> None:
    def no_space(*_):
        raise OSError("no space left")

    monkeypatch.setattr(FaceDetector, "search", no_space)
    with pytest.raises(OSError, match="no space left"):
        video_group_rows(open_root(str(root)), [GENUINE], OPTIONS)

    def fault(*_):
        raise RuntimeError("surprise")

    monkeypatch.setattr(FaceDetector, "search", fault)
    (genuine,) = rows_of(root, [GENUINE])
    assert genuine.account.failure == "internal error: RuntimeError: surprise"


# --- people ------------------------------------------------------------------------------


def beside(left: Iterable[np.ndarray], right: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """Two clips side by side, the right one smaller and darker."""
    for one, two in zip(left, right, strict=True):
        small = cv2.resize(two[:, ::-1], (180, 136), interpolation=cv2.INTER_AREA) // 4 * 3
        canvas = np.zeros((152, 380, 3), np.uint8)
        canvas[:, :200] = one
        canvas[16:, 200:] = small
        yield canvas


def test_the_forged_one_of_two_people(root: Path) -> None:
    genuine = list(made_frames(range(10)))
    write_clip(root / "real.mp4", beside(genuine, genuine))
    write_clip(root / "fake.mp4", beside(genuine, made_frames(range(10), forged=True)))
    real, fake = rows_of(root)

    def eye_distance(row: dict) -> float:
        left, right = np.array(row["landmarks"][:2])
        return float(np.linalg.norm(right - left))

    # The larger person is the genuine video's, the smaller one the fake's.
    assert real.account.frames_kept == fake.account.frames_kept == 5
    for row in real.rows:
        assert eye_distance(row) == pytest.approx(21, abs=1)
    for row in fake.rows:
        assert eye_distance(row) == pytest.approx(18.9, abs=1)
        assert row["source_image"] is not None


# --- crops -------------------------------------------------------------------------------


@pytest.mark.parametrize("roll_degrees", [0, 20, -35])
def test_no_jittered_crop_leaves_the_crop(roll_degrees: float) -> None:
    angle = math.radians(roll_degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points_xy = five_points_of(0) @ turn.T + 1000
    x0, y0, x1, y1 = crop_rectangle(points_xy, (3000, 3000))
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * 224
    rng = np.random.default_rng(5)
    reached = []
    for _ in range(3000):
        to_frame = invert_matrix(jittered_alignment_matrix(points_xy, rng))
        reached.append(transform_points(to_frame, corners))
    reached = np.concatenate(reached)
    assert (reached.min(axis=0) >= (x0, y0)).all()
    assert (reached.max(axis=0) <= (x1, y1)).all()
    # Nor is it much larger than needed.
    assert np.ptp(reached, axis=0).min() > 0.75 * (x1 - x0)


def test_crop_ends_with_the_frame() -> None:
    assert crop_rectangle(five_points_of(0), (152, 200)) == (32, 0, 195, 140)
    with pytest.raises(ValueError, match="outside the frame"):
        crop_rectangle(five_points_of(0) + 900, (152, 200))


def test_picture_formats() -> None:
    (image,) = made_frames([3])
    lossless = encode_picture(image, "png")
    assert np.array_equal(decoded({"bytes": lossless}), image)
    jpeg = encode_picture(image, "jpeg")
    assert jpeg[:2] == b"\xff\xd8"
    assert np.abs(decoded({"bytes": jpeg}).astype(int) - image).mean() < 2


# --- other sources -----------------------------------------------------------------------


def test_stored_frames_keep_their_landmarks(tmp_path: Path) -> None:
    root = str(make_caddm_frames(tmp_path))
    fake, genuine = caddm_frames.list_records(open_root(root), "train").records
    results = rows_of(root, [genuine, fake], frames=2)
    for result in results:
        assert [row["frame_index"] for row in result.rows] == numbers(result) == [2, 7]
        assert {len(row["landmarks"]) for row in result.rows} == {81}
        assert {row["time_s"] for row in result.rows} == {None}
    assert numbers(results[1], "source_image") == [2, 7]


def test_landmarks_of_another_frame_are_found_anew(tmp_path: Path) -> None:
    root = str(make_caddm_frames(tmp_path, shared_landmarks=True))
    fake, genuine = caddm_frames.list_records(open_root(root), "train").records
    for result in rows_of(root, [genuine, fake], frames=2):
        first, last = (np.array(row["landmarks"]) for row in result.rows)
        assert (len(first), len(last)) == (5, 81)
        assert np.abs(first[:, 1] - five_points_of(2)[:, 1]).max() < 5


def test_a_tree_on_another_file_system(root: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("real.mp4", "fake.mp4"):
        memory.pipe_file(f"/tree/{name}", (root / name).read_bytes())
    there = rows_of("memory://tree")
    assert [result.rows for result in there] == [result.rows for result in rows_of(root)]
    memory.rm("/tree", recursive=True)


def test_every_worker_is_one_thread() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        video_rows.use_one_thread()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_faces_are_those_of_serving(root: Path) -> None:
    (genuine,) = rows_of(root, [GENUINE])
    (person,) = VideoDetector.untrained().look(root / "real.mp4", frames=5).people
    for row, seen in zip(genuine.rows, person, strict=True):
        assert (row["frame_index"], row["time_s"]) == (seen.frame_index, seen.time_s)
        points_xy, served_xy = np.array(row["landmarks"]), seen.face.landmarks_xy
        shift = served_xy[0] - points_xy[0]
        assert np.abs(points_xy + shift.round() - served_xy).max() < 0.02
