"""Every command and every piece of code in README.md and docs/ is one that works.

Each command is read by its own program's parser, so that no option is misspelt. What can run here
in reasonable time is run as it stands, in a folder where the names it uses are there; Python code
always is. What cannot (a dataset or cluster nobody has here) is named with the reason.
"""

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

import app
from caddm_hf.checkpoint import bundled as default_model
from caddm_hf.cli import main as command_line
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.page.examples import make_examples
from caddm_hf.report.files import report_bytes
from caddm_hf.training.arguments import parse_training_config
from support.made_collection import write_collection
from support.made_runners import made_page
from support.page_visitor import write_untrained_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
NO_DATASET = "needs a dataset whose owners decide who may have it"
LONG = "takes hours as it stands; "
# Beginnings of commands that are only read by their parser, with the reason.
ONLY_READ = {
    "pip install": "changes the environment; what it names is looked up",
    "python -m pytest": "is what runs this",
    "python app.py": "serves until it is stopped: tests/integration/test_app_browser.py",
    "python benchmarks/": "tests/integration/test_benchmarks.py",
    "python data_scripts/split_by_source.py": "tests/dataset/test_genuine.py",
    "python data_scripts/join_genuine_pictures.py": "tests/dataset/test_genuine.py",
    "python data_scripts/join_collections.py": NO_DATASET + ": tests/preparation/test_joining.py",
    "python data_scripts/build_frame_dataset.py": NO_DATASET + ": tests/preparation/test_build.py",
    "accelerate launch": LONG + "tests/integration/test_training_distributed.py",
    "torchrun": LONG + "tests/cli/test_evaluate.py",
    "python train_accelerate.py": LONG + "below, shortened",
    "python -m caddm_hf evaluate": LONG + "below, shortened",
    "python -m caddm_hf calibrate": LONG + "below, shortened",
    "python -m caddm_hf probe-identity": "needs photographs of known people: "
    "tests/cli/test_measurement_commands.py",
    "python -m caddm_hf export": LONG + "tests/cli/test_export.py",
    "python -m caddm_hf convert": "needs the authors' weights: tests/checkpoint/test_convert.py",
    "python -m caddm_hf score --engine ray": "needs a cluster and a bucket",
}
# Run as they stand.
RUN = (
    "python app.py --help",
    "python -m caddm_hf score clip.mp4 photos/",
    "python -m caddm_hf score --json clip.mp4",
    "python -m caddm_hf score --model path/or/hub-id --frames 8 photo.jpg",
)
# Run with these options added, which make them short.
SHORTENED = {
    "python -m caddm_hf score --output results --workers 1 photos/": "--model path/or/hub-id",
    "python train_accelerate.py --data DATA --contact-sheet sheet.png": "",
    "accelerate launch train_accelerate.py --data frames --output-dir runs/first": (
        "--backbone test_resnet --artifact-width 32 --image-size 64 --use-cpu --batch-size 8 "
        "--max-steps 2 --dataloader-num-workers 0"
    ),
    "python -m caddm_hf evaluate --model runs/first --data frames other-frames": (
        "--bootstrap-samples 20 --device cpu"
    ),
}


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of every block of code, fenced or set in by four spaces."""
    found, language, content, set_in = [], None, [], []
    for line in [*text.splitlines(), "end"]:
        if language is None and line.startswith("    "):
            set_in.append(line.strip())
            continue
        if set_in:
            found.append(("", "\n".join(set_in)))
            set_in = []
        if line.startswith("```"):
            if language is None:
                language = line.removeprefix("```").strip()
            else:
                found.append((language, "\n".join(content)))
                language, content = None, []
        elif language is not None:
            content.append(line)
    assert language is None, "a block of code that never ends"
    return found


def commands() -> list[tuple[str, str]]:
    """(page, command) of every command in a block of code, `&&` taken apart."""
    found = []
    for page in PAGES:
        for language, content in blocks(page.read_text()):
            for line in content.replace("\\\n", " ").splitlines() if not language else ():
                line = re.sub(r"\s+#.*", "", line).strip()
                if re.match(r"(?:python|pip|accelerate|torchrun) ", line):
                    parts = [" ".join(part.split()) for part in line.split("&&")]
                    found += [(page.name, part) for part in parts]
    return found


def python_blocks() -> list:
    """Every piece of Python code, named by its page and place in it."""
    return [
        pytest.param(content, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (language, content) in enumerate(blocks(page.read_text()), 1)
        if language == "python"
    ]


def test_commands_and_code_are_found():
    """So that a change of their form does not leave everything below without work."""
    texts = [command for _, command in commands()]
    assert len(texts) > 25
    assert {"python app.py", "pip install -r requirements.txt", *RUN, *SHORTENED} <= set(texts)
    assert len(python_blocks()) >= 8


@pytest.mark.parametrize(("page", "command"), commands())
def test_its_own_program_understands_it(page, command, capsys):
    words = [word for word in shlex.split(command) if word != "..."]
    incomplete = command.endswith("...")
    if words[0] == "pip":
        understand_pip(words)
        return
    words = without_launcher(words)
    status = 0
    try:
        if words[:2] == ["-m", "caddm_hf"]:
            command_line.build_parser().parse_args(words[2:])
        elif words[0] == "app.py":
            app.build_parser().parse_args(words[1:])
        elif words[0] == "train_accelerate.py":
            parse_training_config(words[1:])
        elif words[0] == "data_scripts/build_frame_dataset.py":
            builder().parse_args(words[1:])
        elif words[:2] == ["-m", "pytest"]:
            known = {"-m", "-n", "0", "-s", "slow", "slow or not slow"}
            assert set(words[2:]) <= known | existing(words)
        else:
            source = (ROOT / words[0]).read_text()
            options = [word for word in words[1:] if word.startswith("--")]
            assert [option for option in options if f'"{option}"' not in source] == []
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr().err
    # What "..." stands for is all that may be missing.
    lacking = "required:" in said or "is needed" in said
    assert status == 0 or (incomplete and lacking), said


def existing(words: list[str]) -> set[str]:
    return {word for word in words if (ROOT / word.split("::")[0]).is_file()}


def understand_pip(words: list[str]) -> None:
    assert words[1] == "install"
    if words[2] == "-r":
        assert (ROOT / words[3]).is_file()
        return
    required = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    assert re.split(r"[\[<>=]", words[2])[0] in required


def without_launcher(words: list[str]) -> list[str]:
    """The words from the script or `-m` on."""
    start = next(
        at
        for at, word in enumerate(words)
        if word.endswith(".py") or (word == "-m" and words[at + 1] in ("caddm_hf", "pytest"))
    )
    return words[start:]


def builder() -> argparse.ArgumentParser:
    path = ROOT / "data_scripts" / "build_frame_dataset.py"
    spec = importlib.util.spec_from_file_location("build_frame_dataset", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_parser()


def test_whatever_is_not_run_has_its_reason():
    unexplained = [
        command
        for _, command in commands()
        if command not in RUN
        and command not in SHORTENED
        and not any(command.startswith(beginning) for beginning in ONLY_READ)
    ]
    assert unexplained == []


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with everything that commands and code name."""
    folder = tmp_path_factory.mktemp("docs")
    examples = make_examples(folder / "examples")
    shutil.copy(examples["genuine_clip"], folder / "clip.mp4")
    (folder / "photos").mkdir()
    Image.fromarray(astronaut()[:400]).save(folder / "photo.jpg")
    shutil.copy(folder / "photo.jpg", folder / "photos" / "photo.jpg")
    write_untrained_model(folder / "path/or/hub-id")
    report = VideoDetector.untrained()(folder / "clip.mp4", frames=8)
    (folder / "report.json").write_bytes(report_bytes(report))
    return folder


