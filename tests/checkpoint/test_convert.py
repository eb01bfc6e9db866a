import os
import pickle
import subprocess
import sys

import pytest
import torch

from caddm_hf import CaddmForDeepfakeDetection, CaddmImageProcessor
from caddm_hf.checkpoint.convert import CheckpointError, convert_checkpoint, write_model_folder
from support.authors_network import parity_figures, rule_checkpoint, rule_image


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return rule_checkpoint(parity_figures("resnet34")["keys"])


def save(tensors, path, **extra):
    torch.save({"network": tensors, "opt_state": {"lr": 1}, "epoch": 2, **extra}, path)
    return path


def test_folder_loads_and_gives_the_original_answer(tensors, tmp_path):
    path = save({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "a.pkl")
    folder = write_model_folder(path, tmp_path / "out" / "model")
    model = CaddmForDeepfakeDetection.from_pretrained(folder).eval()
    processor = CaddmImageProcessor.from_pretrained(folder)
    assert processor.channel_order == "bgr"
    assert not processor.do_rescale
    assert not processor.do_normalize
    figures = parity_figures("resnet34")
    with torch.inference_mode():
        output = model(**processor(rule_image(1)[..., ::-1]))
    assert output.logits[0].tolist() == pytest.approx(figures["logits"][1], rel=1e-4)
    probability = float(model.fake_probability(output)[0])
    assert probability == pytest.approx(figures["probabilities"][1][1], rel=1e-4)


def test_bare_state_dict_without_imagenet_classifier_is_taken(tensors, tmp_path):
    bare = {name: value for name, value in tensors.items() if "base_model.fc" not in name}
    torch.save(bare, tmp_path / "bare.pkl")
    assert convert_checkpoint(tmp_path / "bare.pkl").config.backbone == "resnet34"


def test_missing_extra_and_misshaped_tensors_are_named(tensors, tmp_path):
    broken = dict(tensors)
    del broken["adm.adm_extra_layers.1.0.conv2.weight"]
    broken["adm.surprise"] = torch.zeros(3)
    broken["fc.weight"] = torch.zeros(3, 512)
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(save(broken, tmp_path / "broken.pkl"))
    message = str(caught.value)
    assert "missing artifact_module.blocks.1.conv2.weight" in message
    assert "extra adm.surprise" in message
    assert "classifier.weight is (3, 512) instead of (2, 512)" in message
    assert "\n" not in message


def test_many_missing_tensors_are_counted(tensors, tmp_path):
    few = {name: value for name, value in tensors.items() if "adm." not in name}
    with pytest.raises(CheckpointError, match=r"and \d+ more"):
        convert_checkpoint(save(few, tmp_path / "few.pkl"))


class Payload:
    """What a hostile checkpoint holds: a call that unpickling would make."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tensors, tmp_path):
    mark = tmp_path / "executed"
    zipped = save(tensors, tmp_path / "zip.pkl", extra=Payload(mark))
    plain = tmp_path / "plain.pkl"
    plain.write_bytes(pickle.dumps({"network": Payload(mark)}))
    for path in (zipped, plain):
        with pytest.raises(CheckpointError, match="would run code"):
            convert_checkpoint(path)
    assert not mark.exists()


def test_files_that_are_no_checkpoints(tensors, tmp_path):
    (tmp_path / "empty.pkl").write_bytes(b"")
    (tmp_path / "text.pkl").write_text("not a checkpoint")
    whole = save(tensors, tmp_path / "whole.pkl").read_bytes()
    (tmp_path / "cut.pkl").write_bytes(whole[: len(whole) // 2])
    torch.save({"network": {"a": 1}}, tmp_path / "numbers.pkl")
    torch.save([1, 2], tmp_path / "list.pkl")
    torch.save({"network": {"x.weight": torch.zeros(1)}}, tmp_path / "other.pkl")
    for name in ("missing", "empty", "text", "cut", "numbers", "list", "other"):
        with pytest.raises(CheckpointError) as caught:
            convert_checkpoint(tmp_path / f"{name}.pkl")
        assert "\n" not in str(caught.value)


def test_values_that_are_not_finite_are_refused(tensors, tmp_path):
    poisoned = dict(tensors)
    poisoned["fc.bias"] = torch.tensor([0.0, float("nan")])
    with pytest.raises(CheckpointError, match=r"not finite: classifier\.bias"):
        convert_checkpoint(save(poisoned, tmp_path / "nan.pkl"))


def test_output_is_whole_or_absent_and_nothing_is_overwritten(tensors, tmp_path):
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "notes.txt").write_text("mine")
    path = save(tensors, tmp_path / "a.pkl")
    with pytest.raises(CheckpointError, match="not an empty folder"):
        write_model_folder(path, occupied)
    assert [entry.name for entry in occupied.iterdir()] == ["notes.txt"]
    (tmp_path / "bad.pkl").write_text("x")
    with pytest.raises(CheckpointError):
        write_model_folder(tmp_path / "bad.pkl", tmp_path / "never")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.pkl", "bad.pkl", "occupied"]


def test_command_line(tensors, tmp_path):
    path = save(tensors, tmp_path / "a.pkl")
    command = [sys.executable, "-m", "caddm_hf", "convert"]
    good = subprocess.run([*command, path, tmp_path / "m"], capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    assert (tmp_path / "m" / "modeling_caddm.py").is_file()
    (tmp_path / "bad.pkl").write_text("x")
    bad = subprocess.run(
        [*command, tmp_path / "bad.pkl", tmp_path / "n"], capture_output=True, text=True
    )
    assert bad.returncode == 1
    assert bad.stderr.startswith("error: bad.pkl: ")
    assert "Traceback" not in bad.stderr
