"""Facial points of rows that come without: found once, kept, and found again after a change."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from caddm_hf.dataset import point_search
from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FrameDataError
from support.made_collection import write_crops

PORTRAIT_POINTS_XY = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)], float)


def test_missing_points_are_searched_once(tmp_path: Path, monkeypatch):
    folder = write_crops(tmp_path / "crops")
    table = FrameTable(open_split(str(folder), "train"))
    searched = []

    def find(images_rgb):
        searched.extend(images_rgb)
        return [None if len(searched) == 2 else np.full((5, 2), 7.0, np.float32)] * len(images_rgb)

    monkeypatch.setattr(point_search, "mtcnn_points", lambda: find)
    monkeypatch.setattr(point_search, "ROWS_AT_ONCE", 1)
    assert point_search.search_points(table, [0, 2], tmp_path / "cache") == 1
    assert len(searched) == 2
    assert (table.landmarks(0) == 7).all()
    assert np.allclose(table.landmarks(2), point_search.TYPICAL_POINTS * 80)
    assert table.landmarks(1) is None

    again = FrameTable(open_split(str(folder), "train"))
    assert point_search.search_points(again, [0, 1, 2], tmp_path / "cache") == 1
    assert len(searched) == 3
    assert np.array_equal(again.landmarks(2), table.landmarks(2))


def test_an_interrupted_search_keeps_what_it_has(tmp_path: Path, monkeypatch):
    folder = write_crops(tmp_path / "crops")
    count = 0

    def find(images_rgb):
        nonlocal count
        count += len(images_rgb)
        if count == 4:
            raise KeyboardInterrupt
        return [np.full((5, 2), 7.0, np.float32)] * len(images_rgb)

    monkeypatch.setattr(point_search, "mtcnn_points", lambda: find)
    monkeypatch.setattr(point_search, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(point_search, "ROWS_BETWEEN_SAVES", 2)
    for _ in range(2):
        table = FrameTable(open_split(str(folder), "train"))
        try:
            point_search.search_points(table, range(6), tmp_path / "cache")
        except KeyboardInterrupt:
            continue
    # Three found, two of them saved, the fourth interrupted; then the four others.
    assert count == 8
    assert all((table.landmarks(number) == 7).all() for number in range(6))


def test_pictures_without_faces_are_not_trained_on(tmp_path: Path, monkeypatch):
    folder = write_crops(tmp_path / "crops")
    table = FrameTable(open_split(str(folder), "train"))
    monkeypatch.setattr(point_search, "mtcnn_points", lambda: lambda images: [None] * len(images))
    monkeypatch.setattr(point_search, "LEAST_JUDGED_ROWS", 6)
    with pytest.raises(FrameDataError, match="No face was found in 6 of 6"):
        point_search.search_points(table, range(6), tmp_path / "cache")


def test_mtcnn_finds_the_points_of_a_tight_crop():
    portrait = data.astronaut()
    x0, y0, x1, y1 = 175, 60, 280, 175
    crop = cv2.resize(portrait[y0:y1, x0:x1], (224, 224))
    expected = (PORTRAIT_POINTS_XY - (x0, y0)) * (224 / (x1 - x0), 224 / (y1 - y0))
    empty = np.full((224, 224, 3), 90, np.uint8)
    found, nothing = point_search.mtcnn_points()([crop, empty])
    assert np.abs(found - expected).mean() < 8
    assert nothing is None
