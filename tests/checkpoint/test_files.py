"""Models and collections made to do harm: each is refused in a sentence, before the harm."""

import json
import os
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, Image
from safetensors.torch import load_file, save_file

from caddm_hf import CaddmForDeepfakeDetection
from caddm_hf.checkpoint import files as model_files
from caddm_hf.checkpoint.convert import CheckpointError, convert_checkpoint, read_authors_checkpoint
from caddm_hf.checkpoint.loading import load_model
from caddm_hf.core.errors import ModelError
from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.opening import open_rows, open_split
from caddm_hf.dataset.pictures import decode_picture, picture_bytes
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from support.made_collection import made_rows, png_picture
from support.made_scores import write_tiny_model


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("good") / "model")


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


def change_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


# --- configurations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"artifact_width": "192"}, "cannot be loaded"),
        ({"artifact_width": 10**9}, "not a sensible number"),
        ({"image_size": 1e400}, "not a sensible number"),
        ({"image_size": 10**400}, "not a sensible number"),
        ({"image_size": 224.5}, "cannot take a 224.5 px"),
        ({"image_size": 65536}, "between 64 and 1024"),
        ({"backbone": "hf-hub:nobody/evil"}, "is not a model of timm"),
        ({"backbone": ["resnet18"]}, "is not a model of timm"),
        ({"backbone": "../../x"}, "is not a model of timm"),
        ({"backbone": "vit_base_patch16_224"}, "CADDM needs a map|cannot take"),
        ({"calibration_temperature": 1e-300}, "absurd"),
        ({"calibration_temperature": float("nan")}, "not a sensible number"),
        ({"calibration_bias": 1001}, "calibration_bias 1001 is absurd"),
        ({"calibration_bias": -1e5}, "absurd"),
        ({"calibration_bias": float("nan")}, "not a sensible number"),
        ({"calibration_bias": float("-inf")}, "not a sensible number"),
        ({"calibration_bias": "0"}, "cannot be loaded"),
        ({"real_below": -1}, "thresholds must satisfy"),
        ({"calibration": {"thresholds": {"0.05": 1e300}}}, "0.05 is not a sensible number"),
        ({"model_type": ["caddm"]}, "not a CADDM model"),
    ],
)
def test_absurd_configurations(model: Path, values: dict, message: str):
    change_json(model / "config.json", **values)
    refused(model, message)


@pytest.mark.parametrize(
    "values",
    [
        {"size": 10**6},
        {"size": "64"},
        {"rescale_factor": 1e300},
        {"image_mean": [float("inf")] * 3},
        {"image_std": [0, 0, 0]},
        {"image_mean": [[0.5] * 3] * 3},
        {"channel_order": "rgba"},
        {"align_scale": -3},
    ],
)
def test_absurd_input_contracts(model: Path, values: dict):
    change_json(model / "preprocessor_config.json", **values)
    refused(model, "cannot be loaded")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_json_that_is_none_or_costs_too_much(model: Path, name: str):
    path = model / name
    original = path.read_text()
    deep = "[" * 100_000 + "]" * 100_000
    wrong = [b"", b"\xff\xfe\x00", b"[1, 2]", b"{", deep.encode()]
    wrong.append(original.replace("{", '{"padding": "' + "x" * 2**20 + '",', 1).encode())
    for content in wrong:
        path.write_bytes(content)
        refused(model, f"no readable {name}")
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    refused(model, f"no readable {name}|holds no {name}")


@pytest.mark.parametrize(
    "values",
    [
        {"attn_implementation": "nobody/kernel"},
        {"_attn_implementation": "nobody/kernel"},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": "x"},
        {"dtype": "nonsense"},
        {"id2label": "x"},
        {"num_labels": 10**9},
        {"vision_config": {"model_type": "bert"}},
    ],
)
def test_what_a_configuration_says_beyond_its_own_values_is_not_followed(model: Path, values: dict):
    """`transformers` would fetch kernels and adapters of other repositories, or fail on them."""
    change_json(model / "config.json", **values)
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "nobody/evil"}')
    config = load_model(model).model.config
    assert config.backbone == "test_resnet"
    assert config.num_labels == 2


