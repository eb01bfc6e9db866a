"""The plan of a collection: which records go together, and jobs that can run anywhere."""

from pathlib import Path

from caddm_hf.preparation.collection import Collection, make_plan
from caddm_hf.preparation.records import FrameOptions, VideoRecord


def test_groups_and_shards() -> None:
    def record(name: str, source: str | None, split: str = "train") -> VideoRecord:
        method = None if source == name else "swapper"
        return VideoRecord("folder", name, name, split, method, None, source, source)

    genuine = [record(f"r{number}", f"r{number}") for number in range(3)]
    fakes = [record(f"f{number:02d}", "r0") for number in range(12)]
    others = [record("t0", "r1", "test"), record("alone", None)]
    plan = make_plan("folder", [*fakes, *others, *genuine], FrameOptions(frames=512), {})
    groups = [[r.path for r in group.records] for group in plan.groups]
    assert groups[:2] == [["alone"], ["r0", *(f"f{number:02d}" for number in range(7))]]
    # A group is bounded; a fake of another split is not with its source.
    assert groups[2:] == [[f"f{number:02d}" for number in range(7, 12)], ["r1"], ["r2"], ["t0"]]
    assert [shard.path for shard in plan.shards] == [
        "data/train-00000-of-00003.parquet",
        "data/train-00001-of-00003.parquet",
        "data/train-00002-of-00003.parquet",
        "data/test-00000-of-00001.parquet",
    ]
    # The order in which a tree is listed does not matter.
    again = make_plan("folder", [*genuine, *fakes[::-1], *others], FrameOptions(frames=512), {})
    assert again == plan


def test_jobs_do_not_depend_on_the_working_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = VideoRecord("folder", "a.mp4", "a", "train")
    begun = Collection("out", make_plan("folder", [record], FrameOptions(), {}))
    (piece,), (merge,) = begun.missing_pieces("tree"), begun.missing_shards()
    assert (piece.root, piece.out) == (str(tmp_path / "tree"), str(tmp_path / "out"))
    assert merge.out == piece.out
    assert begun.missing_pieces("memory://tree")[0].root == "memory://tree"
