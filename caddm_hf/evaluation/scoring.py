"""Scores of every frame, computed once: in chunks, on any number of processes, resumable.

The work on some data is cut into chunks of fixed size. Each is computed by one process and
written as one Parquet file that is there whole or not at all, so a run that was killed goes on
with the chunks that are missing, and the table is the same however many processes made it.

    faces-KEY/chunk-00000.parquet       where the faces are, for data without landmarks
    scores-KEY/chunk-00000.parquet      one row a frame and distortion

The key is a digest of all that decides the content: data, sampling, weights, processor.
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

# Bump this when the same inputs give other scores than before.
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
    """Do what is missing of a work, and give the whole result to every process.

    Args:
        folder: of this work alone; on a file system that all processes share.
        count: items of the work.
        size: items a chunk.
        work: gives the rows of some items.
        title: for the progress bar.
    """
    chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    paths = [folder / f"chunk-{number:05d}.parquet" for number in range(len(chunks))]
    missing = [None]
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [[number for number, path in enumerate(paths) if not _is_whole(path)]]
    # One process lists what is missing, for all: others would see files that are just written.
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
    """A short digest of anything JSON can hold."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


class FrameScorer:
    """A model that scores crops by the network that serves, in batches of one size.

    On the CPU that size is the detector's, however many threads there are, so scores do not depend
    on the number of processes.

    Args:
        loaded: the model.
        network: from `open_network`.
        batch_size: crops in one call on a GPU.
    """

    def __init__(self, loaded: LoadedModel, network: CropNetwork, batch_size: int = 32):
        self.loaded, self.network = loaded, network
        self.model, self.processor = loaded.model, loaded.image_processor
        self.device = next(self.model.parameters()).device
        on_cpu = self.device.type == "cpu"
        self.batch_size = min(batch_size, CROPS_A_CORE) if on_cpu else batch_size

    def key(self) -> list:
        """Return what decides the scores."""
        digest = weights_digest(self.model)
        return [digest, self.processor.to_dict(), self.batch_size, self.network.backend]

    def outputs(self, crops_rgb: Sequence[np.ndarray], take: Callable) -> list[np.ndarray]:
        """Run the network and keep of each batch's output what `take` picks.

        Args:
            crops_rgb: (S, S, 3) uint8 each.
            take: output -> (B, ...) tensor.

        Returns:
            for each crop its part, float32.
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
        """(N,) float64, fake logit minus genuine logit of each crop."""

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
    """Find the face of every frame that comes without landmarks.

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
    """Score every frame of some data, as it is and distorted.

    Args:
        data: what to score.
        frames: of a video at most.
        faces: what `find_faces` gave.
        scorer: the model.
        folder: for the chunks of all works.
        data_key: what decides the data.
        variants: distortions with their levels, applied to the aligned crop.
        seed: of the distortions' random numbers.

    Returns:
        of `SCORED_SCHEMA`, in the order of the items.
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
    """Rows of `SCORED_SCHEMA` of some items, variant after variant."""
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
    """The generator of one distorted crop: a function of what it is, not of when it is made."""
    return np.random.default_rng([seed, int(digest_of(facts, name, level), 16)])


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def make_accelerator(device: str | None) -> Accelerator:
    """The processes of this run.

    Args:
        device: "cpu", "cuda", or None for a GPU if there is one.

    Raises:
        FrameDataError: there is no such device.
    """
    has_gpu = torch.cuda.is_available()
    if device not in (None, "cpu") and not has_gpu:
        raise FrameDataError(f"--device {device}: no GPU can be used here.")
    # Without `cpu` processes on a machine without a GPU would not know of each other.
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_cpu = device == "cpu" or (several and not has_gpu)
    # A process may have to wait long for one that met slow videos.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))
    return Accelerator(cpu=on_cpu, kwargs_handlers=[patience])
