"""The local test Hub with the client libraries as users run them: only `HF_ENDPOINT` is set.

The `client_*` functions run in processes of their own, which import this module.
"""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi

from support.fake_hub.server import LocalHub, local_hub

ALICE = "tok-alice"
REPO = "alice/model"


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub(users={ALICE: "alice"}) as hub:
        yield hub


def client_upload_and_extend(content_seed: int) -> list[str]:
    """Upload files of every kind from disk (over Xet), then a file that shares chunks with one."""
    rng = np.random.default_rng(content_seed)
    weights = rng.standard_normal(300_000).astype(np.float32).tobytes()
    folder = Path("folder")
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "model.safetensors").write_bytes(weights)
    (folder / "repetitive.bin").write_bytes(b"again and " * 30_000)
    api = HfApi()
    api.create_repo(REPO, private=True)
    api.upload_folder(folder_path=folder, repo_id=REPO)
    api.upload_file(path_or_fileobj=weights + b"more", path_in_repo="longer.pt", repo_id=REPO)
    snapshot = Path(api.snapshot_download(REPO))
    for path in ("config.json", "sub/model.safetensors", "repetitive.bin"):
        assert (snapshot / path).read_bytes() == (folder / path).read_bytes()
    assert (snapshot / "longer.pt").read_bytes() == weights + b"more"
    return sorted(e.path for e in api.list_repo_tree(REPO, recursive=True))


@pytest.mark.skipif(find_spec("hf_xet") is None, reason="without hf_xet uploads are plain LFS")
def test_large_files_over_xet(hub: LocalHub, tmp_path: Path) -> None:
    paths = ["config.json", "longer.pt", "repetitive.bin", "sub", "sub/model.safetensors"]
    listed = hub.run_client(client_upload_and_extend, tmp_path, ALICE, [0])
    assert listed == [".gitattributes", *paths]
    assert not hub.requests_to("/info/lfs/")
    # Only what was new of the longer file was sent.
    sizes = [sum(map(len, chunks)) for chunks in hub.state.xet.xorbs.values()]
    assert max(sizes) > 10**6
    assert sum(sizes) < 2 * 10**6
    # The client keeps a list of what is in a storage. Another Hub at the same address is another
    # storage, to which everything is sent; here with a second try.
    hub.stop()
    with local_hub(users={ALICE: "alice"}, ports=hub.ports) as other:
        fault = other.fail_next("/v1/xorbs/", disconnect=True)
        assert other.run_client(client_upload_and_extend, tmp_path, ALICE, [0]) == listed
        assert fault.remaining == 0


def client_push_and_load_dataset() -> list:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in range(5)]
    rows = {"image": images, "label": list(range(5))}
    frames = datasets.Dataset.from_dict(rows, features=features)
    frames.push_to_hub("alice/frames", split="train", private=True)
    frames.select([0, 1]).push_to_hub("alice/frames", split="test")
    revision = HfApi().dataset_info("alice/frames").sha
    frames.select([4]).push_to_hub("alice/frames", split="train")

    loaded = datasets.load_dataset("alice/frames", revision=revision)
    assert loaded["train"].features == features
    streamed = datasets.load_dataset("alice/frames", split="train", streaming=True)
    (row,) = streamed
    assert np.asarray(row["image"]).max() == 4
    return [loaded["train"]["label"][:], loaded["test"]["label"][:], row["label"]]


def test_datasets_push_load_and_stream(hub: LocalHub, tmp_path: Path) -> None:
    labels = hub.run_client(client_push_and_load_dataset, tmp_path, ALICE)
    assert labels == [[0, 1, 2, 3, 4], [0, 1], 4]
    assert "data/train-00000-of-00001.parquet" in hub.repo("alice/frames", "dataset").files()


def client_push_and_load_model() -> list[bool]:
    import torch
    from transformers import AutoModel, BertConfig, BertModel

    torch.set_num_threads(1)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=20, intermediate_size=8, **sizes))
    first = model.push_to_hub("alice/bert", private=True).oid
    with torch.no_grad():
        model.pooler.dense.bias += 1
    model.push_to_hub("alice/bert")

    def matches(revision: str) -> bool:
        loaded = AutoModel.from_pretrained("alice/bert", revision=revision)
        return torch.equal(loaded.pooler.dense.bias, model.pooler.dense.bias)

    return [matches("main"), matches(first)]


def test_transformers_push_and_load(hub: LocalHub, tmp_path: Path) -> None:
    assert hub.run_client(client_push_and_load_model, tmp_path, ALICE) == [True, False]
    config = json.loads(hub.repo("alice/bert").files()["config.json"])
    assert config["model_type"] == "bert"
    assert hub.repo("alice/bert").head.files["model.safetensors"].is_lfs
