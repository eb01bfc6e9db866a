"""The model card of a trained model: training data, results, and uses that are out of scope.
Written as README.md with `model-index`, and as `.eval_results/*.yaml`.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
)

from ..core.versions import installed_versions

VERSIONED = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "accelerate",
    "datasets",
    "evaluate",
    "huggingface_hub",
    "safetensors",
    "numpy",
    "opencv-python-headless",
)
TASK = ("image-classification", "Deepfake detection")
METRICS = {
    "video_auc": "AUC, videos",
    "frame_auc": "AUC, frames",
    "video_eer": "Equal error rate, videos",
    "video_average_precision": "Average precision, videos",
    "video_balanced_accuracy": "Balanced accuracy at 0.5, videos",
}
METADATA_FILE = "training_metadata.json"

BODY = """---
{card_data}
---

# {name}

A deepfake detector for single faces: a face crop goes in, the probability that it was forged
comes out, with boxes and a heatmap of the places that look forged. CADDM (Dong et al., "Implicit
Identity Leakage: The Stumbling Block to Improving Deepfake Detection Generalization", CVPR 2023,
arXiv 2210.14457), with a {backbone} backbone and an artifact module of {artifact_width} channels;
{parameters:.1f} million parameters.

## Use

```python
from transformers import AutoImageProcessor, AutoModelForImageClassification

name = "{name_to_load}"
model = AutoModelForImageClassification.from_pretrained(name, trust_remote_code=True).eval()
processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=True)
# landmarks: eyes, nose tip and mouth corners, (5, 2) pixels of the picture
inputs = processor(picture, landmarks=landmarks)
fake_probability = model.fake_probability(model(**inputs))
```

## Data

Trained on {train_rows} rows of {train_data}: {train_genuine} genuine, {train_forged} forged{found}.
{joined}Validated on {eval_rows} rows of {eval_data}: {n_genuine_videos} genuine and
{n_fake_videos} fake videos. How well the two are separated, by person or by scene, is decided by
that data's split.

Forged training samples: {shares}. What the samples became: {kinds}.

## Results

Checkpoint of step {best_step}, chosen among {evaluations} evaluations by the video AUC on the
same validation data, which makes that number a little too good.

| metric | value |
|---|---|
{results}

The interval is a percentile bootstrap (95%) over {interval_groups}, {interval_samples} resamples.

Protocol: every row of the validation split is one frame; faces aligned by five points without
jitter, {image_size} px crops, scale {align_scale}{eyes}; the score of a video is the mean of its
frames' probabilities ({frames_per_video:.1f} frames a video on average). Numbers of another
protocol cannot be compared with these.

## Intended use and limits

For research, and as one piece of evidence in checking media. A score is not a proof.

- Detectors of this kind lose much of their accuracy on forgeries of a kind they were not trained
  on, on other cameras and on heavily compressed video. The numbers above say nothing about those.
{not_calibrated}
- It looks at single aligned faces. Other forgeries (voice, lip-sync that leaves no visible trace,
  fully generated scenes) are outside its reach.
- How it does on different groups of people was not measured.
- Not for decisions about people without human review.

## Training

```
{command}
```

{steps} steps of {batch_size} samples, seed {seed}, {hours:.2f} hours of training steps on
{device}, of which {waiting:.1%} waiting for data. {weights}

| package | version |
|---|---|
{versions}

All options are in `{metadata_file}`.
"""


NOT_CALIBRATED = "- The probability is not calibrated and 0.5 is no recommended threshold."
CALIBRATED = (
    "- The probability is calibrated on the data named under Calibration; elsewhere it is mostly\n"
    "  too sure of itself."
)


@dataclass(frozen=True)
class TrainingFacts:
    """Facts for the card.

    Attributes:
        name: of the model; `user/name` if it goes to the Hub.
        options: all training options.
        command: the words of the command line.
        train: {"data", "rows", "genuine", "forged", "typical_points"}.
        evaluation: {"data", "rows", "dataset_id", "local"} of the validation data.
        metrics: of the best evaluation, with "interval" {"low", "high", "samples", "groups"}.
        best_step, steps, evaluations: numbers of the run.
        kinds: how many samples of each kind were made.
        seconds, waiting_seconds: time in training steps, and the part spent waiting for data.
        device: description of the device.
        parameters: number of weights.
        weights: a sentence on the origin of the backbone's weights.
    """

    name: str
    options: dict
    command: list[str]
    train: dict
    evaluation: dict
    metrics: dict
    best_step: int
    steps: int
    evaluations: int
    kinds: dict[str, int]
    seconds: float
    waiting_seconds: float
    device: str
    parameters: int
    weights: str


def write_model_card(folder: Path, facts: TrainingFacts) -> None:
    """Write README.md, `.eval_results/video_auc.yaml` and training_metadata.json."""
    card = ModelCard(_card_text(facts))
    card.save(folder / "README.md")
    results = folder / ".eval_results"
    results.mkdir(exist_ok=True)
    entries = eval_result_entries_to_yaml(_entries(facts))
    (results / "video_auc.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    metadata = {
        "options": {name: _without_folders(value) for name, value in facts.options.items()},
        "command": facts.command,
        "train": facts.train,
        "evaluation": facts.evaluation,
        "metrics": facts.metrics,
        "best_step": facts.best_step,
        "steps": facts.steps,
        "kinds": facts.kinds,
        "seconds": facts.seconds,
        "waiting_seconds": facts.waiting_seconds,
        "device": facts.device,
        "versions": installed_versions(VERSIONED),
    }
    (folder / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n")


def _without_folders(value: object) -> object:
    """Return only the last part of a local path: the rest would reveal this machine's folders."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _entries(facts: TrainingFacts) -> list[EvalResultEntry]:
    evaluation, metrics = facts.evaluation, facts.metrics
    notes = (
        f"validation split, {metrics['n_videos']} videos, {metrics['n_frames']} frames; best of "
        f"{facts.evaluations} checkpoints"
    )
    if evaluation["local"]:
        notes += "; local data, not read from the Hub"
    return [
        EvalResultEntry(
            dataset_id=evaluation["dataset_id"],
            task_id="deepfake_detection_video_auc",
            value=round(metrics["video_auc"], 6),
            notes=notes,
        )
    ]


