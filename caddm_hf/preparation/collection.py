"""Records -> a collection, in steps that can be interrupted at any time and resumed.

    OUT/plan.json                            the options that decide the collection
    OUT/.build/SPLIT-GROUP.parquet           a piece: a genuine video with its fakes
    OUT/data/SPLIT-SHARD-of-SHARDS.parquet   a shard: the pieces of consecutive groups
    OUT/videos.jsonl, README.md, manifest.json

Each file is written completely or not at all, and its content depends on the plan alone, not on
the order in which files are made. Existing files are not made again. The manifest is written
last: a collection with a manifest is complete.
"""

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from ..core.atomic_files import PARTIAL_PREFIX
from ..dataset.splits import SPLITS
from ..guard.engines import Retry
from ..guard.limits import WorkerLostError
from ..media.names import shown_name
from .records import (
    DatasetError,
    FrameOptions,
    VideoRecord,
    absolute,
    open_folder,
    open_root,
)
from .shards import (
    merge_files,
    read_accounts,
    remove,
    write_json,
    write_videos,
    written_whole,
)

FORMAT = 1  # bump this when equal options no longer give equal rows
PLAN, MANIFEST, VIDEOS, CARD = "plan.json", "manifest.json", "videos.jsonl", "README.md"
BUILD = ".build"
ROWS_PER_SHARD = 2048  # some hundred megabytes
MOST_TOGETHER = 8  # videos of a group, whose rows are in memory together


@dataclass(frozen=True)
class VideoGroup:
    """The unit of work: a genuine video with all or some of its fakes, of one split.

    Attributes:
        number: position among the groups of the split.
        records: fakes, and the genuine video if it is in the split.
    """

    split: str
    number: int
    records: tuple[VideoRecord, ...]

    @property
    def piece(self) -> str:
        """Path of the group's rows until its shard is complete."""
        return f"{BUILD}/{self.split}-{self.number:06d}.parquet"


@dataclass(frozen=True)
class Shard:
    """A file of the collection and the groups in it."""

    path: str
    groups: tuple[VideoGroup, ...]


@dataclass(frozen=True)
class PieceJob:
    """The making of one piece.

    Attributes:
        root, out: paths or URLs.
        unusable: path below the root -> why that video must not be opened again.
    """

    root: str
    out: str
    group: VideoGroup
    options: FrameOptions
    unusable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MergeJob:
    """The making of one shard of its pieces."""

    out: str
    shard: Shard


class JobResult(TypedDict):
    """What a job returns: a dict, because workers send nothing but JSON values.

    Attributes:
        accounts: those of the videos of the piece or shard, as in `VideoAccount.to_dict`.
        error: why the job failed, if it did.
    """

    accounts: list[dict]
    error: str | None


@dataclass(frozen=True)
class Plan:
    """The plan of a collection.

    Attributes:
        settings: JSON values; plans with equal settings give equal collections.
        shards: files of the collection, in order.
        options: options that decide the rows.
    """

    settings: dict
    shards: tuple[Shard, ...]
    options: FrameOptions

    @property
    def groups(self) -> list[VideoGroup]:
        """All groups, in order."""
        return [group for shard in self.shards for group in shard.groups]

    @property
    def records(self) -> list[VideoRecord]:
        """All records, in order."""
        return [record for group in self.groups for record in group.records]


