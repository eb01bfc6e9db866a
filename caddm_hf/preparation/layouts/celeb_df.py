"""Celeb-DF v2 and Celeb-DF++.

    Celeb-real/idT_REC.mp4, YouTube-real/N.mp4
    Celeb-synthesis/idT_idS_REC.mp4                          v2: the face of S in recording T_REC
    Celeb-synthesis/{FaceSwap,FaceReenact,TalkingFace}/METHOD/*.mp4        ++
    List_of_testing_videos.txt                               lines of "1 Celeb-real/id0_0001.mp4"

The test list is the only official split; every other video is for training. Only face swaps keep
the frames of the recording they are made from: reenacted and talking faces have no genuine twin.
"""

import re

from fsspec.implementations.dirfs import DirFileSystem

from ..records import (
    VIDEO_SUFFIXES,
    DatasetError,
    Listing,
    VideoRecord,
    files_below,
    folders_in,
    read_text,
    shown,
    stem,
)

TEST_LIST = "List_of_testing_videos.txt"
GENUINE = ("Celeb-real", "YouTube-real")
FAKES = "Celeb-synthesis"
METHODS = {
    "FaceSwap": (
        *("Celeb-DF", "BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap", "SimSwap"),
        "UniFace",
    ),
    "FaceReenact": ("DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM"),
    "TalkingFace": (
        *("AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker"),
    ),
}
V2_METHOD = "Celeb-DF"
# Target, then the donor where there is one, then the recording.
FAKE_NAME = re.compile(r"(id\d+)(?:_id\d+)?_(\d+)(?:_.*)?")
TERMS = (
    "The videos are Celeb-DF's (Li et al., CVPR 2020) or Celeb-DF++'s (Li et al., 2025), under "
    "their terms of use: non-commercial research, and no passing on."
)


def list_records(tree: DirFileSystem) -> Listing:
    """The videos of the tree, and what is missing from it.

    Raises:
        DatasetError: it is not Celeb-DF, the test list is missing or damaged, or a method is not
            known.
    """
    if not any(folders_in(tree, folder) or tree.isdir(folder) for folder in (*GENUINE, FAKES)):
        raise DatasetError(
            f"There is none of the folders {', '.join((*GENUINE, FAKES))} in --root: it is not "
            "the folder of Celeb-DF."
        )
    tested = _read_test_list(tree)
    families = folders_in(tree, FAKES)
    dataset = "celeb-df++" if families else "celeb-df-v2"
    records = []
    genuine: dict[str, VideoRecord] = {}  # by "FOLDER/NAME"
    for folder in GENUINE:
        for path in files_below(tree, folder, VIDEO_SUFFIXES):
            video_id = f"{dataset}/{folder}/{stem(path)}"
            record = VideoRecord(
                dataset=dataset,
                path=path,
                video_id=video_id,
                split="test" if path in tested else "train",
                source_video_id=video_id,
                source_path=path,
            )
            records.append(record)
            genuine[f"{folder}/{stem(path)}"] = record
    lonely = 0
    for family, method, path in _fakes(tree, families):
        match = FAKE_NAME.fullmatch(stem(path))
        if match is None:
            raise DatasetError(
                f"The name of '{path}' does not say which recording it was made from."
            )
        recording = f"Celeb-real/{match[1]}_{match[2]}"
        source = genuine.get(recording) if family == "FaceSwap" else None
        lonely += family == "FaceSwap" and source is None
        records.append(
            VideoRecord(
                dataset=dataset,
                path=path,
                video_id=f"{dataset}/{method}/{stem(path)}",
                split="test" if path in tested else "train",
                method=method,
                source_video_id=f"{dataset}/{recording}",
                source_path=source.path if source else None,
            )
        )
    missing = []
    absent = sorted(tested - {record.path for record in records})
    if absent:
        missing.append(
            f"{len(absent):,} of {len(tested):,} testing videos are not there ({shown(absent)})."
        )
    if lonely:
        missing.append(
            f"{lonely:,} face swaps are there without the genuine clip they were made from."
        )
    return Listing(records, missing, TERMS)


def _read_test_list(tree: DirFileSystem) -> set[str]:
    if not tree.isfile(TEST_LIST):
        raise DatasetError(
            f"The official split '{TEST_LIST}' is missing from --root: it comes with the dataset."
        )
    lines = [line.split(maxsplit=1) for line in read_text(tree, TEST_LIST).splitlines() if line]
    if not lines or not all(len(line) == 2 and line[0] in ("0", "1") for line in lines):
        raise DatasetError(f"'{TEST_LIST}' is not a list of lines of the form '1 FOLDER/VIDEO'.")
    return {path.strip() for _, path in lines}


def _fakes(tree: DirFileSystem, families: list[str]) -> list[tuple[str, str, str]]:
    """(family, method, path) of every fake."""
    if not families:
        paths = files_below(tree, FAKES, VIDEO_SUFFIXES)
        return [("FaceSwap", V2_METHOD, path) for path in paths]
    found = []
    for family in families:
        for method in folders_in(tree, f"{FAKES}/{family}"):
            if method not in METHODS.get(family, ()):
                raise DatasetError(
                    f"'{FAKES}/{family}' holds '{method}', which is not a method of Celeb-DF++: "
                    "move it away, or read it with the dataset 'folder'."
                )
            paths = files_below(tree, f"{FAKES}/{family}/{method}", VIDEO_SUFFIXES)
            found += [(family, method, path) for path in paths]
    return found