def _card_text(facts: TrainingFacts) -> str:
    options, metrics, interval = facts.options, facts.metrics, facts.metrics["interval"]
    data = ModelCardData(
        model_name=facts.name,
        library_name="transformers",
        pipeline_tag=TASK[0],
        base_model=None,
        tags=["deepfake-detection", "caddm", "custom_code"],
        datasets=None if facts.evaluation["local"] else [facts.evaluation["dataset_id"]],
        metrics=["roc_auc"],
        eval_results=[
            EvalResult(
                task_type=TASK[0],
                task_name=TASK[1],
                dataset_type=facts.evaluation["dataset_id"],
                dataset_name=facts.evaluation["data"],
                dataset_split="validation",
                metric_type=key,
                metric_name=name,
                metric_value=round(metrics[key], 6),
            )
            for key, name in METRICS.items()
        ],
    )
    rows = [f"| {name} | {metrics[key]:.4f} |" for key, name in METRICS.items()]
    rows[0] = (
        f"| {METRICS['video_auc']} | {metrics['video_auc']:.4f} "
        f"({interval['low']:.4f} to {interval['high']:.4f}) |"
    )
    made = max(1, sum(facts.kinds.values()))
    kinds = sorted(facts.kinds.items(), key=lambda item: -item[1])
    typical = facts.train["typical_points"]
    found = installed_versions(VERSIONED)
    return BODY.format(
        card_data=data.to_yaml(),
        name=facts.name,
        name_to_load=facts.name if "/" in facts.name else "path/to/this/folder",
        backbone=options["backbone"],
        artifact_width=options["artifact_width"] or "as many",
        parameters=facts.parameters / 1e6,
        train_rows=facts.train["rows"],
        train_data=facts.train["data"],
        train_genuine=facts.train["genuine"],
        train_forged=facts.train["forged"],
        found=f"; in {typical} no face was found, so typical points stood in" if typical else "",
        joined=_joined(facts.train),
        not_calibrated=NOT_CALIBRATED,
        eval_rows=facts.evaluation["rows"],
        eval_data=facts.evaluation["data"],
        n_genuine_videos=metrics["n_genuine_videos"],
        n_fake_videos=metrics["n_fake_videos"],
        shares=_shares(options),
        kinds=", ".join(f"{kind} {count / made:.1%}" for kind, count in kinds if count) or "none",
        best_step=facts.best_step,
        evaluations=facts.evaluations,
        results="\n".join(rows),
        interval_groups=interval["groups"],
        interval_samples=interval["samples"],
        image_size=options["image_size"],
        align_scale=options["align_scale"],
        eyes=f", eyes at {height} of the height" if (height := options.get("eye_height")) else "",
        frames_per_video=metrics["n_frames"] / metrics["n_videos"],
        command=shlex.join(facts.command),
        steps=facts.steps,
        batch_size=options["batch_size"],
        seed=options["seed"],
        hours=facts.seconds / 3600,
        device=facts.device,
        waiting=facts.waiting_seconds / max(facts.seconds, 1e-9),
        weights=facts.weights,
        versions="\n".join(f"| {name} | {version} |" for name, version in found.items()),
        metadata_file=METADATA_FILE,
    )


def _joined(train: dict) -> str:
    count = train.get("genuine_data_rows")
    if not count:
        return ""
    return f"Among the genuine are {count} genuine pictures of {train['genuine_data']}.\n"


def _shares(options: dict) -> str:
    shares = {
        "the collection's fakes, swapped or not": options["fake_share"],
        "self-blended genuine frames": options["self_blend_share"],
        "cross-blended genuine frames": options["cross_blend_share"],
    }
    whole = sum(shares.values())
    return ", ".join(f"{share / whole:.0%} {name}" for name, share in shares.items() if share)