@pytest.mark.parametrize("command", RUN)
def test_it_runs(command, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    # What is bundled is not what this is about; a small one is faster.
    monkeypatch.setattr(default_model, "BUNDLED_MODEL", workplace / "path/or/hub-id")
    words = without_launcher(shlex.split(command))
    if words[0] == "app.py":
        with pytest.raises(SystemExit) as end:
            app.main(words[1:])
        assert end.value.code == 0
    else:
        assert command_line.main(words[2:]) == 0
    assert capsys.readouterr().out


@pytest.fixture(scope="module")
def page_url(workplace) -> Iterator[str]:
    """The page as docs/app.md has it, on a free port."""
    from caddm_hf.page.worker import DetectorHandle

    handle = DetectorHandle(VideoDetector.untrained())
    examples = make_examples(workplace / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(workplace / "uploads"))
        page = made_page(lambda job, tell, stop: handle(job, tell), examples, handle.facts)
        _, url, _ = page.queue().launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False
        )
        try:
            yield url
        finally:
            page.close(verbose=False)


@pytest.mark.parametrize("code", python_blocks())
def test_python_code_runs(code, workplace, monkeypatch, request):
    monkeypatch.chdir(workplace)
    if "http://127.0.0.1:7860" in code:
        url = request.getfixturevalue("page_url").rstrip("/")
        code = code.replace("http://127.0.0.1:7860", url)
    exec(compile(code, "documentation", "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("command", SHORTENED)
def test_it_runs_shortened(command, workplace):
    """In the order of `SHORTENED`: the last one evaluates what another trained."""
    for name in ("DATA", "frames", "other-frames"):
        if not (workplace / name).exists():
            write_collection(workplace / name)
    words = shlex.split(f"{command} {SHORTENED[command]}")
    words = [sys.executable, *without_launcher(words)]
    if words[1].endswith(".py"):
        words[1] = str(ROOT / words[1])
    done = subprocess.run(
        words,
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
