"""Scores of every frame, computed once: in chunks, on any number of processes, resumable.

The data are divided into chunks of fixed size. One process computes a chunk and writes it
atomically to a Parquet file, so a killed run can be resumed with the missing chunks, and the table
does not depend on the number of processes.

    faces-KEY/chunk-00000.parquet       positions of faces, for data without landmarks
    scores-KEY/chunk-00000.parquet      one row per frame and distortion

The key is a digest of everything that determines the content: data, sampling, weights, processor.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from tqdm.auto import tqdm

from ..augmentation.distortions import distort
from ..checkpoint.loading import LoadedModel, weights_digest
from ..core.atomic_files import write_atomically
from ..dataset.schema import FrameDataError
from ..detector.scoring import CROPS_A_CORE, score_batches
from ..runtime.network import CropNetwork, answer_filled
from .data import UNREADABLE, EvaluationData, FoundFace
from .faces import FaceCrops, FaceFinder
from .score_table import CLEAN, SCORED_SCHEMA

# Bump this when the same inputs yield other scores than before.
SCORING_VERSION = 2
FRAMES_PER_CHUNK = 64
NO_FINITE_SCORE = "the network gave no finite score"
FACES_SCHEMA = pa.schema(
    [
        ("item", pa.int32()),
        ("frame_index", pa.int32()),
        ("points", pa.list_(pa.float64())),
        ("failure", pa.string()),
    ]
)

Variant = tuple[str, int]  # a distortion and its level
CLEAN_ONLY: tuple[Variant, ...] = ((CLEAN, 0),)
ChunkWork = Callable[[range], pa.Table]


def run_chunks(
    folder: Path, count: int, size: int, work: ChunkWork, accelerator: Accelerator, title: str
) -> pa.Table:
    """Compute the missing chunks, and return the whole table in every process.

    Args:
        folder: for these chunks only; on a file system that all processes share.
        count: total number of items.
        size: items per chunk.
        work: returns the rows of some items.
        title: for the progress bar.
    """
    chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    paths = [folder / f"chunk-{number:05d}.parquet" for number in range(len(chunks))]
    missing = [None]
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [[number for number, path in enumerate(paths) if not _is_whole(path)]]
    # Only one process lists the missing chunks: others might already see newly written ones.
    broadcast_object_list(missing)
    mine = missing[0][accelerator.process_index :: accelerator.num_processes]
    hidden = not (mine and accelerator.is_main_process)
    with tqdm(total=sum(len(chunks[n]) for n in mine), desc=title, disable=hidden) as bar:
        for number in mine:
            table = work(chunks[number])
            with write_atomically(paths[number]) as file:
                pq.write_table(table, file)
            bar.update(len(chunks[number]))
    accelerator.wait_for_everyone()
    return pa.concat_tables([pq.read_table(path) for path in paths])


def _is_whole(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def digest_of(*parts: object) -> str:
    """Return a short digest of JSON values."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


class FrameScorer:
    """Scores crops with the serving network, in batches of one size.

    On the CPU that size is the detector's, regardless of the number of threads, so scores do not
    depend on the number of processes.

    Args:
        loaded: the model.
        network: from `open_network`.
        batch_size: crops per batch on a GPU.
    """

    def __init__(self, loaded: LoadedModel, network: CropNetwork, batch_size: int = 32):
        self.loaded, self.network = loaded, network
        self.model, self.processor = loaded.model, loaded.image_processor
        self.device = next(self.model.parameters()).device
        on_cpu = self.device.type == "cpu"
        self.batch_size = min(batch_size, CROPS_A_CORE) if on_cpu else batch_size

    def key(self) -> list:
        """Return the values that determine the scores."""
        digest = weights_digest(self.model)
        return [digest, self.processor.to_dict(), self.batch_size, self.network.backend]

    def outputs(self, crops_rgb: Sequence[np.ndarray], take: Callable) -> list[np.ndarray]:
        """Run the network, and keep the part of each batch's output that `take` returns.

        Args:
            crops_rgb: (S, S, 3) uint8 each.
            take: output -> (B, ...) tensor.

        Returns:
            the part of each crop, float32.
        """

        @torch.inference_mode()
        def score(batch: Sequence[np.ndarray]) -> np.ndarray:
            pixel_values = self.processor.pixel_values(batch)
            output = answer_filled(self.network, pixel_values, self.batch_size)
            return take(output).float().cpu().numpy()

        size = self.batch_size
        batches = (crops_rgb[start : start + size] for start in range(0, len(crops_rgb), size))
        found: list[np.ndarray] = []
        for _, parts in score_batches(score, batches, self.network.calls_at_once):
            found.extend(parts)
        return found

    def logit_differences(self, crops_rgb: Sequence[np.ndarray]) -> np.ndarray:
        """Return fake logit minus genuine logit of each crop, (N,) float64."""

        def difference(output) -> torch.Tensor:
            return output.logits[:, 1].float() - output.logits[:, 0].float()

        return np.array(self.outputs(crops_rgb, difference), np.float64)


