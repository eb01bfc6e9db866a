"""Frame collections: the row schema, and rows ready for training.

A collection is a `datasets` dataset, as Parquet on disk or on the Hub, one row a face:

    image             the frame, or a crop of it with one face
    source_image      the genuine frame of the same moment, before the forgery; null if genuine
    landmarks         N x (x, y) in pixels of `image`, N = 5, 68 or 81; null if unknown
    label             real or fake
    method            how it was forged; null if genuine
    video_id          unique over the whole collection, methods included
    source_video_id   the genuine video behind it; its own id if genuine
    frame_index, time_s, dataset, compression   where it comes from

Splits are the dataset's splits. Only `image`, `label` and `video_id` are required. A missing
`source_image` is replaced by the genuine row of the same source video and frame index.
`point_search` finds missing landmarks.
"""

import hashlib
from dataclasses import dataclass

import cv2
import datasets
import numpy as np
import pyarrow as pa

from ..faces.landmarks import check_points, face_outline, fill_outline
from .pictures import decode_picture
from .schema import FRAME_FEATURES, PICTURE_COLUMNS, FrameDataError, label_numbers

# A pair shows the same moment if the surroundings of the face differ by less than this, in grey
# levels. On DFDC face crops aligned pairs differ by about 3, pairs of different moments by about
# 20, with little overlap. The threshold was chosen by viewing pairs on both sides of it.
SAME_FRAME_LEVELS = 6.0
COMPARED_SIDE = 128  # frames are compared at about this size
LEAST_SURROUNDINGS = 0.01  # share of the compared region; pairs with less are not compared


@dataclass(frozen=True, eq=False)
class FrameRow:
    """One decoded row.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        source_rgb: (H', W', 3) uint8, the genuine frame; None if genuine or unknown.
        points_xy: (N, 2) float64 landmarks in pixels of the image; None if unknown.
        label: 0 genuine, 1 forged.
    """

    image_rgb: np.ndarray
    source_rgb: np.ndarray | None
    points_xy: np.ndarray | None
    label: int

    def is_same_frame(self) -> bool:
        """Whether image and source show the same moment outside the face.

        Compares a ring: the box of the face's outline, extended by half its size on each side,
        without the face. Including more of a static background would hide movements of the head.
        """
        image, source = self.image_rgb, self.source_rgb
        if source is None or source.shape != image.shape or self.points_xy is None:
            return False
        outline_xy = face_outline(self.points_xy, forehead=0.5)
        low, high = outline_xy.min(axis=0), outline_xy.max(axis=0)
        reach = (high - low) / 2
        limits = np.array(image.shape[1::-1])
        x0, y0 = np.clip(np.floor(low - reach), 0, limits - 1).astype(int)
        x1, y1 = np.clip(np.ceil(high + reach), (x0 + 1, y0 + 1), limits).astype(int)
        zoom = min(1.0, COMPARED_SIDE / max(x1 - x0, y1 - y0))
        size_wh = (max(1, round((x1 - x0) * zoom)), max(1, round((y1 - y0) * zoom)))
        small, small_source = (
            cv2.resize(frame[y0:y1, x0:x1], size_wh, interpolation=cv2.INTER_AREA)
            for frame in (image, source)
        )
        outside = cv2.bitwise_not(fill_outline((outline_xy - (x0, y0)) * zoom, size_wh[::-1]))
        if cv2.countNonZero(outside) < LEAST_SURROUNDINGS * outside.size:
            return False
        levels = cv2.mean(cv2.absdiff(small, small_source), outside)[:3]
        return sum(levels) / 3 < SAME_FRAME_LEVELS


def read_row(
    row: dict, label: int, source: dict | None = None, points_xy: np.ndarray | None = None
) -> FrameRow:
    """Decode one row.

    Args:
        row: a row of the dataset, pictures decoded or not.
        label: 0 genuine, 1 forged, from `label_numbers`.
        source: the row of its genuine twin, if `row` has no `source_image`.
        points_xy: (N, 2) landmarks, used if `row` has none.

    Raises:
        FrameDataError: a picture or the landmarks are damaged.
    """
    name = row.get("video_id")
    source_picture = row.get("source_image")
    if source_picture is None and source is not None:
        source_picture = source["image"]
    landmarks = row.get("landmarks")
    if landmarks is not None and len(landmarks):
        try:
            points_xy = check_points(np.asarray(landmarks, np.float64))
        except ValueError as error:
            raise FrameDataError(f"Video '{name}' has unusable landmarks: {error}.") from None
    return FrameRow(
        image_rgb=decode_picture(row["image"], name),
        source_rgb=decode_picture(source_picture, name) if label and source_picture else None,
        points_xy=points_xy,
        label=label,
    )


