"""Samples from a stream of rows: order, resuming, refusals."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset

from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from caddm_hf.training.plan import ForgeryShares
from caddm_hf.training.samples import SampleMaker
from caddm_hf.training.stream import StreamedFrames, streaming_loader
from support.made_collection import made_rows, write_crops


def streamed(
    collection: Path, maker: SampleMaker, draws: range, processes=1, process=0, shares=None
) -> StreamedFrames:
    stream = open_split(str(collection), "train", streaming=True)
    shares = shares or ForgeryShares(1.0, 1.0, 0.0)
    return StreamedFrames(stream, maker, shares, draws, 2, processes, process)


def test_a_stream_is_dealt_out_once_and_goes_on_where_it_stopped(
    drawn_collection: Path, maker: SampleMaker
):
    collection = drawn_collection
    whole = list(streaming_loader(streamed(collection, maker, range(24)), workers=0))
    assert len(whole) == 12
    labels = torch.cat([batch["labels"] for batch in whole])
    assert set(labels.tolist()) == {0, 1}

    def same(one: list[dict], other: list[dict]) -> None:
        assert len(one) == len(other)
        for batch, expected in zip(one, other, strict=True):
            assert all(torch.equal(batch[key], expected[key]) for key in expected)

    same(list(streaming_loader(streamed(collection, maker, range(8, 24)), workers=0)), whole[4:])
    same(list(streaming_loader(streamed(collection, maker, range(24)), workers=2)), whole)
    for process in (0, 1):
        part = streamed(collection, maker, range(24), processes=2, process=process)
        same(list(streaming_loader(part, workers=0)), whole[process::2])


def test_a_stream_needs_landmarks_and_both_classes(tmp_path: Path, maker: SampleMaker):
    with pytest.raises(FrameDataError, match="needs rows with landmarks"):
        streamed(write_crops(tmp_path / "crops"), maker, range(2))
    genuine = [row for row in made_rows(2, 1, 0) if row["label"] == "real"]
    (tmp_path / "genuine").mkdir()
    Dataset.from_list(genuine, features=FRAME_FEATURES).to_parquet(
        tmp_path / "genuine" / "train-0.parquet"
    )
    frames = streamed(tmp_path / "genuine", maker, range(8), shares=ForgeryShares())
    with pytest.raises(FrameDataError, match="no fake rows"):
        list(frames)
