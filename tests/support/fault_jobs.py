"""The jobs that tests/test_faults_*.py kill and starve, each in a process of its own.

A fork server imports what they need once, so that a process is there in milliseconds and a kill
hits the work, not the imports.
"""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

import train_accelerate
from caddm_hf.cli import score_many as score_at_scale
from caddm_hf.cli.main import main as command
from caddm_hf.report.evidence import write_evidence
from caddm_hf.report.files import read_report, report_bytes
from caddm_hf.training.checkpoints import read_log
from data_scripts.build_frame_dataset import main as build_main
from support.made_scores import write_tiny_model

TESTS = Path(__file__).resolve().parents[1]


def train(data: str, out: str) -> int:
    """Fourteen steps with four checkpoints and two evaluations."""
    return train_accelerate.main(
        [
            *("--backbone", "test_resnet", "--artifact_width", "32", "--image_size", "64"),
            *("--use_cpu", "--batch_size", "8", "--eval_batch_size", "8", "--logging_steps", "1"),
            *("--dataloader_num_workers", "0", "--learning_rate", "1e-3", "--max_steps", "14"),
            *("--eval_steps", "7", "--save_steps", "3", "--resume_from_checkpoint", "latest"),
            *("--data", data, "--output_dir", out),
        ]
    )


def prepare(root: str, out: str) -> int:
    """A plain folder of four videos -> a collection."""
    options = ["--frames", "2", "--workers", "0", "--allowed_failures", "1"]
    return build_main(["folder", "--root", root, "--out", out, *options])


def score(folder: str, out: str) -> int:
    """A folder of videos -> scores, a file for each video."""
    score_at_scale.RESULTS_PER_FILE = 1
    model = str(Path(folder) / "model")
    options = ["--frames", "2", "--workers", "0", "--model", model, "--device", "cpu"]
    return command(["score", folder, "--output", out, *options])


def report(folder: str, out: str) -> int:
    """A model and a collection -> an evaluation with its report, and the model's card."""
    model = Path(out) / "model"
    options = ["--bootstrap-samples", "20", "--device", "cpu", "--update-card"]
    return command(
        ["evaluate", "--model", str(model), "--data", f"{folder}/data", "--output", out, *options]
    )


def convert(checkpoint: str, out: str) -> int:
    """An authors' checkpoint -> a model folder, made anew if it is there."""
    folder = Path(out) / "model"
    if folder.is_dir() and len(list(folder.iterdir())) >= 9:
        return 0
    return command(["convert", checkpoint, str(folder)])


def evidence(folder: str, out: str) -> int:
    """Report files -> evidence files, in folders and zips, those that are not there yet."""
    try:
        for path in sorted(Path(folder).glob("*.json")):
            for target in (Path(out) / path.stem, Path(out) / f"{path.stem}.zip"):
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_evidence(read_report(path), target)
    except OSError as error:
        print(f"error: {error}")
        return 1
    return 0


JOBS: dict[str, Callable[[str, str], int]] = {
    job.__name__: job for job in (train, prepare, score, report, evidence, convert)
}


def _run(job: str, source: str, out: str, file_bytes: int | None, answer: Connection) -> None:
    torch.set_num_threads(1)
    said = io.StringIO()
    if job == "report" and not (Path(out) / "model" / "config.json").exists():
        # Its card is part of what is written.
        shutil.copytree(Path(source) / "model", Path(out) / "model", dirs_exist_ok=True)
    if file_bytes is not None:
        # As on a full disk, writing fails in the midst of a file, whoever writes.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            status = JOBS[job](source, out)
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            traceback.print_exc(file=said)
            status = -1
    answer.send((status, said.getvalue()))
    answer.close()
    os._exit(0)


@dataclass
class Attempt:
    """A job in a process of its own."""

    process: multiprocessing.Process
    answer: Connection

    def wait(self, timeout_s: float | None = None) -> tuple[int, str] | None:
        """Exit status and what was said; None if it is not done in time."""
        if not self.answer.poll(timeout_s):
            return None
        found = self.answer.recv()
        self.process.join()
        return found

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()


@contextlib.contextmanager
def job_server() -> Iterator[Callable[..., Attempt]]:
    """Gives `start(job, source, out, file_bytes)`."""
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "OMP_NUM_THREADS")}
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.fault_jobs"])

    def start(job: str, source: Path, out: Path, file_bytes: int | None = None) -> Attempt:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_run, args=(job, str(source), str(out), file_bytes, theirs), daemon=False
        )
        process.start()
        theirs.close()
        return Attempt(process, mine)

    try:
        yield start
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def make_source(job: str, folder: Path) -> Path:
    """What a job works on."""
    from support.authors_network import parity_figures, rule_checkpoint
    from support.made_collection import write_collection
    from support.made_datasets import MadeVideos, make_folder
    from support.made_reports import made_person, made_report

    folder.mkdir()
    if job == "train":
        return write_collection(folder, 5, 3, frames=2, side=80)
    if job in ("prepare", "score"):
        (folder / "made").mkdir()
        make_folder(folder / "tree", MadeVideos(folder / "made"))
        if job == "score":
            write_tiny_model(folder / "tree" / "model")
        return folder / "tree"
    if job == "report":
        write_collection(folder / "data", 1, 4, frames=2, side=80)
        write_tiny_model(folder / "model")
        return folder
    if job == "evidence":
        for number in range(4):
            people = [made_person(1, [(step / 5, 0.2 + 0.1 * step) for step in range(5)])]
            report = made_report(people, name=f"{number}.mp4")
            (folder / f"{number}.json").write_bytes(report_bytes(report))
        return folder
    path = folder / "authors.pkl"
    torch.save({"network": rule_checkpoint(parity_figures("resnet34")["keys"])}, path)
    return path


def read_outputs(out: Path) -> dict[str, object]:
    """Content of every file that bears its name; a half-written one raises.

    What is of a moment (times, durations) and what is hidden is left out.
    """
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(out).parts):
            continue
        if path.suffix == ".safetensors":
            load_file(path)
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".parquet":
            found[name] = pq.read_table(path).to_pylist()
        elif path.suffix == ".json":
            found[name] = json.loads(path.read_text())
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found[name] = {entry: archive.read(entry) for entry in archive.namelist()}
        elif path.name == "training_log.jsonl":
            found[name] = read_log(path)
        else:
            found[name] = path.read_bytes()
    return found


def hidden(out: Path) -> list[str]:
    """Files and folders that are not to be left behind."""
    return [p.name for p in out.rglob(".*") if p.name not in (".lock", ".eval_results")]