def test_code_in_a_model_folder_is_not_run(model: Path, tmp_path: Path):
    mark = tmp_path / "executed"
    for path in [*model.glob("*.py"), model / "evil.py"]:
        path.write_text(f"open({str(mark)!r}, 'w')\nraise SystemExit\n")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Model"}
    change_json(model / "config.json", auto_map=auto_map)
    change_json(model / "preprocessor_config.json", auto_map={"AutoImageProcessor": "evil.P"})
    assert not load_model(model).model.training
    assert not mark.exists()


# --- weights -----------------------------------------------------------------------------


def test_a_small_file_does_not_make_a_large_network(model: Path, monkeypatch):
    """Found out from the header: no network is made, in which 0.8 billion weights would lie."""
    monkeypatch.setattr(CaddmForDeepfakeDetection, "from_pretrained", None)
    for values in ({"backbone": "convnext_xxlarge"}, {"artifact_width": 4096}):
        change_json(model / "config.json", **values)
        refused(model, "tensors are missing or misshaped|cannot take")


def write_header(path: Path, header: dict, data: bytes = b"", length: int | None = None) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def test_headers_that_lie(model: Path):
    path = model / "model.safetensors"
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    lies = [
        ({"a": entry}, b"\0" * 8, None),
        ({"a": entry}, b"\0" * 16, 2**63),
        ({"a": entry}, b"\0" * 16, 2**31),
        ({"a": entry | {"shape": [2**62, 4]}}, b"\0" * 16, None),
        ({"a": entry | {"shape": [-4]}}, b"\0" * 16, None),
        ({"a": entry | {"data_offsets": [16, 0]}}, b"\0" * 16, None),
        ({"a": entry, "b": entry}, b"\0" * 16, None),
        ({"a": entry | {"dtype": "PICKLE"}}, b"\0" * 16, None),
    ]
    for header, data, length in lies:
        write_header(path, header, data, length)
        refused(model, "cannot be loaded")
    path.write_bytes(b"")
    refused(model, "cannot be loaded")
    write_header(path, {"a": entry}, b"\0" * 16)
    refused(model, "tensors are missing or misshaped")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.repeat(2), "such as classifier.bias"),
        (lambda t: t[:0], "such as classifier.bias"),
        (lambda t: t.to(torch.int64), "such as classifier.bias"),
        (lambda t: t * float("nan"), r"no numbers, such as classifier\.bias"),
        (lambda t: t + float("inf"), "no numbers"),
    ],
)
def test_tensors_of_another_kind(
    model: Path, change: Callable[[torch.Tensor], torch.Tensor], message: str
):
    tensors = load_file(model / "model.safetensors")
    tensors["classifier.bias"] = change(tensors["classifier.bias"])
    save_file(tensors, model / "model.safetensors")
    refused(model, message)


def test_weights_beyond_the_limit(model: Path, monkeypatch):
    monkeypatch.setattr(model_files, "MAX_WEIGHTS_BYTES", 1000)
    refused(model, "too large to be loaded")


# --- the authors' checkpoints ------------------------------------------------------------


def test_an_archive_that_grows_when_it_is_read(tmp_path: Path):
    torch.save({"network": {"x": torch.zeros(10**6)}}, tmp_path / "plain.pkl")
    with (
        zipfile.ZipFile(tmp_path / "plain.pkl") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pkl", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "bomb.pkl").stat().st_size < 10**5
    with pytest.raises(CheckpointError, match="a compressed archive"):
        convert_checkpoint(tmp_path / "bomb.pkl")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(2**40),
        torch.empty(2**40, device="meta"),
        torch.zeros(3, 3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
    ],
    ids=["expanded", "meta", "sparse", "complex"],
)
def test_tensors_that_are_not_what_they_seem(tmp_path: Path, tensor: torch.Tensor):
    torch.save({"network": {"x.weight": tensor}}, tmp_path / "a.pkl")
    with pytest.raises(CheckpointError, match=r"without plain values: x\.weight"):
        convert_checkpoint(tmp_path / "a.pkl")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_checkpoints_are_refused_whatever_the_damage(tmp_path: Path, zipped: bool):
    path = tmp_path / "a.pkl"
    content = {"network": {f"x{n}.weight": torch.ones(2, 3) for n in range(3)}, "epoch": 1}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3, 20])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.choice([len(damaged)] * 3 + [rng.randrange(len(damaged))])])
        try:  # a byte among the values does no harm
            tensors = read_authors_checkpoint(path)
        except CheckpointError:
            continue
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


