"""Plans, samples and streams: which rows are drawn, and what is made of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from datasets import Dataset, Image

from caddm_hf.augmentation.degradations import TrainingDegradations
from caddm_hf.augmentation.facial_swap import FacialSwapConfig, TrainingSample
from caddm_hf.dataset.frame_table import FrameRow, FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from caddm_hf.faces.landmarks import five_points
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.training.contact_sheet import CAPTION_PX, WINDOW_COLOUR, write_contact_sheet
from caddm_hf.training.plan import Forgery, ForgeryShares, TrainingPlan
from caddm_hf.training.samples import (
    KINDS,
    UNPAIRED,
    EvaluationFrames,
    SampleMaker,
    TrainingFrames,
    training_loader,
)
from caddm_hf.training.stream import StreamedFrames, streaming_loader
from support.made_collection import draw_face, made_rows, png_picture, write_collection, write_crops
from support.made_faces import sixty_eight_points

PORTRAIT_POINTS_XY = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)], float)
SIZE = 64


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("made"), 4, 2, frames=2, side=80)


@pytest.fixture
def table(collection: Path) -> FrameTable:
    return FrameTable(open_split(str(collection), "train"))


@pytest.fixture
def maker() -> SampleMaker:
    processor = CaddmImageProcessor(size=SIZE)
    return SampleMaker(FacialSwapConfig(image_size=SIZE), processor, seed=5)


# The plan of an epoch.

LABELS = np.array([0] * 7 + [1] * 20)


def test_an_epoch_shows_every_row_and_both_classes_alike():
    plan = TrainingPlan(LABELS, seed=1)
    rows, forgeries = plan.epoch(0)
    assert len(plan) == 40
    assert (forgeries == Forgery.GENUINE).sum() == 20
    counts = np.bincount(rows, minlength=27)
    assert set(counts[7:]) == {1}
    assert set(counts[:7]) == {2, 3}
    assert np.array_equal(LABELS[rows], (forgeries == Forgery.DATASET).astype(int))


def test_without_balance_every_row_is_shown_once():
    rows, _ = TrainingPlan(LABELS, seed=1, balanced=False).epoch(3)
    assert sorted(rows) == list(range(27))


def test_the_order_is_a_function_of_seed_and_epoch():
    one, other = (TrainingPlan(LABELS, seed=1) for _ in range(2))
    assert list(one.draws(10, 90)) == list(other.draws(10, 90))
    assert list(one.draws(0, 90))[55:] == list(other.draws(55, 90))
    assert not np.array_equal(one.epoch(0)[0], one.epoch(1)[0])
    assert not np.array_equal(one.epoch(0)[0], TrainingPlan(LABELS, seed=2).epoch(0)[0])


def test_forged_samples_come_from_where_the_shares_say():
    shares = ForgeryShares(dataset=2.0, self_blend=1.0, cross_blend=1.0)
    plan = TrainingPlan(LABELS, seed=1, shares=shares)
    rows, forgeries = plan.epoch(0)
    assert np.bincount(forgeries).tolist() == [20, 10, 5, 5]
    assert (LABELS[rows[forgeries >= Forgery.SELF_BLEND]] == 0).all()

    only_genuine = TrainingPlan(LABELS, 1, ForgeryShares(0.0, 1.0, 0.0))
    rows, forgeries = only_genuine.epoch(0)
    assert np.bincount(forgeries, minlength=4).tolist() == [7, 0, 7, 0]
    assert rows.max() < 7


def test_a_plan_knows_which_rows_its_draws_touch():
    plan = TrainingPlan(LABELS, seed=1)
    assert plan.rows_drawn(0).tolist() == []
    for count in (5, 40, 55):
        touched = sorted({draw.row for draw in plan.draws(0, count)})
        assert plan.rows_drawn(count).tolist() == touched
    crossing = TrainingPlan(LABELS, 1, ForgeryShares(1.0, 0.0, 1.0))
    assert set(range(7)) <= set(crossing.rows_drawn(1).tolist())
    some = TrainingPlan(LABELS, seed=1, rows=np.array([0, 3, 8, 9, 10]))
    assert set(some.epoch(0)[0]) == {0, 3, 8, 9, 10}


def test_a_plan_needs_both_classes():
    with pytest.raises(FrameDataError, match="no genuine"):
        TrainingPlan(np.ones(4, int), seed=1)
    with pytest.raises(FrameDataError, match="--self_blend_share"):
        TrainingPlan(np.zeros(4, int), seed=1)
    assert len(TrainingPlan(np.zeros(4, int), 1, ForgeryShares(0.0, 1.0, 0.0))) == 8


# Samples.


def frames_of(table: FrameTable, maker: SampleMaker, shares=ForgeryShares()) -> TrainingFrames:
    return TrainingFrames(table, TrainingPlan(table.labels, 5, shares), maker)


def test_a_sample_is_a_function_of_its_place_in_the_run(table: FrameTable, maker: SampleMaker):
    frames = frames_of(table, maker)
    draws = list(frames.plan.draws(0, 6))
    once = [frames[draw]["pixel_values"] for draw in draws]
    again = [frames[draw]["pixel_values"] for draw in reversed(draws)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    next_epoch = next(d for d in frames.plan.draws(16, 32) if d.row == draws[0].row)
    assert not torch.equal(frames[next_epoch]["pixel_values"], once[0])


@pytest.mark.timeout(120)
def test_loader_workers_change_nothing(table: FrameTable, maker: SampleMaker):
    frames = frames_of(table, maker, ForgeryShares(1.0, 1.0, 1.0))
    # OpenCV's threads, once started, must not make a forked worker wait for ever.
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
    own, foreign = (
        list(training_loader(frames, 6, 18, micro_batch=4, workers=workers)) for workers in (0, 2)
    )
    assert len(own) == 3
    for batch, same in zip(own, foreign, strict=True):
        assert batch.keys() == {"pixel_values", "labels", "artifact_boxes", "kinds"}
        assert all(torch.equal(batch[key], same[key]) for key in batch)
    assert own[0]["pixel_values"].shape == (4, 3, SIZE, SIZE)
    assert own[0]["artifact_boxes"].shape == (4, 2, 4)
    assert own[0]["labels"].dtype == torch.int64


def test_labels_and_boxes_say_what_was_made(table: FrameTable, maker: SampleMaker):
    frames = frames_of(table, maker, ForgeryShares(4.0, 1.0, 1.0))
    seen = set()
    for draw in frames.plan.draws(0, 60):
        sample = frames.sample(draw)
        inputs = maker.inputs(sample)
        kind = KINDS[inputs["kinds"]]
        seen.add(kind)
        genuine = kind.startswith("genuine")
        assert inputs["labels"] == (0 if genuine else 1)
        assert bool((inputs["artifact_boxes"] > 0).any()) != genuine
        if draw.forgery == Forgery.GENUINE:
            assert kind == "genuine"
        if draw.forgery == Forgery.SELF_BLEND:
            assert kind.startswith(("self-blended", "genuine-fallback"))
    assert {"genuine", "partial", "self-blended", "cross-blended"} <= seen
    assert UNPAIRED not in seen


def test_a_pair_of_different_moments_is_not_swapped(table: FrameTable, maker: SampleMaker):
    fake, other = table.row(1), table.row(4)
    row = FrameRow(fake.image_rgb, other.image_rgb, fake.points_xy, 1)
    kinds = {
        maker.sample(row, Forgery.DATASET, maker.rng(0, position)).kind for position in range(20)
    }
    assert kinds == {UNPAIRED}


def test_a_donor_is_of_another_video(table: FrameTable, maker: SampleMaker):
    frames = frames_of(table, maker, ForgeryShares(0.0, 0.0, 1.0))
    row = table.row(0)
    donors = {frames._donor(0, row, np.random.default_rng(seed)) for seed in range(30)}
    assert len(donors) > 1
    assert all(table.labels[d] == 0 for d in donors)
    assert all(table.source_ids[d] != table.source_ids[0] for d in donors)


def test_evaluation_sees_what_serving_sees(table: FrameTable, maker: SampleMaker):
    frames = EvaluationFrames(table, np.array([3, 4]), maker.processor)
    item = frames[1]
    row = table.row(4)
    expected = maker.processor(row.image_rgb, landmarks=row.points_xy)["pixel_values"][0]
    assert torch.equal(item["pixel_values"], expected)
    assert (item["labels"], item["rows"]) == (0, 4)


def test_sixty_eight_landmarks_are_used_where_a_row_has_them(maker: SampleMaker):
    landmarks = sixty_eight_points()
    picture, _ = draw_face(np.random.default_rng(0), 200)
    row = next(made_rows(1, 1, 0))
    row |= {"image": png_picture(picture), "landmarks": landmarks.tolist()}
    dataset = Dataset.from_list([row], features=FRAME_FEATURES)
    for column in ("image", "source_image"):
        dataset = dataset.cast_column(column, Image(decode=False))
    table = FrameTable(dataset)
    assert table.landmarks(0).shape == (68, 2)
    with_all = maker.sample(table.row(0), Forgery.SELF_BLEND, maker.rng(0, 1))
    five = FrameRow(table.image_rgb(0), None, five_points(landmarks), 0)
    with_five = maker.sample(five, Forgery.SELF_BLEND, maker.rng(0, 1))
    assert with_all.kind == "self-blended"
    assert not np.array_equal(with_all.image_rgb, with_five.image_rgb)
    crop = EvaluationFrames(table, np.array([0]), maker.processor)[0]["pixel_values"]
    expected = maker.processor(picture, landmarks=five_points(landmarks))["pixel_values"][0]
    assert torch.equal(crop, expected)


def test_degradations_fall_on_both_classes_alike(table: FrameTable):
    config = FacialSwapConfig(image_size=SIZE, degradations=TrainingDegradations(strength=0))
    clean = SampleMaker(config, CaddmImageProcessor(size=SIZE), seed=5)
    degraded = SampleMaker(FacialSwapConfig(image_size=SIZE), clean.processor, seed=5)
    changed = {0: 0, 1: 0}
    for position in range(40):
        for number in (0, 1):
            row = table.row(number)
            pictures = [
                m.sample(row, Forgery(number), m.rng(0, position)).image_rgb
                for m in (clean, degraded)
            ]
            changed[number] += not np.array_equal(*pictures)
    assert changed == {0: 40, 1: 40}


# Streams.


def streamed(
    collection: Path, maker: SampleMaker, draws: range, processes=1, process=0, shares=None
) -> StreamedFrames:
    stream = open_split(str(collection), "train", streaming=True)
    shares = shares or ForgeryShares(1.0, 1.0, 0.0)
    return StreamedFrames(stream, maker, shares, draws, 2, processes, process)


def test_a_stream_is_dealt_out_once_and_goes_on_where_it_stopped(
    collection: Path, maker: SampleMaker
):
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


def test_a_contact_sheet_shows_boxes(tmp_path: Path):
    boxes = np.array([(0, 0, 1, 1), (0.25, 0.5, 0.75, 1)], np.float32)
    grey = np.full((64, 64, 3), 100, np.uint8)
    forged = TrainingSample(grey, 1, boxes, "partial", None)
    genuine = TrainingSample(grey, 0, np.zeros((2, 4), np.float32), "genuine", None)
    write_contact_sheet([forged, genuine] * 5, tmp_path / "new" / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "new" / "sheet.png"), cv2.IMREAD_COLOR_RGB)
    assert sheet.shape == (2 * (64 + CAPTION_PX), 8 * 64, 3)
    assert sheet[40, 16].tolist() == list(WINDOW_COLOUR)
    assert (sheet[:64, 64:128] == 100).all()
    assert (sheet[64:, 64:128] > 100).any()


def test_without_the_facial_swap_fakes_stay_as_they_are(table: FrameTable):
    config = FacialSwapConfig(
        image_size=SIZE, degradations=TrainingDegradations(strength=0), flip_probability=0.0
    )
    plain = SampleMaker(config, CaddmImageProcessor(size=SIZE), seed=5, swap_faces=False)
    number = int(np.flatnonzero(table.has_source)[0])
    kinds = {
        plain.sample(table.row(number), Forgery.DATASET, np.random.default_rng(seed)).kind
        for seed in range(12)
    }
    assert kinds == {"fake"}
    genuine = table.row(int(np.flatnonzero(table.labels == 0)[0]))
    assert plain.sample(genuine, Forgery.GENUINE, np.random.default_rng(0)).label == 0
