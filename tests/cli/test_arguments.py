"""caddm_hf.cli.arguments and caddm_hf.core.options: what all command lines share."""

import argparse
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

import app
from caddm_hf.cli.arguments import (
    WRONG_USE,
    Parser,
    add_options,
    hyphenated,
    read_options,
    run_quietly,
    share,
    whole_number,
)
from caddm_hf.cli.main import build_parser
from caddm_hf.core.errors import UserError
from caddm_hf.core.options import option
from caddm_hf.evaluation.options import CalibrateOptions, EvaluateOptions, ProbeOptions
from caddm_hf.training.arguments import parse_training_config

ROOT = Path(__file__).resolve().parents[2]


@dataclass(kw_only=True)
class Base:
    seed: int = option("of everything", 0)


@dataclass(kw_only=True)
class Made(Base):
    names: list[str] = option("several", positional=True)
    data: Path = option("needed")
    max_videos: int | None = option("counted", None, low=1, high=9)
    rates: list[float] = option("shares", [0.5], is_share=True)
    quiet: bool = option("a flag", False, exclusive="how")
    loud: bool = option("a flag", False, exclusive="how")


def parsed(*words: str) -> Made:
    parser = Parser()
    add_options(parser, Made)
    return read_options(Made, parser.parse_args(words))


def test_a_dataclass_is_the_command_line():
    made = parsed("a", "b", "--data", "here", "--rates", "0.1", "0.2", "--quiet")
    assert made == Made(names=["a", "b"], data=Path("here"), rates=[0.1, 0.2], quiet=True)
    assert parsed("a", "--data", "here").rates == [0.5]


@pytest.mark.parametrize(
    "words",
    [
        ["a"],
        ["--data", "x"],
        ["a", "--data", "x", "--max-videos", "10"],
        ["a", "--data", "x", "--rates", "1"],
        ["a", "--data", "x", "--quiet", "--loud"],
        ["a", "--data", "x", "--seed", "many"],
    ],
)
def test_what_does_not_fit_ends_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        parsed(*words)
    assert end.value.code == WRONG_USE


def test_both_spellings_mean_the_same_option():
    assert parsed("a", "--data", "x", "--max_videos=3") == parsed(
        "a", "--data", "x", "--max-videos", "3"
    )
    assert hyphenated(["--a_b=c_d", "e_f", "--", "--g_h"]) == ["--a-b=c_d", "e_f", "--", "--g_h"]


@pytest.mark.parametrize(
    ("command", "options_class"),
    [
        (["evaluate", "--data", "x"], EvaluateOptions),
        (["calibrate", "--data", "x"], CalibrateOptions),
        (["probe-identity", "--data", "x"], ProbeOptions),
    ],
)
def test_every_option_of_a_command_takes_both_spellings(command, options_class):
    values = {bool: [], int: ["2"]}
    for stated in fields(options_class):
        if "_" not in stated.name:
            continue
        value = values.get(type(stated.default), ["2"] if stated.metadata["low"] else ["0.5"])
        flag = stated.name.replace("_", "-")
        both = [
            build_parser().parse_args([*command, f"--{name}", *value])
            for name in (stated.name, flag)
        ]
        first, second = (vars(found) | {"run": None} for found in both)
        assert first == second


def test_programs_beside_the_commands_take_both_spellings(capsys):
    assert app.build_parser().parse_args(["--at_once", "2"]).at_once == 2
    for flag in ("--max-steps", "--max_steps"):
        options = ["--data", "x", "--output-dir", "y", flag, "3"]
        assert parse_training_config(options).max_steps == 3


def test_types_of_arguments():
    assert whole_number(1, 5)("5") == 5
    for text, words in (("0", "between 1 and 5"), ("6", "between 1 and 5")):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            whole_number(1, 5)(text)
    with pytest.raises(argparse.ArgumentTypeError, match="at least 2"):
        whole_number(2)("1")
    assert share("0.05") == 0.05
    for text in ("0", "1", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match="between 0 and 1"):
            share(text)


def test_an_error_is_one_line_and_a_status(capsys, tmp_path):
    def fail() -> None:
        raise UserError("two\nlines")

    assert run_quietly(fail) == WRONG_USE
    assert capsys.readouterr().err == "error: two lines\n"
    assert run_quietly(lambda: (tmp_path / "absent").read_bytes()) == WRONG_USE
    assert "absent" in capsys.readouterr().err
    assert run_quietly(lambda: None) == 0


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom caddm_hf.cli.main import build_parser\nbuild_parser().format_help()\n"
        "print([n for n in ('torch', 'transformers', 'datasets', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