# --- collections -------------------------------------------------------------------------


def png_bomb(side: int) -> bytes:
    """A valid black PNG of side x side pixels, a thousandth of its size decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + b"\0" * -(-side // 8)) * side, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    )


def collection_with(folder: Path, column: str, value: object) -> Path:
    rows = list(made_rows(2, 1, 0))
    rows[1][column] = value
    dataset = Dataset.from_list(rows, features=FRAME_FEATURES)
    for name in ("image", "source_image"):
        dataset = dataset.cast_column(name, Image(decode=False))
    path = folder / "train-00000-of-00001.parquet"
    pq.write_table(dataset.cast(FRAME_FEATURES).with_format("arrow")[:], path)
    return folder


@pytest.mark.parametrize("side", [8500, 16000])
def test_image_bombs(tmp_path: Path, side: int, monkeypatch):
    bomb = {"bytes": png_bomb(side), "path": None}
    assert len(bomb["bytes"]) < 10**5
    folder = collection_with(tmp_path, "image", bomb)
    monkeypatch.setattr("caddm_hf.dataset.pictures.cv2.imdecode", None)  # never comes to that
    with pytest.raises(FrameDataError, match="far more pixels than can be read"):
        FrameTable(open_split(str(folder), "train")).row(1)
    with pytest.raises(FrameDataError, match="far more pixels than can be read"):
        open_rows(str(folder), ("image",), "train").image_rgb(1)


def test_a_row_cannot_name_a_file_of_this_machine(tmp_path: Path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png_picture(np.zeros((20, 20, 3), np.uint8))["bytes"])
    fifo = tmp_path / "endless"
    os.mkfifo(fifo)
    (tmp_path / "data").mkdir()
    for path in (secret, fifo, Path("/dev/zero"), tmp_path / "absent"):
        folder = collection_with(tmp_path / "data", "image", {"bytes": None, "path": str(path)})
        table = FrameTable(open_split(str(folder), "train"))
        with pytest.raises(FrameDataError, match="not in the collection itself"):
            table.row(1)
        with pytest.raises(FrameDataError, match="not in the collection itself"):
            list(open_rows(str(folder), ("image",), "train").picture_digests())
    assert table.row(0).image_rgb.shape == (112, 112, 3)


def test_image_files_in_the_caches_are_read(tmp_path: Path, monkeypatch):
    """Where a dataset on the Hub is a folder of images, that is where they are."""
    monkeypatch.setattr("caddm_hf.dataset.pictures.HF_HUB_CACHE", str(tmp_path))
    path = tmp_path / "a.png"
    path.write_bytes(png_picture(np.full((9, 7, 3), 50, np.uint8))["bytes"])
    assert decode_picture({"bytes": None, "path": str(path)}).shape == (9, 7, 3)
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(FrameDataError, match="not in the collection"):
        picture_bytes({"bytes": None, "path": str(tmp_path / "out" / "passwd")})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image", None, "has no picture"),
        ("image", {"bytes": b"", "path": None}, "cannot be decoded"),
        ("image", {"bytes": b"%PDF-1.7 " * 99, "path": None}, "cannot be decoded"),
        ("landmarks", [[float("nan"), 1.0]] * 5, "unusable landmarks"),
        ("landmarks", [[1.0, 1.0]] * 100_000, "unusable landmarks"),
    ],
)
def test_rows_that_hold_nothing_of_use(tmp_path: Path, column: str, value: object, message: str):
    folder = collection_with(tmp_path, column, value)
    with pytest.raises(FrameDataError, match=message):
        FrameTable(open_split(str(folder), "train")).row(1)


def test_a_picture_file_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(
        "caddm_hf.dataset.pictures.LIMITS", type("Small", (), {"max_image_bytes": 99})
    )
    with pytest.raises(FrameDataError, match="a file of 100 bytes"):
        picture_bytes({"bytes": b"x" * 100, "path": None})
