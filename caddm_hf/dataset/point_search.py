"""Facial points of rows without landmarks: found once, then read from a cache.

Such rows must be crops around one face, so they are searched at a small size (the input of MTCNN's
last network is only 48 x 48 pixels). On tightly cut 224 px crops, points differ by a median of 1 px
from a search at full size. One search with a border is 3 to 4 times as fast as the two searches of
a whole frame, and finds the same points (median difference 0).
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
# Median positions of the points in DFDC face crops, in units of the crop's width and height.
# Used for tight crops in which no face is found.
TYPICAL_POINTS = np.array(
    [(0.311, 0.290), (0.721, 0.292), (0.510, 0.495), (0.344, 0.738), (0.677, 0.739)]
)
LARGEST_MISSING_SHARE = 0.25  # with more rows without a face, these are not face crops
LEAST_JUDGED_ROWS = 100

FOLDER_NAME = "caddm_five_points"

FindPoints = Callable[[list[np.ndarray]], list[np.ndarray | None]]


def default_cache_folder() -> Path:
    """Return the default cache folder for points, in the cache of `datasets`."""
    return Path(datasets.config.HF_DATASETS_CACHE) / FOLDER_NAME


def search_points(table: FrameTable, numbers: Iterable[int], cache_folder: Path) -> int:
    """Fill in the five points of rows, from the cache or by a search.

    Points are saved during the search, so an interrupted search can be resumed. The cache is keyed
    by the content of a picture: a changed picture is searched again.

    Args:
        table: its `points_xy` are filled in.
        numbers: the rows that will be used.
        cache_folder: created if necessary.

    Returns:
        the number of rows without a detected face; these get `TYPICAL_POINTS`.

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
    """Return a function that finds the five points of the largest face in each picture."""
    # Imported here because it takes seconds, and most runs find their points in the cache.
    from ..faces.detection import FaceDetector

    detector = FaceDetector(max_side=SEARCHED_SIDE)

    def find(images_rgb: list[np.ndarray]) -> list[np.ndarray | None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the networks are too small for several threads
        try:
            faces = detector.detect_in_crops(images_rgb)
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
        """Copy known points of these pictures from the caches of other collections.

        Another file or selection of rows may contain the same pictures.
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
    except Exception:  # ignore a damaged cache; it is written anew
        return {}


def _digest(table: FrameTable, number: int) -> bytes:
    picture = table.rows[number]["image"]
    data = picture["bytes"] or Path(picture["path"]).read_bytes()
    return hashlib.blake2b(data, digest_size=16).digest()


def _safe_name(table: FrameTable) -> str:
    """Return a file name for the collection. Points are matched by digest, not by this name."""
    fingerprint = re.sub(r"\W", "", str(getattr(table.rows, "_fingerprint", "")))
    return fingerprint[:32] or "rows"