class FrameTable:
    """Random access to a split: small columns in memory, pictures decoded on access.

    Args:
        rows: from `open_split`.

    Attributes:
        rows: the dataset.
        labels: (N,) int64, 0 genuine, 1 forged.
        video_ids: N ids.
        source_ids: N ids of the genuine videos behind the rows; "" if unknown.
        datasets: N names of the data sets the rows come from; None if unknown.
        twins: (N,) int64, for a forged row without its own `source_image` the genuine row of
            the same source video and frame index, else -1.
        has_source: (N,) bool, forged rows with a genuine frame of either kind.
        points_xy: N landmark arrays or None; `point_search` fills in the missing ones.
    """

    def __init__(self, rows: datasets.Dataset):
        self.rows = rows
        light = self._light_columns()
        self.labels = label_numbers(light["label"], rows.features["label"])
        self.video_ids = [str(video_id) for video_id in light["video_id"]]
        if not all(light["video_id"]):
            raise FrameDataError("A row has no video_id.")
        nothing = [None] * len(rows)
        sources = light.get("source_video_id", nothing)
        self.source_ids = [
            str(source) if source is not None else ("" if label else video_id)
            for source, label, video_id in zip(sources, self.labels, self.video_ids, strict=True)
        ]
        self.datasets: list[str | None] = light.get("dataset", nothing)
        moments = list(
            zip(
                self.datasets,
                light.get("compression", nothing),
                light.get("frame_index", nothing),
                strict=True,
            )
        )
        genuine = {
            (video_id, *moment): number
            for number, (label, video_id, moment) in enumerate(
                zip(self.labels, self.video_ids, moments, strict=True)
            )
            if label == 0
        }
        own = np.array(light["has_source_image"], bool) & (self.labels == 1)
        self.twins = np.full(len(rows), -1, np.int64)
        for number in np.flatnonzero((self.labels == 1) & ~own):
            key = (self.source_ids[number], *moments[number])
            self.twins[number] = genuine.get(key, -1)
        self.has_source = own | (self.twins >= 0)
        self.points_xy: list[np.ndarray | None] = [None] * len(rows)
        with_landmarks = "landmarks" in rows.features
        self._landmarks = rows.select_columns(["landmarks"]) if with_landmarks else None

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """Return a digest of the rows, labels and their order, but not of the pictures."""
        listed = "\n".join(f"{v}\t{n}" for v, n in zip(self.video_ids, self.labels, strict=True))
        return hashlib.sha256(listed.encode()).hexdigest()[:16]

    def _light_columns(self) -> dict[str, list]:
        """Return all columns but pictures and landmarks, and which rows have a source picture."""
        features = self.rows.features
        names = [name for name in FRAME_FEATURES if name in features]
        light = [name for name in names if name not in (*PICTURE_COLUMNS, "landmarks", "time_s")]
        table: pa.Table = self.rows.select_columns(light).with_format("arrow")[:]
        columns = {name: table.column(name).to_pylist() for name in light}
        columns["has_source_image"] = [False] * len(self.rows)
        if "source_image" in features:
            pictures = self.rows.select_columns(["source_image"]).with_format("arrow")
            columns["has_source_image"] = [
                valid.as_py()
                for batch in pictures.iter(batch_size=1000)
                for valid in batch.column(0).is_valid()
            ]
        return columns

    def landmarks(self, number: int) -> np.ndarray | None:
        """Return the (N, 2) float64 landmarks of a row, its own or those found."""
        if self._landmarks is not None:
            own = self._landmarks[int(number)]["landmarks"]
            if own:
                return check_points(np.asarray(own, np.float64))
        return self.points_xy[number]

    def landmarks_known(self) -> np.ndarray:
        """Return (N,) bool: rows whose landmarks are in the dataset."""
        if self._landmarks is None:
            return np.zeros(len(self.rows), bool)
        column = self._landmarks.with_format("arrow")[:].column(0)
        return np.array([value.is_valid and len(value) > 0 for value in column], bool)

    def row(self, number: int) -> FrameRow:
        """Decode a row, with its genuine frame if it is forged and has one."""
        number = int(number)
        twin = int(self.twins[number])
        return read_row(
            self.rows[number],
            int(self.labels[number]),
            self.rows[twin] if twin >= 0 else None,
            self.points_xy[number],
        )

    def image_rgb(self, number: int) -> np.ndarray:
        """Decode a row's own picture."""
        return decode_picture(self.rows[int(number)]["image"], self.video_ids[number])
