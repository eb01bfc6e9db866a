"""FaceForensics++: originals, five manipulations of them, and DeepFakeDetection with its actors.

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/*.mp4
    manipulated_sequences/METHOD/{raw,c23,c40}/videos/*.mp4
    splits/{train,val,test}.json            pairs of ids; also found beside the two folders

A fake is named TARGET_SOURCE. Its frames are the target's, so the target is its genuine twin.
The pairs of a split list are forged both ways. DeepFakeDetection has no official split and is
used for testing: `test`. Its fakes are named TARGET_SOURCE__SCENE__CODE, its actors' clips
ACTOR__SCENE.
"""

import json
from collections.abc import Sequence

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

DATASET = "faceforensics"
METHODS = (
    "Deepfakes",
    "Face2Face",
    "FaceSwap",
    "NeuralTextures",
    "FaceShifter",
    "DeepFakeDetection",
)
COMPRESSIONS = ("raw", "c23", "c40")
NO_VIDEOS = ("masks", "models")  # what else the download script puts beside the compressions
ORIGINALS = {"youtube": "original", "actors": "actors"}  # folder -> word in the video id
SPLIT_FILES = {"train": "train.json", "validation": "val.json", "test": "test.json"}
TERMS = (
    "The videos are FaceForensics++'s (Roessler et al., ICCV 2019), under its terms of use: "
    "non-commercial research and education, and no passing on."
)


def list_records(tree: DirFileSystem) -> Listing:
    """The videos of the tree, and what is missing from it.

    Raises:
        DatasetError: it is not FaceForensics++, a split list is missing or damaged, or a
            folder or video is not part of the dataset.
    """
    originals = folders_in(tree, "original_sequences")
    methods = folders_in(tree, "manipulated_sequences")
    if not originals and not methods:
        raise DatasetError(
            "There is neither 'original_sequences' nor 'manipulated_sequences' in --root: it is "
            "not the folder of FaceForensics++."
        )
    _check_names("original_sequences", originals, tuple(ORIGINALS))
    _check_names("manipulated_sequences", methods, METHODS)
    pairs = _read_pairs(tree)
    split_of = {video: split for split, ids in pairs.items() for pair in ids for video in pair}

    records = []
    genuine: dict[tuple[str, str, str], VideoRecord] = {}  # (kind, compression, name)
    for kind in originals:
        for compression, path in _videos(tree, f"original_sequences/{kind}"):
            name = stem(path)
            video_id = f"{DATASET}/{ORIGINALS[kind]}/{compression}/{name}"
            record = VideoRecord(
                dataset=DATASET,
                path=path,
                video_id=video_id,
                split="test" if kind == "actors" else _split(split_of, name, path),
                compression=compression,
                source_video_id=video_id,
                source_path=path,
            )
            records.append(record)
            genuine[kind, compression, name] = record
    lonely = 0
    for method in methods:
        for compression, path in _videos(tree, f"manipulated_sequences/{method}"):
            name = stem(path)
            kind, target = _target(method, name, path)
            source = genuine.get((kind, compression, target))
            lonely += source is None
            records.append(
                VideoRecord(
                    dataset=DATASET,
                    path=path,
                    video_id=f"{DATASET}/{method}/{compression}/{name}",
                    split="test" if kind == "actors" else _split(split_of, target, path),
                    method=method,
                    compression=compression,
                    source_video_id=f"{DATASET}/{ORIGINALS[kind]}/{compression}/{target}",
                    source_path=source.path if source else None,
                )
            )
    missing = _missing(records, pairs)
    if lonely:
        missing.append(f"{lonely:,} fakes are there without the genuine clip they were made from.")
    return Listing(records, missing, TERMS)


def _check_names(folder: str, found: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in found if name not in known]
    if unknown:
        raise DatasetError(
            f"'{folder}' holds '{unknown[0]}', which is not part of FaceForensics++ (known: "
            f"{', '.join(known)}): move it away, or read it with the dataset 'folder'."
        )


def _read_pairs(tree: DirFileSystem) -> dict[str, list[tuple[str, str]]]:
    pairs = {}
    for split, name in SPLIT_FILES.items():
        path = next((p for p in (f"splits/{name}", name) if tree.isfile(p)), None)
        if path is None:
            raise DatasetError(
                f"The official split list 'splits/{name}' is missing: it comes with the "
                "dataset's download script."
            )
        try:
            pairs[split] = [(str(one), str(two)) for one, two in json.loads(read_text(tree, path))]
        except (TypeError, ValueError):
            raise DatasetError(f"'{path}' is not a list of pairs of video ids.") from None
    return pairs


def _videos(tree: DirFileSystem, folder: str) -> list[tuple[str, str]]:
    """(compression, path) of the videos of one kind."""
    found = [name for name in folders_in(tree, folder) if name not in NO_VIDEOS]
    _check_names(folder, found, COMPRESSIONS)
    return [
        (compression, path)
        for compression in found
        for path in files_below(tree, f"{folder}/{compression}/videos", VIDEO_SUFFIXES)
    ]


def _split(split_of: dict[str, str], name: str, path: str) -> str:
    if name not in split_of:
        raise DatasetError(f"Video '{path}' is in none of the official split lists.")
    return split_of[name]


def _target(method: str, name: str, path: str) -> tuple[str, str]:
    """Kind and name of the genuine clip of a fake."""
    if method == "DeepFakeDetection":
        actors, _, rest = name.partition("__")
        scene, _, _ = rest.rpartition("__")
        if "_" in actors and scene:
            return "actors", f"{actors.split('_')[0]}__{scene}"
    else:
        target, _, source = name.partition("_")
        if target and source:
            return "youtube", target
    raise DatasetError(f"The name of '{path}' does not say which video it was made from.")


def _missing(records: list[VideoRecord], pairs: dict[str, list[tuple[str, str]]]) -> list[str]:
    """A sentence for each method and compression that is there in part."""
    every_pair = [pair for ids in pairs.values() for pair in ids]
    originals = sorted({video for pair in every_pair for video in pair})
    fakes = sorted(name for one, two in every_pair for name in (f"{one}_{two}", f"{two}_{one}"))
    present: dict[tuple[str, str], set[str]] = {}
    for record in records:
        _, word, compression, name = record.video_id.split("/")
        if word not in ("actors", "DeepFakeDetection"):
            present.setdefault((word, compression), set()).add(name)
    sentences = []
    for (word, compression), names in sorted(present.items()):
        expected = originals if word == "original" else fakes
        absent = [name for name in expected if name not in names]
        if absent:
            sentences.append(
                f"{word} {compression}: {len(absent):,} of {len(expected):,} videos are not "
                f"there ({shown(absent)})."
            )
    return sentences
