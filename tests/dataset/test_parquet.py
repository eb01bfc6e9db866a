"""caddm_hf.dataset.parquet: files that would fill the disk are refused before they are unpacked."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caddm_hf.dataset import parquet as parquet_loading
from caddm_hf.dataset.opening import open_rows, open_split
from caddm_hf.dataset.parquet import check_claims, check_contents
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from support.fake_hub.server import LocalHub
from support.made_collection import made_rows, write_collection

SPARE = 2**20  # in place of a quarter of a gigabyte
TEXT = "a" * 2**20
REFUSED = "would unpack to more than 8 times its size"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(parquet_loading, "SPARE_BYTES", SPARE)
    folder = tmp_path / "cache"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder)
    return folder


def bombs() -> Iterator[tuple[str, pa.Array]]:
    """One column each, of 40 rows where there are texts: 42 MB from a few kilobytes."""
    yield "text", pa.array([TEXT] * 40)
    yield "texts", pa.array([[[TEXT]]] * 40)
    yield "picture", pa.array([{"bytes": TEXT.encode(), "path": None}] * 40)
    yield "path", pa.array([{"bytes": b"", "path": TEXT}] * 40)
    yield "rows", pa.nulls(5_000_000, pa.string())
    yield "numbers", pa.array([[[0.0] * 1000] * 1000] * 40, pa.list_(pa.list_(pa.float32())))


BOMBS = dict(bombs())


def write_bomb(folder: Path, kind: str, stored: str) -> Path:
    """A file that holds each text once, or once a row but compressed."""
    table = pa.table({"image": BOMBS[kind]})
    options = {"dictionary_pagesize_limit": 2**30} if stored == "once" else {}
    path = folder / "train-00000-of-00001.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=stored == "once", **options)
    assert path.stat().st_size < 10**5
    return path


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("stored", ["once", "compressed"])
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused(tmp_path: Path, cache: Path, kind: str, stored: str) -> None:
    path = write_bomb(tmp_path, kind, stored)
    with pytest.raises(FrameDataError, match=REFUSED):
        open_split(str(path), "train")
    with pytest.raises(FrameDataError, match=REFUSED):
        open_rows(str(path), ("image",), "train")
    assert size_of(cache) < 10**5


def test_what_a_file_says_is_enough_to_refuse_it(tmp_path: Path, monkeypatch) -> None:
    path = write_bomb(tmp_path, "text", "compressed")
    monkeypatch.setattr(parquet_loading, "_found_bytes", None)  # never comes to that
    with pytest.raises(FrameDataError, match=REFUSED):
        check_contents("a", [str(path)])
    with pytest.raises(FrameDataError, match=REFUSED):
        open_split(str(path), "train", streaming=True)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_that_lies_about_its_size(tmp_path: Path, kind: str, monkeypatch) -> None:
    path = write_bomb(tmp_path, kind, "compressed")
    monkeypatch.setattr(parquet_loading, "_claimed_bytes", lambda file: iter([1]))
    check_claims("a", [str(path)])
    with pytest.raises(FrameDataError, match=REFUSED):
        check_contents("a", [str(path)])


def test_files_count_together(tmp_path: Path) -> None:
    table = pa.table({"image": [TEXT[: SPARE // 3]]})
    files = [str(tmp_path / f"{number}.parquet") for number in range(4)]
    for file in files:
        pq.write_table(table, file, compression="zstd", use_dictionary=False)
    check_contents("a", files[:2])
    with pytest.raises(FrameDataError, match=REFUSED):
        check_contents("a", files)


def test_a_collection_is_read_through_once(tmp_path: Path, monkeypatch) -> None:
    folder = write_collection(tmp_path / "made", 2, 1, frames=2, side=80)
    rows = list(open_split(str(folder), "train"))
    monkeypatch.setattr(parquet_loading, "check_contents", None)
    assert list(open_split(str(folder), "train")) == rows


@pytest.mark.parametrize("written_by", ["datasets", "arrow"])
def test_what_is_counted_is_what_is_unpacked(tmp_path: Path, written_by: str) -> None:
    rows = datasets.Dataset.from_list(list(made_rows(8, 2, 0)), features=FRAME_FEATURES)
    path = tmp_path / "a.parquet"
    if written_by == "datasets":
        rows.to_parquet(path)
    else:
        pq.write_table(rows.with_format("arrow")[:], path)
    unpacked = rows.with_format("arrow")[:].nbytes
    counted = sum(parquet_loading._found_bytes(str(path)))
    assert unpacked * 0.95 < counted < unpacked * 1.2


def client_bomb() -> list:
    """Runs in a process of its own, as a user of the Hub."""
    import tempfile

    from datasets import Dataset
    from huggingface_hub import HfApi

    from caddm_hf.dataset import parquet as parquet_loading

    parquet_loading.SPARE_BYTES = SPARE
    said = []
    for split, seed in (("train", 1), ("validation", 2)):
        rows = Dataset.from_list(list(made_rows(2, 1, seed)), features=FRAME_FEATURES)
        rows.push_to_hub("alice/made", split=split)
    said.append(len(open_split("alice/made", "train")))
    HfApi().create_repo("alice/bomb", repo_type="dataset")
    with tempfile.TemporaryDirectory() as folder:
        path = write_bomb(Path(folder), "picture", "once")
        HfApi().upload_file(
            path_or_fileobj=path,
            path_in_repo="train-00000-of-00001.parquet",
            repo_id="alice/bomb",
            repo_type="dataset",
        )
    for read in (open_split, lambda name, split: open_rows(name, ("image",), split)):
        try:
            read("alice/bomb", "train")
        except FrameDataError as error:
            said.append(str(error))
    return said


def test_bombs_on_the_hub(hub: LocalHub, tmp_path: Path) -> None:
    rows, *said = hub.run_client(client_bomb, tmp_path, "tok-alice")
    assert rows == 4
    assert len(said) == 2
    assert all(REFUSED in sentence for sentence in said)
