"""A small frame collection of drawn faces, some of them forged, for the tests of training.

A forged face has a patch from another face, tinted and blurred, inside its outline: plain enough
to be learnt in some hundred steps, and different enough from its source to be swapped.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from datasets import Dataset, Features

from caddm_hf.augmentation.blending import soften_mask
from caddm_hf.dataset.schema import FRAME_FEATURES
from caddm_hf.faces.landmarks import face_outline, fill_outline

# Eyes, nose tip and mouth corners in units of the distance between the eyes, from its middle.
FACE_XY = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.58), (-0.4, 1.08), (0.4, 1.08)])


def draw_face(rng: np.random.Generator, side: int = 112) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face: (side, side, 3) uint8 and its five points (5, 2)."""
    image = cv2.resize(
        rng.integers(40, 200, (6, 6, 3)).astype(np.float32),
        (side, side),
        None,
        0,
        0,
        cv2.INTER_CUBIC,
    )
    eye_distance = side * rng.uniform(0.26, 0.32)
    middle = np.array([side / 2, side * 0.38]) + rng.uniform(-0.04, 0.04, 2) * side
    points_xy = FACE_XY * eye_distance + middle
    skin = rng.uniform((120, 90, 70), (230, 190, 170))
    dark = skin * rng.uniform(0.2, 0.4)

    def ellipse(centre, axes, colour) -> None:
        centre, axes = (tuple(int(v) for v in np.round(values)) for values in (centre, axes))
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour.tolist(), -1, cv2.LINE_AA)

    ellipse(middle + np.array([0, 0.6]) * eye_distance, np.array([1.05, 1.45]) * eye_distance, skin)
    for eye in points_xy[:2]:
        ellipse(eye, np.array([0.2, 0.1]) * eye_distance, np.full(3, 235.0))
        ellipse(eye, np.array([0.09, 0.09]) * eye_distance, dark * 0.5)
        ellipse(eye - (0, 0.24 * eye_distance), np.array([0.26, 0.05]) * eye_distance, dark)
    ellipse(points_xy[2], np.array([0.12, 0.1]) * eye_distance, skin * 0.8)
    mouth = points_xy[3:].mean(axis=0)
    red = np.array([170.0, 60.0, 60.0]) * rng.uniform(0.7, 1.2)
    ellipse(mouth, np.array([0.4, rng.uniform(0.06, 0.14)]) * eye_distance, red)
    image = cv2.GaussianBlur(image, (0, 0), 0.7) + rng.normal(0, 2.5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), points_xy


def forge_face(
    image_rgb: np.ndarray, points_xy: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The same picture with a bluish, blurred and flattened face."""
    inside = soften_mask(fill_outline(face_outline(points_xy), image_rgb.shape[:2]), 2)
    weight = inside[..., None].astype(np.float32) / 255
    altered = cv2.GaussianBlur(image_rgb, (0, 0), 1.5).astype(np.float32)
    altered = 128 + (altered - 128) * 0.7 + rng.uniform((-30, -5, 25), (-15, 5, 45))
    # A coarse checkerboard, as a poor generator leaves it.
    y, x = np.indices(inside.shape)
    altered += np.where((x // 4 + y // 4) % 2, 9.0, -9.0)[..., None]
    return np.clip(image_rgb * (1 - weight) + altered * weight, 0, 255).astype(np.uint8)


def made_rows(
    videos: int,
    frames: int,
    seed: int,
    with_source: bool = True,
    with_landmarks: bool = True,
    side: int = 112,
) -> Iterator[dict]:
    """Rows of `videos` genuine videos and one forgery of each, `frames` frames a video."""
    for video in range(videos):
        for index in range(frames):
            rng = np.random.default_rng([seed, video, index])
            image, points_xy = draw_face(rng, side)
            forged = forge_face(image, points_xy, rng)
            source_id = f"made/original/{seed}-{video:03d}"
            shared = {
                "landmarks": points_xy.tolist() if with_landmarks else None,
                "source_video_id": source_id,
                "frame_index": index,
                "time_s": index / 25,
                "dataset": "made",
                "compression": "raw",
            }
            yield shared | {
                "image": png_picture(image),
                "source_image": None,
                "label": "real",
                "method": None,
                "video_id": source_id,
            }
            yield shared | {
                "image": png_picture(forged),
                "source_image": png_picture(image) if with_source else None,
                "label": "fake",
                "method": "patch",
                "video_id": f"made/patch/{seed}-{video:03d}",
            }


def write_collection(
    folder: Path, train_videos: int = 12, validation_videos: int = 6, frames: int = 2, **options
) -> Path:
    """Write a collection with both splits as Parquet; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, videos, seed in (("train", train_videos, 1), ("validation", validation_videos, 2)):
        rows = Dataset.from_list(
            list(made_rows(videos, frames, seed, **options)), features=FRAME_FEATURES
        )
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def write_crops(folder: Path, changes: Callable[[dict], dict] = dict) -> Path:
    """A collection with the columns of plain face crops: no source pictures, no landmarks.

    Args:
        changes: what to do with each row before it is written.
    """
    rows = []
    for row in made_rows(3, 1, seed=3, with_source=False, with_landmarks=False, side=80):
        row = changes(row)
        rows.append({name: row[name] for name in ("image", "label", "video_id", "source_video_id")})
    features = Features({name: FRAME_FEATURES[name] for name in rows[0]})
    folder.mkdir()
    Dataset.from_list(rows, features=features).to_parquet(folder / "train-00000-of-00001.parquet")
    return folder


def png_picture(image_rgb: np.ndarray) -> dict:
    """A picture as a row of a collection holds it."""
    _, data = cv2.imencode(".png", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
    return {"bytes": data.tobytes(), "path": None}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the collection for a look at it.")
    parser.add_argument("folder", type=Path)
    print(write_collection(parser.parse_args().folder))
