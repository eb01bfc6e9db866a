"""Training straight from a collection on a Hub: downloaded, and read as a stream."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fake_hub.server import LocalHub, local_hub
from support.training_runs import TINY

NAME = "alice/frames"


def push_collection(folder: str) -> None:
    """In a client process: a made collection with its landmarks and genuine frames."""
    import datasets

    from support.made_collection import write_collection

    write_collection(Path(folder))
    for split in ("train", "validation"):
        rows = datasets.load_dataset(
            "parquet", data_files=[str(p) for p in Path(folder).glob(f"{split}*")], split="train"
        )
        rows.push_to_hub(NAME, split=split, private=True)


def train_two_steps(output: str, *more: str) -> dict:
    """In a client process: what the script does with a Hub id."""
    from safetensors.torch import load_file

    from support.training_runs import train

    status = train("--data", NAME, "--output_dir", output, *TINY, "--max_steps", "2", *more)
    tensors = load_file(Path(output) / "model.safetensors") if status == 0 else {}
    return {"status": status, "tensors": len(tensors)}


@pytest.fixture(scope="module")
def stocked_hub(tmp_path_factory) -> Iterator[LocalHub]:
    """A Hub on which alice has the collection; bob may not read it."""
    folder = tmp_path_factory.mktemp("stocked")
    with local_hub(users={"tok-alice": "alice", "tok-bob": "bob"}) as hub:
        hub.run_client(push_collection, folder / "home", "tok-alice", [str(folder / "made")])
        yield hub


@pytest.mark.parametrize("streaming", [False, True])
def test_training_from_a_hub(stocked_hub: LocalHub, tmp_path: Path, streaming: bool):
    more = (
        ["--streaming", "--lr_scheduler_type", "cosine", "--eval_steps", "2"] if streaming else []
    )
    arguments = [str(tmp_path / "run"), *more]
    done = stocked_hub.run_client(train_two_steps, tmp_path / "other", "tok-alice", arguments)
    assert done["status"] == 0
    assert done["tensors"] > 0
    refused = stocked_hub.run_client(
        train_two_steps, tmp_path / "bob", "tok-bob", [str(tmp_path / "no"), *more]
    )
    assert refused["status"] == 2
