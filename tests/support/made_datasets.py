"""Trees in the layouts in which owners distribute their datasets, of tiny videos with one face.

The person is the public-domain portrait that scikit-image ships, moving slowly; forged videos are
the same frames with the face altered.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from support.made_faces import POINTS_XY, forge, portrait
from support.made_media import write_video

FRAMES = 10
SIZE_HW = (152, 200)  # of the videos
ZOOM = 0.5
STRIP = 10  # rows at the top whose brightness is the frame's number


def made_frames(numbers: Iterable[int], forged: bool = False) -> Iterator[np.ndarray]:
    """(152, 200, 3) uint8 frames in which the portrait moves.

    Args:
        numbers: moments, below 10; forged or not, a frame shows the same outside the face.
        forged: whether the face is altered.
    """
    picture = _small(forged)
    height, width = SIZE_HW
    for number in numbers:
        x, y = _offset(number)
        frame = picture[y : y + height, x : x + width].copy()
        frame[:STRIP] = 30 + 20 * number
        yield frame


def made_number(image_rgb: np.ndarray) -> int:
    """The number of a frame, read from a crop that reaches its top."""
    return round((float(np.median(image_rgb[: STRIP // 2])) - 30) / 20)


def faceless_frames(count: int = FRAMES) -> Iterator[np.ndarray]:
    """A wall."""
    wall = np.random.default_rng(0).integers(60, 190, (*SIZE_HW, 3), np.uint8)
    return iter([cv2.GaussianBlur(wall, (0, 0), 9)] * count)


@lru_cache
def _small(forged: bool) -> np.ndarray:
    picture = forge(portrait()) if forged else portrait()
    return cv2.resize(picture, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_AREA)


def _offset(number: int) -> tuple[int, int]:
    return 4 * number % 50, 2 * number


class MadeVideos:
    """Videos written once and copied wherever a tree needs them.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        kinds = {
            "genuine": made_frames(range(FRAMES)),
            "forged": made_frames(range(FRAMES), forged=True),
            "faceless": faceless_frames(),
        }
        for kind, frames in kinds.items():
            write_clip(folder / f"{kind}.mp4", frames)

    def put(self, kind: str, path: Path) -> Path:
        """Copies the "genuine", "forged" or "faceless" video to a path; "broken" is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "broken":
            path.write_bytes(b"not a video at all" * 100)
        else:
            shutil.copyfile(self._folder / f"{kind}.mp4", path)
        return path


def write_clip(path: Path, frames_rgb: Iterable[np.ndarray]) -> Path:
    """A video of good quality."""
    return write_video(path, frames_rgb, options={"crf": "12"})


def make_faceforensics(
    root: Path,
    videos: MadeVideos,
    pairs: Sequence[tuple[str, str]] = (("000", "003"), ("010", "011")),
    methods: Sequence[str] = ("Deepfakes", "Face2Face"),
    compression: str = "c23",
    actors: bool = False,
) -> Path:
    """FaceForensics++; the first pair is for training, then validation, test, and so on."""
    for pair in pairs:
        for target, source in (pair, pair[::-1]):
            below = f"original_sequences/youtube/{compression}/videos/{target}.mp4"
            videos.put("genuine", root / below)
            for method in methods:
                below = f"manipulated_sequences/{method}/{compression}/videos"
                videos.put("forged", root / below / f"{target}_{source}.mp4")
    if actors:
        below = f"original_sequences/actors/{compression}/videos/01__talking_still.mp4"
        videos.put("genuine", root / below)
        below = f"manipulated_sequences/DeepFakeDetection/{compression}/videos"
        videos.put("forged", root / below / "01_02__talking_still__ABCDEFGH.mp4")
    (root / "splits").mkdir(parents=True)
    for number, name in enumerate(("train", "val", "test")):
        (root / "splits" / f"{name}.json").write_text(json.dumps(list(pairs[number::3])))
    return root


def make_celeb_df(root: Path, videos: MadeVideos, plus: bool = False) -> Path:
    """Celeb-DF v2, or Celeb-DF++ with a face swap and a reenactment."""
    for below in ("Celeb-real/id0_0000", "Celeb-real/id1_0000", "YouTube-real/00001"):
        videos.put("genuine", root / f"{below}.mp4")
    fakes = ["Celeb-synthesis/id0_id1_0000", "Celeb-synthesis/id1_id0_0000"]
    if plus:
        fakes = [
            "Celeb-synthesis/FaceSwap/SimSwap/id0_id1_0000",
            "Celeb-synthesis/FaceReenact/LIA/id1_id0_0000",
            "Celeb-synthesis/TalkingFace/SadTalker/id1_0000_test_0001",
        ]
    for below in fakes:
        videos.put("forged", root / f"{below}.mp4")
    tested = [f"1 {below}.mp4" for below in ("Celeb-real/id1_0000", "YouTube-real/00001")]
    lines = [*tested, f"0 {fakes[1]}.mp4", ""]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines))
    return root


def make_dfdc(root: Path, videos: MadeVideos) -> Path:
    """Two parts of DFDC and its test set."""
    for part, (real, fake) in enumerate(
        (("aaaaaaaaaa", "bbbbbbbbbb"), ("cccccccccc", "dddddddddd"))
    ):
        folder = root / f"dfdc_train_part_{part}"
        videos.put("genuine", folder / f"{real}.mp4")
        videos.put("forged", folder / f"{fake}.mp4")
        metadata = {
            f"{real}.mp4": {"label": "REAL", "split": "train"},
            f"{fake}.mp4": {"label": "FAKE", "split": "train", "original": f"{real}.mp4"},
        }
        (folder / "metadata.json").write_text(json.dumps(metadata))
    videos.put("genuine", root / "test" / "eeeeeeeeee.mp4")
    videos.put("forged", root / "test" / "ffffffffff.mp4")
    labels = "filename,label\neeeeeeeeee.mp4,0\nffffffffff.mp4,1\n"
    (root / "test" / "labels.csv").write_text(labels)
    return root


def make_dfdc_preview(root: Path, videos: MadeVideos) -> Path:
    """The preview of DFDC."""
    entries = {}
    for kind, below, label, split in (
        ("genuine", "original_videos/803017/803017_001.mp4", "real", "train"),
        ("forged", "method_A/803017_1000_A/803017_1000_A_001.mp4", "fake", "train"),
        ("forged", "method_B/1000_803017_B/1000_803017_B_001.mp4", "fake", "test"),
    ):
        videos.put(kind, root / below)
        entries[below] = {"label": label, "set": split, "target_id": "803017", "swapped_id": None}
    (root / "dataset.json").write_text(json.dumps(entries))
    return root


def make_folder(root: Path, videos: MadeVideos) -> Path:
    """A plain folder: two genuine videos, one forged, one of a named method."""
    for name in ("one", "two"):
        videos.put("genuine", root / "real" / f"{name}.mp4")
    videos.put("forged", root / "fake" / "three.mp4")
    videos.put("forged", root / "fake" / "swapper" / "four.mp4")
    return root


def make_listed_folder(root: Path, videos: MadeVideos) -> Path:
    """A folder with a CSV."""
    videos.put("genuine", root / "clips" / "one.mp4")
    videos.put("forged", root / "clips" / "two.mp4")
    lines = [
        "path,label,method,split,source,compression",
        "clips/one.mp4,real,,test,,c10",
        "clips/two.mp4,fake,swapper,test,clips/one.mp4,c10",
    ]
    (root / "videos.csv").write_text("\n".join(lines))
    return root


def make_caddm_frames(root: Path, shared_landmarks: bool = False) -> Path:
    """The original project's frames: two of a genuine video, the same two of a Deepfakes one.

    Args:
        root: becomes the folder of `test_images`.
        shared_landmarks: write the last frame's landmarks to both, as the original script did.
    """
    place = root / "test_images"
    listed = {}
    for kind, folder in (
        ("genuine", "original_sequences/youtube/raw/frames/183"),
        ("forged", "manipulated_sequences/Deepfakes/raw/frames/183_253"),
    ):
        for index, frame in zip((2, 7), made_frames((2, 7), forged=kind == "forged"), strict=True):
            path = place / folder / f"frame_{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            moment = 7 if shared_landmarks else index
            listed[f"./test_images/{folder}/frame_{index}"] = {
                "landmark": eighty_one_points(moment).tolist(),
                "source_path": "./test_images/original_sequences/youtube/raw/frames/183/frame_7",
                "label": int(kind == "forged"),
            }
    (place / "ldm.json").write_text(json.dumps(listed))
    return root


def eighty_one_points(number: int) -> np.ndarray:
    """Landmarks of frame `number`: eyes, nose and mouth where they are, the rest around them."""
    five = five_points_of(number)
    middle, width = five.mean(axis=0), five[1, 0] - five[0, 0]
    angles = np.linspace(0, 2 * np.pi, 81, endpoint=False)
    points = middle + 1.3 * width * np.column_stack([np.cos(angles), np.sin(angles)])
    points[36:42], points[42:48], points[30], points[48], points[54] = five
    return points.round()


def five_points_of(number: int) -> np.ndarray:
    """(5, 2) eyes, nose tip and mouth corners of frame `number`."""
    return POINTS_XY * ZOOM - _offset(number)
