"""Each dataset's layout -> records, and what is wrong with a tree in one sentence."""

import json
from pathlib import Path

import pytest

from caddm_hf.preparation.records import DatasetError, Listing, VideoRecord, check_unique, open_root
from data_scripts.build_frame_dataset import choose_records, list_dataset
from support.made_datasets import (
    MadeVideos,
    make_caddm_frames,
    make_celeb_df,
    make_dfdc,
    make_dfdc_preview,
    make_faceforensics,
    make_folder,
    make_listed_folder,
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> MadeVideos:
    return MadeVideos(tmp_path_factory.mktemp("videos"))


def listed(name: str, root: Path, split: str = "train") -> Listing:
    listing = list_dataset(name, open_root(str(root)), split)
    check_unique(listing.records)
    return listing


def by_id(listing: Listing) -> dict[str, VideoRecord]:
    return {record.video_id: record for record in listing.records}


def complaint(name: str, root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        listed(name, root)
    message = str(caught.value)
    assert message.endswith((".", ")"))
    assert "\n" not in message
    return message


# --- FaceForensics++ ---------------------------------------------------------------------


def test_faceforensics(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_faceforensics(tmp_path, videos, actors=True)
    videos.put("genuine", root / "original_sequences/youtube/c40/videos/000.mp4")
    (root / "manipulated_sequences/Deepfakes/masks").mkdir()
    records = by_id(listed("faceforensics", root))
    fake = records["faceforensics/Deepfakes/c23/003_000"]
    assert (fake.split, fake.method, fake.compression) == ("train", "Deepfakes", "c23")
    assert fake.source_path == "original_sequences/youtube/c23/videos/003.mp4"
    # The same video in another compression is another video.
    genuine = records["faceforensics/original/c40/000"]
    assert genuine.source_video_id == genuine.video_id
    assert genuine.method is None
    assert records["faceforensics/original/c23/000"].path != genuine.path
    assert records["faceforensics/Face2Face/c23/010_011"].split == "validation"
    actors = records["faceforensics/DeepFakeDetection/c23/01_02__talking_still__ABCDEFGH"]
    assert actors.source_path == "original_sequences/actors/c23/videos/01__talking_still.mp4"
    assert actors.split == "test"


def test_what_faceforensics_lacks(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_faceforensics(tmp_path, videos)
    (root / "original_sequences/youtube/c23/videos/000.mp4").unlink()
    listing = listed("faceforensics", root)
    assert by_id(listing)["faceforensics/Deepfakes/c23/000_003"].source_path is None
    assert listing.missing == [
        "original c23: 1 of 4 videos are not there (000).",
        "2 fakes are there without the genuine clip they were made from.",
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "splits/val.json").unlink(), "'splits/val.json' is missing"),
        (lambda root: (root / "splits/val.json").write_text("[1]"), "not a list of pairs"),
        (
            lambda root: (root / "manipulated_sequences/MySwap").mkdir(),
            "'MySwap', which is not part of FaceForensics++",
        ),
        (
            lambda root: (root / "original_sequences/youtube/c50").mkdir(),
            "'c50', which is not part of FaceForensics++",
        ),
        (
            lambda root: _renamed(root, "original_sequences/youtube/c23/videos/000.mp4", "999"),
            "999.mp4' is in none of the official split lists",
        ),
        (
            lambda root: _renamed(
                root, "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4", "000"
            ),
            "does not say which video it was made from",
        ),
        (
            lambda root: _renamed(
                root, "original_sequences/youtube/c23/videos/003.mp4", "000", ".avi"
            ),
            "are both video 'faceforensics/original/c23/000'",
        ),
    ],
)
def test_faceforensics_is_refused(tmp_path: Path, videos: MadeVideos, damage, words: str) -> None:
    root = make_faceforensics(tmp_path, videos)
    damage(root)
    assert words in complaint("faceforensics", root)


def _renamed(root: Path, below: str, name: str, suffix: str = ".mp4") -> None:
    path = root / below
    path.rename(path.with_name(name + suffix))


# --- Celeb-DF ----------------------------------------------------------------------------


def test_celeb_df_v2(tmp_path: Path, videos: MadeVideos) -> None:
    listing = listed("celeb-df", make_celeb_df(tmp_path, videos))
    records = by_id(listing)
    assert listing.missing == []
    fake = records["celeb-df-v2/Celeb-DF/id1_id0_0000"]
    assert (fake.split, fake.dataset) == ("test", "celeb-df-v2")
    assert fake.source_path == "Celeb-real/id1_0000.mp4"
    assert fake.source_video_id == "celeb-df-v2/Celeb-real/id1_0000"
    assert records["celeb-df-v2/Celeb-DF/id0_id1_0000"].split == "train"
    assert records["celeb-df-v2/YouTube-real/00001"].split == "test"


def test_celeb_df_plus(tmp_path: Path, videos: MadeVideos) -> None:
    records = by_id(listed("celeb-df", make_celeb_df(tmp_path, videos, plus=True)))
    swap = records["celeb-df++/SimSwap/id0_id1_0000"]
    assert (swap.method, swap.split) == ("SimSwap", "train")
    assert swap.source_path == "Celeb-real/id0_0000.mp4"
    # A reenactment does not keep the recording's frames, but is of that recording.
    reenacted = records["celeb-df++/LIA/id1_id0_0000"]
    assert (reenacted.split, reenacted.source_path) == ("test", None)
    assert reenacted.source_video_id == "celeb-df++/Celeb-real/id1_0000"
    talking = records["celeb-df++/SadTalker/id1_0000_test_0001"]
    assert talking.source_video_id == "celeb-df++/Celeb-real/id1_0000"


def test_celeb_df_is_refused(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_celeb_df(tmp_path, videos, plus=True)
    (root / "Celeb-synthesis/FaceSwap/MySwap").mkdir()
    assert "'MySwap', which is not a method of Celeb-DF++" in complaint("celeb-df", root)
    (root / "List_of_testing_videos.txt").write_text("id0\n")
    assert "is not a list of lines" in complaint("celeb-df", root)
    (root / "List_of_testing_videos.txt").unlink()
    assert "'List_of_testing_videos.txt' is missing" in complaint("celeb-df", root)


def test_celeb_df_names_missing_test_videos(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_celeb_df(tmp_path, videos)
    (root / "YouTube-real/00001.mp4").unlink()
    expected = "1 of 3 testing videos are not there (YouTube-real/00001.mp4)."
    assert listed("celeb-df", root).missing == [expected]


# --- DFDC --------------------------------------------------------------------------------


def test_dfdc(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_dfdc(tmp_path, videos)
    videos.put("genuine", root / "dfdc_train_part_0" / "zzzzzzzzzz.mp4")
    (root / "dfdc_train_part_1" / "cccccccccc.mp4").unlink()
    listing = listed("dfdc", root)
    records = by_id(listing)
    fake = records["dfdc/bbbbbbbbbb"]
    assert (fake.split, fake.method) == ("train", "DFDC")
    assert fake.source_path == "dfdc_train_part_0/aaaaaaaaaa.mp4"
    assert records["dfdc/dddddddddd"].source_path is None
    assert records["dfdc/dddddddddd"].source_video_id == "dfdc/cccccccccc"
    assert records["dfdc/eeeeeeeeee"].split == "test"
    assert records["dfdc/ffffffffff"].is_fake
    assert [sentence.split(" ", 1)[1] for sentence in listing.missing] == [
        "1 videos beside it are not listed and are left out (zzzzzzzzzz.mp4).",
        "1 of 2 videos are not there (cccccccccc.mp4).",
        "fakes are there without the genuine clip they were made from.",
    ]


def test_one_part_of_dfdc_is_enough(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_dfdc(tmp_path, videos) / "dfdc_train_part_1"
    assert set(by_id(listed("dfdc", root))) == {"dfdc/cccccccccc", "dfdc/dddddddddd"}


def test_dfdc_is_refused(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_dfdc(tmp_path, videos)
    part = root / "dfdc_train_part_1"
    metadata = json.loads((part / "metadata.json").read_text())
    metadata["aaaaaaaaaa.mp4"] = {"label": "REAL"}
    (part / "metadata.json").write_text(json.dumps(metadata))
    videos.put("genuine", part / "aaaaaaaaaa.mp4")
    assert "have one name" in complaint("dfdc", root)
    metadata["aaaaaaaaaa.mp4"] = {"label": "PERHAPS"}
    (part / "metadata.json").write_text(json.dumps(metadata))
    assert "'PERHAPS', which is neither REAL nor FAKE" in complaint("dfdc", root)
    (part / "metadata.json").write_text("[]")
    assert "is not a DFDC metadata file" in complaint("dfdc", root)


def test_dfdc_preview(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_dfdc_preview(tmp_path, videos)
    entries = json.loads((root / "dataset.json").read_text())
    entries["method_A/803017_1000_A/803017_1000_A_001.mp4"]["source_video"] = "803017_001"
    entries["method_A/absent.mp4"] = {"label": "fake", "set": "train"}
    (root / "dataset.json").write_text(json.dumps(entries))
    listing = listed("dfdc-preview", root)
    records = by_id(listing)
    fake = records["dfdc-preview/method_A/803017_1000_A/803017_1000_A_001"]
    assert (fake.method, fake.split) == ("method_A", "train")
    assert fake.source_video_id == "dfdc-preview/original_videos/803017/803017_001"
    other = records["dfdc-preview/method_B/1000_803017_B/1000_803017_B_001"]
    assert (other.split, other.source_video_id) == ("test", None)
    assert "1 of 4 videos are not there" in listing.missing[0]

    entries["method_C/x.mp4"] = {"label": "fake", "set": "train"}
    (root / "dataset.json").write_text(json.dumps(entries))
    assert "'method_C', which is not a method" in complaint("dfdc-preview", root)
    (root / "dataset.json").unlink()
    assert "'dataset.json' is missing" in complaint("dfdc-preview", root)


# --- plain folders -----------------------------------------------------------------------


def test_folder(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_folder(tmp_path, videos)
    videos.put("genuine", root / "validation" / "real" / "five.mp4")
    records = by_id(listed("folder", root, "test"))
    assert records["folder/real/one"].split == "test"
    assert records["folder/validation/real/five"].split == "validation"
    assert records["folder/fake/three"].method == "fake"
    assert records["folder/fake/swapper/four"].method == "swapper"
    assert len(records) == 5


def test_folder_with_csv(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_listed_folder(tmp_path, videos)
    records = by_id(listed("folder", root))
    fake = records["folder/clips/two"]
    assert (fake.method, fake.split, fake.compression) == ("swapper", "test", "c10")
    assert fake.source_path == "clips/one.mp4"
    with (root / "videos.csv").open("a") as file:
        file.write("\nclips/absent.mp4,real,,,,")
    assert "1 videos are not there" in listed("folder", root).missing[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.mp4,real", "lacks the columns"),
        ("path,label\nclips/one.mp4,maybe", "line 2: the label must be real or fake"),
        ("path,label,split\nclips/one.mp4,real,dev", "line 2: the split must be one of"),
        ("path,label\nclips/one.mp4,real\nclips/one.mp4,fake", "'clips/one.mp4' is listed twice"),
    ],
)
def test_csv_is_refused(tmp_path: Path, videos: MadeVideos, text: str, words: str) -> None:
    root = make_listed_folder(tmp_path, videos)
    (root / "videos.csv").write_text(text)
    assert words in complaint("folder", root)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    assert "no videos in 'real' or 'fake'" in complaint("folder", tmp_path)


# --- the original project's frames -------------------------------------------------------


def test_caddm_frames(tmp_path: Path) -> None:
    root = make_caddm_frames(tmp_path)
    records = by_id(listed("caddm-frames", root))
    place = "caddm-frames/test/"
    fake = records[f"{place}manipulated_sequences/Deepfakes/raw/frames/183_253"]
    assert (fake.method, fake.compression, fake.split) == ("Deepfakes", "raw", "test")
    assert fake.source_video_id == f"{place}original_sequences/youtube/raw/frames/183"
    assert [frame.index for frame in fake.frames] == [2, 7]
    assert len(fake.frames[0].landmarks_xy) == 81
    assert fake.source_frames == records[fake.source_video_id].frames


def test_landmarks_of_another_frame_are_not_believed(tmp_path: Path) -> None:
    records = listed("caddm-frames", make_caddm_frames(tmp_path, shared_landmarks=True)).records
    for record in records:
        known = [frame.index for frame in record.frames if frame.landmarks_xy is not None]
        assert known == [7]


def test_caddm_frames_are_refused(tmp_path: Path) -> None:
    root = make_caddm_frames(tmp_path)
    path = root / "test_images" / "ldm.json"
    entries = json.loads(path.read_text())
    next(iter(entries.values()))["landmark"] = [[1, 2]]
    path.write_text(json.dumps(entries))
    assert "are not 68 or 81 points" in complaint("caddm-frames", root)
    path.write_text("{}")
    assert "is not a landmark file" in complaint("caddm-frames", root)
    path.unlink()
    assert "'ldm.json' is missing" in complaint("caddm-frames", root)


# --- all of them -------------------------------------------------------------------------


def test_choice_of_methods_and_compressions(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_faceforensics(tmp_path, videos)
    records = listed("faceforensics", root).records
    chosen = choose_records(records, ["Face2Face"], None)
    assert {record.method for record in chosen} == {None, "Face2Face"}
    assert len(choose_records(records, None, ["c23"])) == len(records)
    with pytest.raises(DatasetError, match=r"of method 'FaceSwap' \(there are: Deepfakes, Face2"):
        choose_records(records, ["FaceSwap"], None)
    with pytest.raises(DatasetError, match="of compression 'raw'"):
        choose_records(records, None, ["raw"])


@pytest.mark.parametrize("name", ["faceforensics", "celeb-df", "dfdc", "dfdc-preview"])
def test_another_dataset_is_refused(tmp_path: Path, videos: MadeVideos, name: str) -> None:
    assert "--root" in complaint(name, make_folder(tmp_path, videos))


def test_links_are_followed(tmp_path: Path, videos: MadeVideos) -> None:
    elsewhere = make_folder(tmp_path / "other disk", videos)
    root = tmp_path / "tree"
    (root / "fake").mkdir(parents=True)
    (root / "real").symlink_to(elsewhere / "real")
    (root / "fake" / "swapper").symlink_to(elsewhere / "fake" / "swapper")
    (elsewhere / "real" / "again").symlink_to(elsewhere)
    records = by_id(listed("folder", root))
    assert records["folder/fake/swapper/four"].method == "swapper"
    assert {"folder/real/one", "folder/real/two"} <= set(records)
    assert not [video_id for video_id in records if video_id.count("again") > 1]


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        open_root(str(tmp_path / "absent"))
    with pytest.raises(DatasetError, match="cannot be opened"):
        open_root("nosuch://bucket")