def find_faces(
    data: EvaluationData,
    frames: int,
    finder: FaceFinder,
    accelerator: Accelerator,
    folder: Path,
    data_key: list,
) -> dict[int, list[FoundFace]]:
    """Find the face in every frame without landmarks.

    Returns:
        item -> its frames' faces, for the items without landmarks.
    """
    items = data.items_without_points()
    if not items:
        return {}

    def work(chunk: range) -> pa.Table:
        rows = []
        chosen = [items[n] for n in chunk]
        for item, faces in zip(chosen, finder.find(data, chosen), strict=True):
            for face in faces:
                points = None if face.points_xy is None else face.points_xy.ravel().tolist()
                rows.append((item, face.frame_index, points, face.failure))
        return _table(rows, FACES_SCHEMA)

    key = digest_of(SCORING_VERSION, data_key, finder.key())
    size = _chunk_size(data, frames)
    table = run_chunks(
        folder / f"faces-{key}", len(items), size, work, accelerator, f"finding faces: {data.name}"
    )
    found: dict[int, list[FoundFace]] = {}
    for row in table.to_pylist():
        points = row["points"]
        points_xy = None if points is None else np.array(points).reshape(5, 2)
        face = FoundFace(row["frame_index"], points_xy, row["failure"])
        found.setdefault(row["item"], []).append(face)
    return found


def score_frames(
    data: EvaluationData,
    frames: int,
    faces: dict[int, list[FoundFace]],
    scorer: FrameScorer,
    accelerator: Accelerator,
    folder: Path,
    data_key: list,
    variants: Sequence[Variant] = CLEAN_ONLY,
    seed: int = 0,
) -> pa.Table:
    """Score every frame of some data, clean or distorted as in `variants`.

    Args:
        data: what to score.
        frames: the most frames per video.
        faces: from `find_faces`.
        scorer: the model.
        folder: parent of all folders of chunks.
        data_key: the values that determine the data.
        variants: distortions with their levels, applied to the aligned crop.
        seed: of the distortions' random numbers.

    Returns:
        a table with `SCORED_SCHEMA`, in the order of the items.
    """

    crops = FaceCrops(scorer.loaded, scorer.network, data, frames, faces)

    def work(chunk: range) -> pa.Table:
        return _table(_score_items(data, chunk, crops, scorer, variants, seed), SCORED_SCHEMA)

    key = digest_of(SCORING_VERSION, data_key, scorer.key(), list(variants), seed)
    title = f"scoring: {data.name}"
    size = _chunk_size(data, frames)
    return run_chunks(folder / f"scores-{key}", len(data.facts), size, work, accelerator, title)


def _chunk_size(data: EvaluationData, frames: int) -> int:
    return FRAMES_PER_CHUNK if data.kind == "frames" else max(1, FRAMES_PER_CHUNK // frames)


def _score_items(
    data: EvaluationData,
    items: range,
    faces: FaceCrops,
    scorer: FrameScorer,
    variants: Sequence[Variant],
    seed: int,
) -> list[tuple]:
    """Return rows of `SCORED_SCHEMA` for some items, variant after variant."""
    crops, seen, more, failed = [], [], [], []
    for item in items:
        facts = data.facts[item]
        about = (facts.dataset, facts.compression, facts.method, facts.video_id)
        about += (facts.source_video_id, facts.label)
        found = faces.of_item(item)
        for face in found:
            if face.failure is None:
                crops.append(face.crop_rgb)
                seen.append((*about, face.frame_index))
                more.append((facts.origin, face.face_px))
            else:
                failed.append(((*about, face.frame_index), (facts.origin, None), face.failure))
        if not found:
            reason = f"{UNREADABLE}: no frame could be read"
            failed.append(((*about, None), (facts.origin, None), reason))
    rows = []
    for name, level in variants:
        shown = crops
        if name != CLEAN:
            shown = [
                distort(crop, name, level, _crop_rng(seed, facts, name, level))
                for crop, facts in zip(crops, seen, strict=True)
            ]
        values = scorer.logit_differences(shown)
        for facts, place, value in zip(seen, more, values, strict=True):
            finite = bool(np.isfinite(value))
            score = (float(value), None) if finite else (None, NO_FINITE_SCORE)
            rows.append((*facts, name, level, *place, *score))
        rows += [(*facts, name, level, *place, None, reason) for facts, place, reason in failed]
    return rows


def _crop_rng(seed: int, facts: tuple, name: str, level: int) -> np.random.Generator:
    """Return the generator of one distorted crop, seeded by its identity, not by the order."""
    return np.random.default_rng([seed, int(digest_of(facts, name, level), 16)])


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def make_accelerator(device: str | None) -> Accelerator:
    """Return the Accelerator of this run.

    Args:
        device: "cpu", "cuda", or None for a GPU if there is one.

    Raises:
        FrameDataError: there is no such device.
    """
    has_gpu = torch.cuda.is_available()
    if device not in (None, "cpu") and not has_gpu:
        raise FrameDataError(f"--device {device}: no GPU can be used here.")
    # Without `cpu`, processes on a machine without a GPU would not find each other.
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_cpu = device == "cpu" or (several and not has_gpu)
    # A process may have to wait long for another one with slow videos.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))
    return Accelerator(cpu=on_cpu, kwargs_handlers=[patience])
