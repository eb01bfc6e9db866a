"""What is looked at: splits, rows, folders of videos, and refusals in one sentence."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PilImage

from caddm_hf.dataset.opening import open_rows
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from caddm_hf.evaluation.data import (
    NO_FACE,
    FrameCollection,
    VideoFolder,
    choose_videos,
    open_evaluation_data,
)
from support.made_collection import made_rows, write_collection
from support.made_media import write_video


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data") / "made", 2, 4, frames=5)


def picture(seed: int) -> dict:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
    data = io.BytesIO()
    PilImage.fromarray(pixels).save(data, "PNG")
    return {"bytes": data.getvalue(), "path": None}


def write_rows(path: Path, rows: list[dict], features: Features) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=features).to_parquet(path)
    return path


PLAIN = Features(
    {"image": Image(), "label": Value("int64"), "video_id": Value("string")}
    | {"method": Value("string")}
)


def plain_row(seed: int, label: int | None, video_id: str | None, method: str | None = None):
    return {"image": picture(seed), "label": label, "video_id": video_id, "method": method}


def test_the_validation_split_stands_in_for_a_missing_test_split(collection, tmp_path):
    assert open_evaluation_data(str(collection)).split == "validation"
    rows = list(made_rows(2, 1, seed=9))
    write_rows(tmp_path / "c" / "test-0.parquet", rows, FRAME_FEATURES)
    write_rows(tmp_path / "c" / "validation-0.parquet", rows[:2], FRAME_FEATURES)
    data = open_evaluation_data(str(tmp_path / "c"))
    assert (data.split, len(data.facts)) == ("test", 4)
    assert len(open_evaluation_data(str(tmp_path / "c"), split="validation").facts) == 2


def test_a_training_split_has_to_be_asked_for(tmp_path):
    write_rows(tmp_path / "c" / "train-0.parquet", list(made_rows(1, 1, seed=9)), FRAME_FEATURES)
    with pytest.raises(FrameDataError, match=r"no test or validation split, only train.*--split"):
        open_evaluation_data(str(tmp_path / "c"))
    assert open_evaluation_data(str(tmp_path / "c"), split="train").split == "train"
    assert open_rows(str(tmp_path / "c"), ("image",), any_split=True).split == "train"


def test_files_without_a_split_in_their_name_are_used_whole(tmp_path):
    rows = list(made_rows(1, 1, seed=9))
    for name in ("a.parquet", "b.parquet"):
        write_rows(tmp_path / "c" / name, rows, FRAME_FEATURES)
    data = open_evaluation_data(str(tmp_path / "c"), frames=1)
    assert (data.split, len(data.facts)) == ("all", 2)  # the same two videos twice


def test_rows_carry_their_facts_and_at_most_so_many_frames_a_video(collection):
    data = open_evaluation_data(str(collection), frames=3)
    assert isinstance(data, FrameCollection)
    assert set(Counter(data.facts).values()) == {3}
    assert sorted(data.frame_index(i) for i in range(3 * 8)) == sorted([0, 2, 4] * 8)
    fake = next(facts for facts in data.facts if facts.label)
    assert (fake.dataset, fake.compression, fake.method) == ("made", "raw", "patch")
    assert fake.source_video_id.startswith("made/original/")
    (view,) = data.views(0)
    assert view.image_rgb.shape == (112, 112, 3)
    assert view.points_xy.shape == (5, 2)
    assert data.items_without_points() == []


def test_one_name_under_two_methods_is_two_videos(tmp_path):
    rows = [
        plain_row(n, label, "000", method)
        for n, (label, method) in enumerate(
            [(0, None), (1, "Deepfakes"), (1, "FaceSwap"), (1, None)]
        )
    ]
    path = write_rows(tmp_path / "test.parquet", rows, PLAIN)
    data = open_evaluation_data(str(path), frames=1)
    assert len(data.facts) == 4
    assert {facts.method for facts in data.facts} == {None, "Deepfakes", "FaceSwap", "fake"}


def test_classes_named_the_other_way_round(tmp_path):
    features = Features(PLAIN | {"label": ClassLabel(names=["fake", "real"])})
    rows = [plain_row(0, 0, "a"), plain_row(1, 1, "b")]
    data = open_evaluation_data(str(write_rows(tmp_path / "test.parquet", rows, features)))
    assert {facts.video_id: facts.label for facts in data.facts} == {"a": 1, "b": 0}


def test_the_fingerprint_is_of_the_content_and_not_of_the_files(tmp_path):
    rows = [plain_row(n, n % 2, f"v{n}") for n in range(4)]
    one = write_rows(tmp_path / "one" / "test-0.parquet", rows, PLAIN)
    write_rows(tmp_path / "two" / "test-0.parquet", rows[:2], PLAIN)
    write_rows(tmp_path / "two" / "test-1.parquet", rows[2:], PLAIN)
    changed = [*rows[:3], rows[3] | {"image": picture(99)}]
    write_rows(tmp_path / "three" / "test-0.parquet", changed, PLAIN)
    relabelled = [*rows[:3], rows[3] | {"label": 0}]
    write_rows(tmp_path / "four" / "test-0.parquet", relabelled, PLAIN)
    prints = [
        open_evaluation_data(str(path)).fingerprint()
        for path in (one, *(tmp_path / name for name in ("two", "three", "four")))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("rows", "features", "sentence"),
    [
        ([], PLAIN, "holds no rows"),
        ([plain_row(0, None, "a")], PLAIN, "None is neither real nor fake"),
        ([plain_row(0, 7, "a")], PLAIN, "7 is neither real nor fake"),
        ([plain_row(0, 1, None)], PLAIN, "no video_id"),
        (
            [{"image": picture(0), "identity": "x"}],
            Features({"image": Image(), "identity": Value("string")}),
            "lacks the column 'label'; it has identity, image",
        ),
        (
            [{"image": "x", "label": 0, "video_id": "a"}],
            Features(
                {"image": Value("string"), "label": Value("int64"), "video_id": Value("string")}
            ),
            "does not hold pictures",
        ),
    ],
)
def test_unusable_collections(tmp_path, rows, features, sentence):
    path = tmp_path / "test.parquet"
    if rows:
        write_rows(path, rows, features)
    else:
        Dataset.from_dict({name: [] for name in features}, features=features).to_parquet(path)
    with pytest.raises(FrameDataError, match=sentence):
        open_evaluation_data(str(path))


def test_places_that_are_no_data(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.parquet").write_text("x")
    for name, sentence in (
        ("empty", "neither Parquet files nor videos"),
        ("notes.txt", "neither a Parquet file nor a folder"),
        ("broken.parquet", "cannot be read"),
        ("missing/of/this/name", "neither a folder, nor a Parquet file, nor a Hub id"),
    ):
        with pytest.raises(FrameDataError, match=sentence) as caught:
            open_evaluation_data(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_damaged_picture_is_a_failed_frame(tmp_path):
    rows = [plain_row(0, 0, "a"), plain_row(1, 1, "b")]
    rows[1]["image"] = {"bytes": b"no picture", "path": None}
    features = Features(PLAIN | {"image": Image(decode=False)})
    data = open_evaluation_data(str(write_rows(tmp_path / "test.parquet", rows, features)))
    (whole,), (damaged,) = data.views(0), data.views(1)
    assert whole.failure == NO_FACE  # no landmarks and none given
    assert damaged.failure.startswith("unreadable: A picture")


def account(video_id: str, kept: int, split: str = "validation", **more) -> str:
    fields = {"method": None, "compression": "raw", "dropped": {}, "frames_kept": kept}
    return json.dumps(fields | {"video_id": video_id, "split": split} | more)


def test_videos_that_the_preparation_lost_are_failed_videos(tmp_path):
    folder = write_collection(tmp_path / "made", 1, 2, frames=2)
    before = open_evaluation_data(str(folder))
    lines = [
        account("made/original/2-000", 2),
        account("made/original/lost", 0, dropped={"short_video": 1, "no_face": 31}),
        account("made/patch/lost", 0, method="patch", failure="It is damaged."),
        account("made/original/elsewhere", 0, split="train"),
    ]
    (folder / "videos.jsonl").write_text("\n".join(lines) + "\n")
    data = open_evaluation_data(str(folder))
    lost = data.facts[len(before.facts) :]
    assert [(f.dataset, f.method, f.label) for f in lost] == [
        ("made", None, 0),
        ("made", "patch", 1),
    ]
    views = [view for item in (8, 9) for view in data.views(item)]
    assert [view.failure for view in views] == [
        "lost in preparation: no_face",
        "lost in preparation: unreadable",
    ]
    assert data.items_without_points() == []
    assert data.fingerprint() != before.fingerprint()


def test_a_damaged_account_is_told(tmp_path):
    folder = write_collection(tmp_path / "made", 1, 2, frames=1)
    (folder / "videos.jsonl").write_text("[1]\n")
    with pytest.raises(FrameDataError, match=r"'videos.jsonl' of .* is damaged"):
        open_evaluation_data(str(folder))


@pytest.fixture
def folder(tmp_path, face_clip) -> Path:
    for name in ("real/a.mp4", "fake/swap/a.mp4", "fake/b.mp4"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(face_clip.read_bytes())
    (tmp_path / "clips" / "real" / "notes.txt").write_text("x")
    return tmp_path / "clips"


def test_a_folder_of_videos(folder):
    data = open_evaluation_data(str(folder), frames=3)
    assert isinstance(data, VideoFolder)
    assert [(f.video_id, f.label, f.method) for f in data.facts] == [
        ("fake/b.mp4", 1, "fake"),
        ("fake/swap/a.mp4", 1, "swap"),
        ("real/a.mp4", 0, None),
    ]


def test_a_folder_with_a_list(folder):
    (folder / "videos.csv").write_text(
        "path, label, method, source\nreal/a.mp4, REAL,,\nfake/b.mp4, fake, mask, real/a.mp4\n"
    )
    data = open_evaluation_data(str(folder))
    assert [(f.video_id, f.label, f.method, f.source_video_id) for f in data.facts] == [
        ("real/a.mp4", 0, None, None),
        ("fake/b.mp4", 1, "mask", "real/a.mp4"),
    ]


def test_origins_and_datasets_of_videos(folder):
    (folder / "real" / "phone").mkdir()
    (folder / "real" / "a.mp4").rename(folder / "real" / "phone" / "a.mp4")
    data = open_evaluation_data(str(folder))
    assert [f.origin for f in data.facts] == [None, None, "phone"]
    (folder / "videos.csv").write_text(
        "path,label,dataset,origin\nreal/phone/a.mp4,real,web,camera 2\nfake/b.mp4,fake,,\n"
    )
    data = open_evaluation_data(str(folder))
    assert [(f.dataset, f.origin) for f in data.facts] == [("web", "camera 2"), ("clips", None)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path\nreal/a.mp4\n", "lacks the columns"),
        ("path,label\nreal/a.mp4,maybe\n", "line 2: the label must be real or fake"),
        ("path,label\n../../a.mp4,real\n", "line 2: the path leaves the folder"),
        ("", "lacks the columns"),
    ],
)
def test_a_wrong_list(folder, text, sentence):
    (folder / "videos.csv").write_text(text)
    with pytest.raises(FrameDataError, match=sentence):
        open_evaluation_data(str(folder))


def test_videos_without_labels(tmp_path, face_clip):
    write_video(tmp_path / "clip.mp4", [np.zeros((64, 96, 3), np.uint8)] * 3)
    with pytest.raises(FrameDataError, match="put them into 'real' and 'fake'"):
        open_evaluation_data(str(tmp_path))


def test_a_folders_fingerprint_follows_its_videos(folder):
    before = open_evaluation_data(str(folder)).fingerprint()
    assert open_evaluation_data(str(folder)).fingerprint() == before
    with (folder / "real" / "a.mp4").open("ab") as file:
        file.write(b"x")
    assert open_evaluation_data(str(folder)).fingerprint() != before


def test_a_choice_of_videos_is_balanced_and_keeps_videos_whole(collection):
    data = open_evaluation_data(str(collection))
    choose_videos(data, 4, np.random.default_rng(0))
    counts = Counter(data.facts)
    assert sorted(facts.label for facts in counts) == [0, 0, 1, 1]
    assert set(counts.values()) == {5}
    assert len(data.sources) == 20
    unchanged = open_evaluation_data(str(collection))
    choose_videos(unchanged, 8, np.random.default_rng(0))
    assert len(set(unchanged.facts)) == 8


def test_a_small_class_leaves_its_places_to_the_other(tmp_path):
    rows = [plain_row(n, int(n > 0), f"v{n}") for n in range(7)]
    data = open_evaluation_data(str(write_rows(tmp_path / "test.parquet", rows, PLAIN)))
    choose_videos(data, 5, np.random.default_rng(0))
    assert Counter(facts.label for facts in data.facts) == {0: 1, 1: 4}
