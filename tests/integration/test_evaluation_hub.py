"""Evaluating a model and a collection that are both on a Hub, as a user would by their names."""

import json
from pathlib import Path

from support.fake_hub.server import LocalHub

ALICE = "tok-alice"


def client_push_and_evaluate() -> dict:
    """Runs in a process of its own: only `HF_ENDPOINT` tells it from a user's."""
    import torch
    from datasets import Dataset
    from huggingface_hub import HfApi

    from caddm_hf.cli.main import main
    from caddm_hf.dataset.schema import FRAME_FEATURES
    from support.made_collection import made_rows
    from support.made_scores import tiny_model

    torch.set_num_threads(1)
    loaded = tiny_model()
    loaded.model.push_to_hub("alice/tiny", private=True)
    loaded.image_processor.push_to_hub("alice/tiny")
    for split, seed in (("train", 1), ("test", 2)):
        rows = Dataset.from_list(list(made_rows(3, 1, seed)), features=FRAME_FEATURES)
        rows.push_to_hub("alice/made", split=split, private=True)
    evaluate = ["evaluate", "--model", "alice/tiny", "--data", "alice/made", "--device", "cpu"]
    lost = {"video_id": "made/original/lost", "split": "test", "method": None}
    lost |= {"compression": "raw", "frames_kept": 0, "dropped": {"no_face": 32}}
    HfApi().upload_file(
        path_or_fileobj=json.dumps(lost).encode(),
        path_in_repo="videos.jsonl",
        repo_id="alice/made",
        repo_type="dataset",
    )
    status = main([*evaluate, "--output", "out", "--bootstrap-samples", "20"])
    missing = main(["evaluate", "--model", "alice/tiny", "--data", "alice/nothing"])
    wrong = main(["evaluate", "--model", "alice/nothing", "--data", "alice/made"])
    report = json.loads(Path("out/evaluation.json").read_text())
    return {
        "statuses": [status, missing, wrong],
        "model": report["models"][0],
        "data": report["collections"][0],
        "failures": report["results"][0]["failures"]["reasons"],
        "commit": HfApi().model_info("alice/tiny").sha,
    }


def test_model_and_collection_by_their_names(hub: LocalHub, tmp_path: Path):
    found = hub.run_client(client_push_and_evaluate, tmp_path, ALICE)
    assert found["statuses"] == [0, 2, 2]
    assert (found["model"]["name"], found["model"]["revision"]) == ("alice/tiny", found["commit"])
    assert (found["data"]["name"], found["data"]["split"]) == ("alice/made", "test")
    assert (found["data"]["genuine_videos"], found["data"]["fake_videos"]) == (4, 3)
    assert found["failures"] == {"lost in preparation": 1}
