"""Facial points for rows that come without: found once, kept in a file, found again never.

Such rows are taken for crops around one face, so they are searched small: MTCNN's last network
sees 48 x 48 pixels anyway. On 224 px crops cut tightly, points move by 1 px on the median against
a search at full size.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from ..core.atomic_files import write_atomically
from .frame_table import FrameTable
from .schema import FrameDataError

SEARCHED_SIDE = 160
ROWS_AT_ONCE = 32
ROWS_BETWEEN_SAVES = 512
# Where the points of a tight crop lie on the median of those found in DFDC face crops, in
# units of its width and height: for crops in which none are found.
TYPICAL_POINTS = np.array(
    [(0.311, 0.290), (0.721, 0.292), (0.510, 0.495), (0.344, 0.738), (0.677, 0.739)]
)
LARGEST_MISSING_SHARE = 0.25  # beyond, the pictures are no face crops
LEAST_JUDGED_ROWS = 100

FOLDER_NAME = "caddm_five_points"

FindPoints = Callable[[list[np.ndarray]], list[np.ndarray | None]]


def default_cache_folder() -> Path:
    """Beside the cache of `datasets`."""
    return Path(datasets.config.HF_DATASETS_CACHE) / FOLDER_NAME


def search_points(table: FrameTable, numbers: Iterable[int], cache_folder: Path) -> int:
    """Give rows of a table their five points, from the cache or by searching.

    What is found is saved as the search goes on, so an interrupted one is continued. Points
    belong to a picture's content: a changed picture is searched anew.

    Args:
        table: its `points_xy` are filled in.
        numbers: the rows that will be used.
        cache_folder: made if need be.

    Returns:
        in how many of the rows no face was found, so that typical points stand in.

    Raises:
        FrameDataError: no face is found in so many pictures that they cannot be face crops.
    """
    known = table.landmarks_known()
    wanted = [number for number in sorted(set(map(int, numbers))) if not known[number]]
    if not wanted:
        return 0
    cache = _PointsCache(cache_folder / f"five-points-{_safe_name(table)}.npz")
    digests = {number: _digest(table, number) for number in wanted}
    if any(digest not in cache.points for digest in digests.values()):
        cache.adopt(set(digests.values()))
    missing = [number for number in wanted if digests[number] not in cache.points]
    if missing:
        _search(table, missing, digests, cache, mtcnn_points())
    not_found = 0
    for number in wanted:
        points_xy = cache.points[digests[number]]
        if np.isnan(points_xy).any():
            not_found += 1
            height, width = table.image_rgb(number).shape[:2]
            points_xy = TYPICAL_POINTS * (width, height)
        table.points_xy[number] = points_xy.astype(np.float64)
    if len(wanted) >= LEAST_JUDGED_ROWS and not_found > LARGEST_MISSING_SHARE * len(wanted):
        raise FrameDataError(
            f"No face was found in {not_found} of {len(wanted)} pictures; rows without landmarks "
            "must be crops around one face."
        )
    return not_found


def _search(
    table: FrameTable,
    missing: list[int],
    digests: dict[int, bytes],
    cache: "_PointsCache",
    find_points: FindPoints,
) -> None:
    with tqdm(total=len(missing), desc="finding faces", unit="row", leave=False) as progress:
        unsaved = 0
        for start in range(0, len(missing), ROWS_AT_ONCE):
            chosen = missing[start : start + ROWS_AT_ONCE]
            found = find_points([table.image_rgb(number) for number in chosen])
            for number, points_xy in zip(chosen, found, strict=True):
                nowhere = np.full((5, 2), np.nan, np.float32)
                cache.points[digests[number]] = nowhere if points_xy is None else points_xy
            progress.update(len(chosen))
            unsaved += len(chosen)
            if unsaved >= ROWS_BETWEEN_SAVES:
                cache.save()
                unsaved = 0
    cache.save()


def mtcnn_points() -> FindPoints:
    """Five points of the largest face in each picture, by MTCNN."""
    # Loading the networks takes seconds, and most runs find their points in the cache.
    from ..faces.detection import FaceDetector

    detector = FaceDetector(max_side=SEARCHED_SIDE)

    def find(images_rgb: list[np.ndarray]) -> list[np.ndarray | None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # its networks are too small to be divided
        try:
            faces = detector.detect(images_rgb, border_if_empty=True)
        finally:
            torch.set_num_threads(threads)
        return [found[0].landmarks_xy if found else None for found in faces]

    return find


class _PointsCache:
    """Picture digest -> (5, 2) float32 points, NaN where no face was found; one npz file."""

    def __init__(self, path: Path):
        self.path = path
        self.points = _read_points(path)

    def adopt(self, wanted: set[bytes]) -> None:
        """Take over what was found for these pictures under another name of their dataset.

        The same pictures come in another file, or as a part of another selection of rows.
        """
        for path in sorted(self.path.parent.glob("five-points-*.npz")):
            if path != self.path:
                found = _read_points(path)
                self.points |= {digest: found[digest] for digest in wanted & found.keys()}

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        digests = np.frombuffer(b"".join(self.points), np.uint8).reshape(len(self.points), -1)
        points = np.stack(list(self.points.values())).astype(np.float32)
        with write_atomically(self.path) as file:
            np.savez_compressed(file, digests=digests, points=points)


def _read_points(path: Path) -> dict[bytes, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            digests, points = stored["digests"], stored["points"].astype(np.float32)
        return {digest.tobytes(): five for digest, five in zip(digests, points, strict=True)}
    except Exception:  # a damaged cache is no reason to fail: it is made again
        return {}


def _digest(table: FrameTable, number: int) -> bytes:
    picture = table.rows[number]["image"]
    data = picture["bytes"] or Path(picture["path"]).read_bytes()
    return hashlib.blake2b(data, digest_size=16).digest()


def _safe_name(table: FrameTable) -> str:
    """A file name for the dataset; only keeps caches small, digests decide what is reused."""
    fingerprint = re.sub(r"\W", "", str(getattr(table.rows, "_fingerprint", "")))
    return fingerprint[:32] or "rows"
