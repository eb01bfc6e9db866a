"""Records of one genuine video and its fakes -> rows of the collection and an account of each.

The fakes come first: each is decoded once, and its faces are cropped. Then the genuine video is
decoded once, for its own rows and for the twin of every fake row: the same rectangle of the frame
at the same index. Only one frame is kept at a time.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import av
import cv2
import torch
from fsspec.implementations.dirfs import DirFileSystem

from ..core.liveness import begin_step
from ..media.limits import MediaError
from .followed_faces import CutFace, FollowedFaces, main_person
from .frame_sources import FrameSource, open_frames
from .records import FrameOptions, FramePicture, VideoRecord
from .video_account import VideoAccount, VideoRows, rows_digest

# A fake longer than its target continues with the target played backwards (Face2Face). The turning
# point is known to about a frame, so neighbouring frames are tried, too.
NEIGHBOURS = 2


@dataclass
class _Fake:
    """A fake with its cropped faces, whose twins are still to be found.

    Attributes:
        refusals: id of a face -> why the last genuine frame was refused.
    """

    record: VideoRecord
    sampled: int
    faces: FollowedFaces
    refusals: dict[int, str] = field(default_factory=dict)

    def every_face(self) -> Iterator[CutFace]:
        for person in self.faces.people:
            yield from person

    def refuse(self, reason: str) -> None:
        """Record that no row has a twin."""
        for face in self.every_face():
            face.twin = face.change = None
            self.refusals[id(face)] = reason


def use_one_thread() -> None:
    """Use one thread a worker: results do not depend on the number of cores."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def video_group_rows(
    tree: DirFileSystem,
    records: Sequence[VideoRecord],
    options: FrameOptions,
    unusable: Mapping[str, str] = MappingProxyType({}),
) -> list[VideoRows]:
    """Rows and accounts of a genuine video and its fakes, in the order of the records.

    Args:
        tree: the dataset's root.
        records: fakes of one genuine video (or one fake of an unknown one), and the genuine
            video itself if its rows are wanted.
        options: options that decide the rows.
        unusable: path of a video -> why the video must not be opened.

    The open video is reported to this process's watcher (`core.liveness.begin_step`).

    Raises:
        OSError: the machine failed, not a video.
        MemoryError: the open video needs more memory than there is.
    """
    results: dict[str, VideoRows] = {}
    fakes: list[_Fake] = []
    genuine = next((record for record in records if not record.is_fake), None)
    for record in records:
        if record.is_fake:
            try:
                fakes.append(_follow_fake(tree, record, options, unusable))
            except Exception as error:
                results[record.video_id] = _failed(record, options, error)
    try:
        if genuine is not None or any(fake.record.source_path for fake in fakes):
            sampled, faces = _read_genuine(tree, genuine, fakes, options, unusable)
            if genuine is not None:
                results[genuine.video_id] = _kept(genuine, sampled, faces, {}, options)
        else:
            for fake in fakes:
                fake.refuse("no_source")
    except Exception as error:
        failure = _failed(genuine or fakes[0].record, options, error)
        if genuine is not None:
            results[genuine.video_id] = failure
        for fake in fakes:
            fake.refuse("damaged_source")
    for fake in fakes:
        results[fake.record.video_id] = _kept(
            fake.record, fake.sampled, fake.faces, fake.refusals, options
        )
    return [results[record.video_id] for record in records]


@contextmanager
def _opened(
    tree: DirFileSystem, path: str, frames: Sequence[FramePicture], unusable: Mapping[str, str]
) -> Iterator[FrameSource]:
    if path in unusable:
        raise MediaError(unusable[path])
    begin_step(path)
    try:
        with open_frames(tree, path, frames) as source:
            yield source
    except MemoryError:  # the step stays open: this video is the cause
        raise
    except BaseException:
        begin_step("")
        raise
    begin_step("")


def _follow_fake(
    tree: DirFileSystem, record: VideoRecord, options: FrameOptions, unusable: Mapping[str, str]
) -> _Fake:
    with _opened(tree, record.path, record.frames, unusable) as source:
        indexes = source.sample(options.frames)
        faces = FollowedFaces(options.picture_format)
        for frame in source.read(indexes):
            faces.add(frame, source)
        faces.finish(source)
    return _Fake(record, len(indexes), faces)


