"""A dataset of videos, as its owners distribute it -> one `datasets` collection of face crops.

    python data_scripts/build_frame_dataset.py faceforensics --root FF++ --out frames --dry-run
    python data_scripts/build_frame_dataset.py faceforensics --root FF++ --out frames
    python data_scripts/build_frame_dataset.py celeb-df --root s3://bucket/Celeb-DF-v2 \
        --out s3://bucket/celeb-frames --engine ray --ray-address auto
    python data_scripts/build_frame_dataset.py folder --root mine --push-to-hub user/name

After an interruption, the same command resumes. Exit status: 0 if the collection is complete, 1
if it is complete but too many videos failed, 2 if the command or the tree cannot be used, 3 if
work remains, 130 after an interruption.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

if __name__ == "__main__":  # the repository, not this folder, is where modules are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from filelock import FileLock, Timeout
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from huggingface_hub.constants import HF_HOME
from tqdm import tqdm

from caddm_hf.cli.arguments import INTERRUPTED, UNFINISHED, WRONG_USE, Parser, whole_number
from caddm_hf.core.errors import UserError
from caddm_hf.core.hub_ids import HUB_ID
from caddm_hf.dataset.splits import SPLITS
from caddm_hf.guard.engines import Engine, EngineError, LostHandler, open_engine
from caddm_hf.guard.limits import ENGINES
from caddm_hf.guard.pool import ended_by_sigterm
from caddm_hf.preparation.collection import (
    Collection,
    JobResult,
    Plan,
    build_piece,
    lost_piece,
    make_plan,
    merge_shard,
)
from caddm_hf.preparation.dataset_card import dataset_card
from caddm_hf.preparation.hub_upload import open_repository, upload_collection
from caddm_hf.preparation.layouts import (
    caddm_frames,
    celeb_df,
    dfdc,
    dfdc_preview,
    faceforensics,
    video_folder,
)
from caddm_hf.preparation.records import (
    PICTURE_FORMATS,
    DatasetError,
    FrameOptions,
    Listing,
    VideoRecord,
    check_unique,
    open_root,
)

DATASETS = ("faceforensics", "celeb-df", "dfdc", "dfdc-preview", "folder", "caddm-frames")
LISTED_FAILURES = 20
MOST_UNDONE = 5  # failed jobs before the run is given up
LOCK = ".lock"


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = Parser(
        brief=True,
        prog="build_frame_dataset.py",
        description="Make a frame collection of a dataset of videos.",
        allow_abbrev=False,
    )
    parser.add_argument("dataset", choices=DATASETS, metavar="DATASET", help=", ".join(DATASETS))
    parser.add_argument(
        "--root", required=True, metavar="DIR", help="folder of the dataset: a path or fsspec URL"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the collection: a path or an fsspec URL"
    )
    parser.add_argument(
        "--push-to-hub",
        metavar="USER/NAME",
        help="upload the complete collection; a new repository is private. Without --out the "
        "collection is made in the cache of the Hub's client",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="make a new repository public; most owners' terms forbid that",
    )
    parser.add_argument(
        "--frames",
        type=whole_number(1, 4096),
        default=32,
        metavar="N",
        help="frames of each video (default 32)",
    )
    parser.add_argument(
        "--picture-format",
        choices=PICTURE_FORMATS,
        default="jpeg",
        help="format of the crops: jpeg (quality 95, the default) or png",
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="take only these forgeries")
    parser.add_argument(
        "--compressions", nargs="+", metavar="NAME", help="take only these compressions, as c23"
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="train",
        help="split of a folder that does not name splits (default train)",
    )
    parser.add_argument("--engine", choices=ENGINES, default="processes")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of worker processes (default: one a core)"
    )
    parser.add_argument(
        "--ray-address", metavar="ADDRESS", help="existing Ray cluster (default: start one here)"
    )
    parser.add_argument(
        "--allowed-failures",
        type=_share,
        default=0.02,
        metavar="SHARE",
        help="share of the videos that may fail with exit status 0 (default 0.02)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only print what would be done and what is missing"
    )
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


def list_dataset(name: str, tree: DirFileSystem, split: str) -> Listing:
    """The records of a dataset.

    Raises:
        DatasetError: the tree cannot be used; the message is one sentence.
    """
    if name == "folder":
        return video_folder.list_records(tree, split)
    if name == "caddm-frames":
        return caddm_frames.list_records(tree, split)
    listers = {
        "faceforensics": faceforensics,
        "celeb-df": celeb_df,
        "dfdc": dfdc,
        "dfdc-preview": dfdc_preview,
    }
    return listers[name].list_records(tree)


def choose_records(
    records: Sequence[VideoRecord],
    methods: Sequence[str] | None,
    compressions: Sequence[str] | None,
) -> list[VideoRecord]:
    """Select the records of some methods and compressions; genuine ones match every method.

    Raises:
        DatasetError: a method or compression has no videos.
    """
    _check_choice("method", methods, {record.method for record in records})
    _check_choice("compression", compressions, {record.compression for record in records})
    return [
        record
        for record in records
        if (methods is None or record.method is None or record.method in methods)
        and (compressions is None or record.compression in compressions)
    ]


def _check_choice(what: str, chosen: Sequence[str] | None, there: set[str | None]) -> None:
    for name in chosen or ():
        if name not in there:
            known = ", ".join(sorted(other for other in there if other)) or "none"
            raise DatasetError(f"There are no videos of {what} '{name}' (there are: {known}).")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not options.out and not options.push_to_hub and not options.dry_run:
        parser.error("--out or --push-to-hub is needed: where the collection goes.")
    if options.push_to_hub and not HUB_ID.fullmatch(options.push_to_hub):
        parser.error("--push-to-hub must have the form user/name.")
    try:
        with ended_by_sigterm():
            return _run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNFINISHED if isinstance(error, EngineError) else WRONG_USE
    except OSError as error:  # for example, the disk is full
        print(f"error: {error}; the same command goes on from here", file=sys.stderr)
        return UNFINISHED
    except KeyboardInterrupt:
        print("stopped: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    listing = list_dataset(options.dataset, open_root(options.root), options.split)
    records = choose_records(listing.records, options.methods, options.compressions)
    check_unique(records)
    if not records:
        raise DatasetError(f"There are no videos below '{options.root}'.")
    choices = {name: getattr(options, name) for name in ("methods", "compressions")}
    plan = make_plan(
        options.dataset, records, FrameOptions(options.frames, options.picture_format), choices
    )
    out = options.out or (_cache_folder(options.push_to_hub) if options.push_to_hub else None)
    if options.dry_run:
        _print_plan(plan, Collection(out, plan) if out else None, options.root)
    for sentence in listing.missing:
        print(f"missing: {sentence}", file=sys.stdout if options.dry_run else sys.stderr)
    if options.dry_run:
        return 0
    collection = Collection(out, plan)
    if options.push_to_hub:
        if not isinstance(collection.folder.fs, LocalFileSystem):
            raise DatasetError("--push-to-hub needs an --out on this machine.")
        open_repository(options.push_to_hub, options.public)
    with _locked(collection):
        accounts = _complete(collection, options, listing.terms)
    if accounts is None:
        return UNFINISHED
    return _conclude(collection, accounts, options)


def _cache_folder(repo_id: str) -> str:
    return str(Path(HF_HOME) / "caddm_frames" / repo_id.replace("/", "--"))


@contextmanager
def _locked(collection: Collection) -> Iterator[None]:
    """Lock a local folder, so that only one run at a time writes to it."""
    if not isinstance(collection.folder.fs, LocalFileSystem):
        yield
        return
    folder = Path(collection.folder.path)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        with lock:
            yield
    except Timeout:
        raise DatasetError(f"Another run is writing to '{collection.out}'.") from None


def _complete(collection: Collection, options: argparse.Namespace, terms: str) -> list[dict] | None:
    """Do the missing work; returns the accounts of all videos, or None if some work remains."""
    if collection.complete:
        print(f"{collection.out} is complete", file=sys.stderr)
        return collection.accounts()
    collection.begin()
    pieces = collection.missing_pieces(options.root)
    total = sum(len(group.records) for group in collection.plan.groups)
    waiting = sum(len(job.group.records) for job in pieces)
    # Remote file systems may need credentials; local files do not.
    remote = "://" in options.root or "://" in collection.out
    with open_engine(
        options.engine, options.workers, options.ray_address, keep_secrets=remote
    ) as engine:
        with tqdm(total=total, initial=total - waiting, unit="video", file=sys.stderr) as bar:
            if not _do(engine, build_piece, pieces, bar, lost_piece):
                return None
        shards = collection.missing_shards()
        with tqdm(total=len(shards), unit="file", desc="Joining", file=sys.stderr) as bar:
            if not _do(engine, merge_shard, shards, bar):
                return None
    accounts = collection.accounts()
    collection.finish(accounts, dataset_card(collection.plan.settings, accounts, terms))
    return accounts


def _do(
    engine: Engine,
    function: Callable[..., JobResult],
    jobs: list,
    bar: tqdm,
    lost: LostHandler | None = None,
) -> bool:
    """Run jobs and show progress; returns whether all succeeded."""
    counts = Counter()
    undone = 0
    for result in engine.map(function, jobs, lost):
        if result["error"] is not None:
            undone += 1
            tqdm.write(f"error: {result['error']}", file=sys.stderr)
            if undone == MOST_UNDONE:
                break
        for account in result["accounts"]:
            counts["kept"] += account["frames_kept"]
            counts["dropped"] += account["frames_wanted"] - account["frames_kept"]
            counts["failed"] += account["failure"] is not None
        if counts:
            bar.set_postfix(counts, refresh=False)
        bar.update(max(1, len(result["accounts"])) if result["error"] is None else 0)
    if undone:
        tqdm.write(
            "error: not everything could be done; the same command tries the rest again",
            file=sys.stderr,
        )
    return not undone


def _conclude(collection: Collection, accounts: Sequence[dict], options: argparse.Namespace) -> int:
    """Print a summary, upload the collection, and return the exit status."""
    failed = [account for account in accounts if account["failure"]]
    kept = sum(account["frames_kept"] for account in accounts)
    wanted = sum(account["frames_wanted"] for account in accounts)
    print(
        f"{collection.out}: {kept:,} of {wanted:,} frames from "
        f"{len(accounts) - len(failed):,} of {len(accounts):,} videos"
    )
    for account in failed[:LISTED_FAILURES]:
        print(f"failed: {account['path']}: {account['failure']}", file=sys.stderr)
    if len(failed) > LISTED_FAILURES:
        print(
            f"failed: {len(failed) - LISTED_FAILURES:,} more, listed in videos.jsonl",
            file=sys.stderr,
        )
    if len(failed) > options.allowed_failures * len(accounts) or not kept:
        print(
            f"error: {len(failed):,} of {len(accounts):,} videos failed, and "
            f"{options.allowed_failures:.0%} may (--allowed-failures)",
            file=sys.stderr,
        )
        return 1
    if options.push_to_hub:
        try:
            print(upload_collection(Path(collection.folder.path), options.push_to_hub))
        except DatasetError as error:
            print(f"error: {error}", file=sys.stderr)
            return UNFINISHED
    return 0


def _print_plan(plan: Plan, collection: Collection | None, root: str) -> None:
    waiting = set(plan.groups)
    if collection is not None:
        missing = [] if collection.complete else collection.missing_pieces(root)
        waiting = {job.group for job in missing}
    videos, done = Counter(), Counter()
    for group in plan.groups:
        for record in group.records:
            kind = (record.split, record.method or "genuine", record.compression or "-")
            videos[kind] += 1
            done[kind] += group not in waiting
    print(f"{'split':<12}{'method':<20}{'compression':<13}{'videos':>9}{'done':>9}")
    for kind, count in sorted(videos.items()):
        split, method, compression = kind
        print(f"{split:<12}{method:<20}{compression:<13}{count:>9,}{done[kind]:>9,}")
    fakes = [record for record in plan.records if record.is_fake]
    paired = sum(record.source_path is not None for record in fakes)
    print(
        f"{len(plan.records):,} videos, at most {len(plan.records) * plan.options.frames:,} rows "
        f"in {len(plan.shards):,} files; {paired:,} of {len(fakes):,} fakes with their genuine "
        "video"
    )


if __name__ == "__main__":
    sys.exit(main())
