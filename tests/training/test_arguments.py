"""The command line: help, and one sentence for a wrong option."""

import subprocess
import sys

import pytest

from caddm_hf.training.arguments import parse_training_config
from caddm_hf.training.config import TrainingConfig
from support.training_runs import SCRIPT, environment

STREAMED = (
    "--data x --output_dir y --streaming --max_steps 9 --eval_steps 3 --lr_scheduler_type cosine"
)


def test_help_and_mistakes_come_from_the_script_itself():
    asked = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, env=environment()
    )
    assert asked.returncode == 0
    for option in TrainingConfig.__dataclass_fields__.values():
        assert f"--{option.name}" in asked.stdout
        assert option.metadata["help"][:20] in " ".join(asked.stdout.split())
    wrong = subprocess.run(
        [sys.executable, SCRIPT, "--data", "x", "--output_dir", "y", "--batch_size", "0"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert wrong.returncode == 2
    assert wrong.stderr == "error: --batch_size must be at least 2, got 0.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--output_dir y", "--data is needed"),
        ("--data x", "--output_dir is needed"),
        ("--data x --output_dir y --colour red", "--colour is no option"),
        ("--data x --output_dir y --max_steps many", "invalid int value"),
        ("--data x --output_dir y --image_size 20", "--image_size must be between 64 and 1024"),
        ("--data x --output_dir y --learning_rate nan", "--learning_rate must be a positive"),
        ("--data x --output_dir y --ema_decay 1", "--ema_decay must be between"),
        ("--data x --output_dir y --fake_share 0", "Forged samples need a source"),
        ("--data x --output_dir y --streaming", "--streaming needs --max_steps"),
        ("--data x --output_dir y --push_to_hub", "--push_to_hub needs --hub_model_id"),
        ("--data x --output_dir y --hub_model_id a/b", "has no effect without --push_to_hub"),
        ("--data x --output_dir y --report_to magic", "'magic' is not known"),
        ("--data x --contact_sheet y.gif", "must name a .png or .jpg"),
        ("--data x --output_dir y --lr_scheduler_type linear", "invalid choice: 'linear'"),
        ("--data x --output_dir y --frozen_stages 2", "--frozen_stages needs trained weights"),
        ("--data x --output_dir y --shrink_share 2", "--shrink_share must be between 0 and 1"),
        ("--data x --output_dir y --shrink_smallest 250", "must not be above --shrink_largest"),
        ("--data x --output_dir y --retouch_share -1", "--retouch_share must be between 0 and 1"),
        ("--data x --output_dir y --dataset_shares A", "'A' is wrong"),
        ("--data x --output_dir y --dataset_shares A=1,A=2", "'A=2' is wrong"),
        ("--data x --output_dir y --dataset_shares A=-1", "'A=-1' is wrong"),
        ("--data x --output_dir y --dataset_shares A=0,B=0", "a positive share"),
        ("--data x --output_dir y --paired_batches --class_balance none", "cannot be combined"),
        (f"{STREAMED} --paired_batches", "--paired_batches cannot be combined with --streaming"),
        (f"{STREAMED} --dataset_shares A=1", "--dataset_shares cannot be combined with"),
    ],
)
def test_wrong_options_are_one_sentence_and_status_2(options: str, message: str, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_training_config(options.split())
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert printed.count("\n") == 1