def make_plan(
    dataset: str, records: Sequence[VideoRecord], options: FrameOptions, choices: dict
) -> Plan:
    """Divide records into groups and shards.

    Args:
        dataset: its name on the command line.
        records: records of all splits.
        options: options that decide the rows.
        choices: further options that selected the records, by name.
    """
    shards: list[Shard] = []
    for split in SPLITS:
        groups = _groups(split, [record for record in records if record.split == split])
        packed = _packed(groups, max(1, ROWS_PER_SHARD // options.frames))
        for number, members in enumerate(packed):
            path = f"data/{split}-{number:05d}-of-{len(packed):05d}.parquet"
            shards.append(Shard(path, members))
    listed = [asdict(record) for shard in shards for g in shard.groups for record in g.records]
    settings = {
        "format": FORMAT,
        "dataset": dataset,
        **asdict(options),
        **choices,
        "videos": len(records),
        "records_sha256": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
    }
    return Plan(settings, tuple(shards), options)


def _groups(split: str, records: Sequence[VideoRecord]) -> list[VideoGroup]:
    members: dict[str, list[VideoRecord]] = {}
    for record in sorted(records, key=lambda record: (record.is_fake, record.video_id)):
        members.setdefault(record.source_path or record.path, []).append(record)
    together = [
        tuple(group[start : start + MOST_TOGETHER])
        for _, group in sorted(members.items())
        for start in range(0, len(group), MOST_TOGETHER)
    ]
    return [VideoGroup(split, number, group) for number, group in enumerate(together)]


def _packed(groups: Sequence[VideoGroup], videos: int) -> list[tuple[VideoGroup, ...]]:
    """Pack consecutive groups together until each pack has `videos` videos."""
    packed: list[list[VideoGroup]] = []
    count = videos
    for group in groups:
        if count >= videos:
            packed.append([])
            count = 0
        packed[-1].append(group)
        count += len(group.records)
    return [tuple(members) for members in packed]


class Collection:
    """A folder in which a collection is made.

    Args:
        out: path or URL; made if it does not exist.
        plan: plan of the collection.

    Raises:
        DatasetError: the folder holds another collection, or something else.
    """

    def __init__(self, out: str, plan: Plan):
        self.out, self.plan = out, plan
        self.folder = open_folder(out)
        if self.folder.isfile(PLAN):
            self._check_plan()
        elif any(not posixpath.basename(path).startswith(".") for path in self._paths("")):
            raise DatasetError(f"--out '{out}' is not empty and holds no collection.")

    def _check_plan(self) -> None:
        begun = json.loads(self.folder.cat_file(PLAN))
        now = json.loads(json.dumps(self.plan.settings))
        for name in sorted({*begun, *now} - {"records_sha256"}):
            if begun.get(name) != now.get(name):
                raise DatasetError(
                    f"--out '{self.out}' was begun with {name} {begun.get(name)}, not "
                    f"{now.get(name)}: use the same options or another --out."
                )
        if begun != now:
            raise DatasetError(
                f"--out '{self.out}' was begun with other videos or lists than --root has now: "
                "use another --out."
            )

    def _paths(self, folder: str) -> list[str]:
        self.folder.fs.invalidate_cache()
        if not self.folder.isdir(folder):
            return []
        return sorted(self.folder.ls(folder, detail=False))

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.folder.isfile(MANIFEST)

    def begin(self) -> None:
        """Write the plan, and remove files that a killed run left incomplete."""
        if not self.folder.isfile(PLAN):
            write_json(self.folder, PLAN, self.plan.settings)
        there = [path for name in ("", BUILD, "data") for path in self._paths(name)]
        names = {path: posixpath.basename(path) for path in there}
        remove(self.folder, [path for path in there if names[path].startswith(PARTIAL_PREFIX)])

    def missing_pieces(self, root: str) -> list[PieceJob]:
        """The pieces still to make: neither the piece nor its shard exists."""
        there = {*self._paths(BUILD), *self._paths("data")}
        root, out = absolute(root), absolute(self.out)
        return [
            PieceJob(root, out, group, self.plan.options)
            for shard in self.plan.shards
            if shard.path not in there
            for group in shard.groups
            if group.piece not in there
        ]

    def missing_shards(self) -> list[MergeJob]:
        """The shards still to make, once all pieces exist."""
        there = set(self._paths("data"))
        out = absolute(self.out)
        return [MergeJob(out, shard) for shard in self.plan.shards if shard.path not in there]

    def accounts(self) -> list[dict]:
        """The accounts of all videos, in order."""
        if self.complete:
            lines = self.folder.cat_file(VIDEOS).decode().splitlines()
            return [json.loads(line) for line in lines]
        return [
            account
            for shard in self.plan.shards
            for account in read_accounts(self.folder, shard.path)
        ]

    def finish(self, accounts: Sequence[dict], card: str) -> dict:
        """Write list, card and manifest of a collection whose shards all exist.

        Returns:
            the manifest.
        """
        with written_whole(self.folder, VIDEOS) as file:
            for account in accounts:
                file.write((json.dumps(account, sort_keys=True) + "\n").encode())
        with written_whole(self.folder, CARD) as file:
            file.write(card.encode())
        kept = {account["split"] for account in accounts if account["frames_kept"]}
        # `datasets` cannot load a split without rows.
        empty = [s.path for s in self.plan.shards if s.groups[0].split not in kept]
        remove(self.folder, empty)
        if self.folder.isdir(BUILD):
            self.folder.rm(BUILD, recursive=True)
        manifest = make_manifest(self.plan.settings, accounts)
        write_json(self.folder, MANIFEST, manifest)
        return manifest


def build_piece(job: PieceJob) -> JobResult:
    """Make a piece; repeating a job is harmless."""
    # Only workers need torch, and loading it takes seconds.
    from .video_rows import use_one_thread, video_group_rows

    use_one_thread()
    try:
        videos = video_group_rows(open_root(job.root), job.group.records, job.options, job.unusable)
        write_videos(open_folder(job.out), job.group.piece, videos)
    except MemoryError:  # the worker's limit: `lost_piece` finds out for which video
        raise
    except Exception as error:
        return _failed(job.group.records[0].path, f"{type(error).__name__}: {error}")
    return JobResult(accounts=[video.account.to_dict() for video in videos], error=None)


def _failed(path: str, reason: str) -> JobResult:
    return JobResult(accounts=[], error=f"{path}: {reason}")


def lost_piece(job: PieceJob, loss: WorkerLostError) -> Retry | JobResult:
    """Make a piece whose worker was lost again, without the video that was open then."""
    path = loss.step
    if loss.cause == "killed" or not path or path in job.unusable:
        return _failed(job.group.records[0].path, str(loss))
    sentence = str(loss.about(shown_name(Path(path))))
    return Retry(replace(job, unusable={**job.unusable, path: sentence}))


def merge_shard(job: MergeJob) -> JobResult:
    """Make a shard and remove its pieces; repeating a job is harmless."""
    folder = open_folder(job.out)
    pieces = [group.piece for group in job.shard.groups]
    try:
        if not folder.isfile(job.shard.path):
            merge_files(folder, pieces, job.shard.path)
        remove(folder, pieces)
    except Exception as error:
        return _failed(job.shard.path, f"{type(error).__name__}: {error}")
    return JobResult(accounts=[], error=None)


def make_manifest(settings: dict, accounts: Sequence[dict]) -> dict:
    """The account of a whole collection.

    Its fingerprint is the SHA-256 of the videos' ids and digests in the order of the ids: equal
    for equal rows, however they are divided into files.
    """
    failed = [account for account in accounts if account["failure"]]
    fingerprint = hashlib.sha256()
    for account in sorted(accounts, key=lambda account: account["video_id"]):
        if account["frames_kept"]:
            fingerprint.update(f"{account['video_id']} {account['digest']}\n".encode())
    return {
        "settings": settings,
        "fingerprint": fingerprint.hexdigest(),
        "videos": len(accounts),
        "videos_failed": len(failed),
        "frames": _frame_totals(accounts),
        "by_split": _by(accounts, "split"),
        "by_method": _by(accounts, "method"),
        "dropped": _sum(account["dropped"] for account in accounts),
        "twins": {
            "kept": sum(account["twins_kept"] for account in accounts),
            "dropped": _sum(account["twins_dropped"] for account in accounts),
        },
    }


def _by(accounts: Sequence[dict], key: str) -> dict[str, dict]:
    groups: dict[str, list[dict]] = {}
    for account in accounts:
        groups.setdefault(account[key] or "genuine", []).append(account)
    return {
        name: {
            "videos": len(members),
            "videos_failed": sum(account["failure"] is not None for account in members),
            **_frame_totals(members),
        }
        for name, members in sorted(groups.items())
    }


def _frame_totals(accounts: Iterable[dict]) -> dict[str, int]:
    totals = Counter()
    for account in accounts:
        totals["wanted"] += account["frames_wanted"]
        totals["kept"] += account["frames_kept"]
    return {"wanted": totals["wanted"], "kept": totals["kept"]}


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))