def _read_genuine(
    tree: DirFileSystem,
    genuine: VideoRecord | None,
    fakes: Sequence[_Fake],
    options: FrameOptions,
    unusable: Mapping[str, str],
) -> tuple[int, FollowedFaces]:
    """Find the twins of the fakes; return the video's number of sampled frames and its faces."""
    if genuine is not None:
        path, frames = genuine.path, genuine.frames
    else:
        path, frames = fakes[0].record.source_path, fakes[0].record.source_frames
    faces = FollowedFaces(options.picture_format)
    with _opened(tree, path, frames, unusable) as source:
        own = source.sample(options.frames) if genuine is not None else []
        wants = _wanted_twins(fakes, source.frame_count)
        position = 0
        for frame in source.read(sorted({*own, *wants})):
            for fake, face in wants.get(frame.index, ()):
                reason = face.offer_twin(frame.image_rgb, options.picture_format)
                if reason is not None:
                    fake.refusals[id(face)] = reason
            if position < len(own) and frame.index >= own[position]:
                faces.add(frame, source)
                while position < len(own) and own[position] <= frame.index:
                    position += 1
        faces.finish(source)
    return len(own), faces


def _wanted_twins(
    fakes: Sequence[_Fake], frame_count: int
) -> dict[int, list[tuple[_Fake, CutFace]]]:
    """Index in the genuine video -> the faces that its frame may be a twin of."""
    wants: dict[int, list[tuple[_Fake, CutFace]]] = {}
    last = frame_count - 1
    for fake in fakes:
        for face in fake.every_face():
            tried = range(face.index, face.index + 1)
            if face.index > last:
                turned = 2 * last - face.index
                tried = range(max(0, turned - NEIGHBOURS), turned + NEIGHBOURS + 1)
            for index in tried:
                wants.setdefault(index, []).append((fake, face))
            fake.refusals[id(face)] = "no_frame" if tried else "past_end"
    return wants


def _account(record: VideoRecord, options: FrameOptions) -> VideoAccount:
    return VideoAccount(
        video_id=record.video_id,
        path=record.path,
        split=record.split,
        method=record.method,
        compression=record.compression,
        frames_wanted=options.frames,
    )


def _failed(record: VideoRecord, options: FrameOptions, error: Exception) -> VideoRows:
    """Return the account of an unreadable video; re-raise errors that the video did not cause."""
    if isinstance(error, MediaError):
        sentence = str(error)
    elif isinstance(error, OSError | MemoryError) and not isinstance(error, av.FFmpegError):
        raise error
    else:
        sentence = f"internal error: {type(error).__name__}: {str(error)[:200]}"
    account = _account(record, options)
    account.failure = sentence
    account.dropped = {"damaged_video": options.frames}
    return VideoRows(account, [])


def _kept(
    record: VideoRecord,
    sampled: int,
    faces: FollowedFaces,
    refusals: dict[int, str],
    options: FrameOptions,
) -> VideoRows:
    """Return rows and account of a video that was read."""
    kept = main_person(faces.people)
    account = _account(record, options)
    account.frames_kept = len(kept)
    dropped = {
        "short_video": options.frames - sampled,
        "damaged_frame": sampled - faces.frames,
        "no_face": faces.faceless,
        "other_person": faces.frames - faces.faceless - len(kept),
    }
    account.dropped = {reason: count for reason, count in dropped.items() if count}
    if not kept:
        account.failure = "None of its frames shows a face."
    if record.is_fake:
        twinless = Counter(refusals[id(face)] for face in kept if face.twin is None)
        account.twins_dropped = dict(sorted(twinless.items()))
        account.twins_kept = len(kept) - twinless.total()
    rows = [_row(record, face) for face in kept]
    account.digest = rows_digest(rows)
    return VideoRows(account, rows)


def _row(record: VideoRecord, face: CutFace) -> dict:
    return {
        "image": {"bytes": face.image, "path": None},
        "source_image": None if face.twin is None else {"bytes": face.twin, "path": None},
        "landmarks": face.points_xy.tolist(),
        "label": int(record.is_fake),
        "method": record.method,
        "video_id": record.video_id,
        "source_video_id": record.source_video_id,
        "frame_index": face.index,
        "time_s": None if math.isnan(face.time_s) else face.time_s,
        "dataset": record.dataset,
        "compression": record.compression,
    }
