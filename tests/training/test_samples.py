"""What is made of drawn rows: samples, pairs of samples and evaluation crops."""

import cv2
import numpy as np
import pytest
import torch
from datasets import Dataset, Image

from caddm_hf.augmentation import degradations
from caddm_hf.augmentation.degradations import TrainingDegradations, shrink
from caddm_hf.augmentation.facial_swap import FacialSwapConfig, TrainingSample
from caddm_hf.dataset.frame_table import FrameRow, FrameTable
from caddm_hf.dataset.schema import FRAME_FEATURES
from caddm_hf.faces.landmarks import five_points
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.training.plan import Forgery, ForgeryShares, Origins, TrainingPlan
from caddm_hf.training.samples import (
    KINDS,
    UNPAIRED,
    EvaluationFrames,
    SampleMaker,
    TrainingFrames,
    training_loader,
)
from support.made_collection import draw_face, made_rows, png_picture
from support.made_faces import sixty_eight_points
from support.training_runs import TINY_SIZE


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
    assert own[0]["pixel_values"].shape == (4, 3, TINY_SIZE, TINY_SIZE)
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
    config = FacialSwapConfig(image_size=TINY_SIZE, degradations=TrainingDegradations(strength=0))
    clean = SampleMaker(config, CaddmImageProcessor(size=TINY_SIZE), seed=5)
    degraded = SampleMaker(FacialSwapConfig(image_size=TINY_SIZE), clean.processor, seed=5)
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


def test_without_the_facial_swap_fakes_stay_as_they_are(table: FrameTable):
    config = FacialSwapConfig(
        image_size=TINY_SIZE, degradations=TrainingDegradations(strength=0), flip_probability=0.0
    )
    plain = SampleMaker(config, CaddmImageProcessor(size=TINY_SIZE), seed=5, swap_faces=False)
    number = int(np.flatnonzero(table.has_source)[0])
    kinds = {
        plain.sample(table.row(number), Forgery.DATASET, np.random.default_rng(seed)).kind
        for seed in range(12)
    }
    assert kinds == {"fake"}
    genuine = table.row(int(np.flatnonzero(table.labels == 0)[0]))
    assert plain.sample(genuine, Forgery.GENUINE, np.random.default_rng(0)).label == 0


# Pairs.


def paired_frames(
    table: FrameTable, config: FacialSwapConfig, shares: ForgeryShares, swap_faces: bool = True
) -> TrainingFrames:
    maker = SampleMaker(config, CaddmImageProcessor(size=config.image_size), 5, swap_faces)
    origins = Origins(
        np.array(table.source_ids), table.twins, np.array(table.datasets), paired=True
    )
    return TrainingFrames(table, TrainingPlan(table.labels, 5, shares, origins=origins), maker)


def pairs_of(frames: TrainingFrames, count: int) -> list[tuple[TrainingSample, TrainingSample]]:
    samples = [frames.sample(draw) for draw in frames.plan.draws(0, 2 * count)]
    return list(zip(samples[::2], samples[1::2], strict=True))


def test_a_pair_is_aligned_and_flipped_alike(table: FrameTable):
    config = FacialSwapConfig(image_size=TINY_SIZE, degradations=TrainingDegradations(strength=0))
    flipped = 0
    for forged, genuine in pairs_of(paired_frames(table, config, ForgeryShares(0, 0, 1)), 12):
        unchanged = ~forged.changed_mask
        difference = cv2.absdiff(forged.image_rgb, genuine.image_rgb)[unchanged]
        assert difference.mean() < 3
        mirrored = cv2.absdiff(forged.image_rgb[:, ::-1], genuine.image_rgb)[unchanged[:, ::-1]]
        flipped += mirrored.mean() > 3
        assert (forged.label, genuine.label) == (1, 0) or forged.kind == "genuine-fallback"
    assert flipped == 12


def test_a_pair_of_equal_pictures_is_degraded_to_equal_crops(table: FrameTable):
    """With the fakes' pictures in place of the genuine ones, only the labels tell them apart."""
    config = FacialSwapConfig(
        image_size=TINY_SIZE,
        degradations=TrainingDegradations(
            h264_probability=0.5,
            shrink_probability=0.5,
            shrink_side_px=(20, 60),
            retouch_probability=0.5,
        ),
    )
    frames = paired_frames(table, config, ForgeryShares(), swap_faces=False)
    maker = frames.maker
    crops = []
    for forged, genuine in zip(
        frames.plan.draws(0, 16), list(frames.plan.draws(0, 17))[1:], strict=True
    ):
        if forged.pair != genuine.pair:
            continue
        row = table.row(forged.row)
        for draw, label in ((forged, 1), (genuine, 0)):
            sample = maker.sample(
                FrameRow(row.image_rgb, None, row.points_xy, label),
                draw.forgery,
                maker.rng(draw.epoch, draw.position),
                shared=maker.shared_rng(draw),
            )
            crops.append(sample.image_rgb)
            assert sample.label == label
    assert len(crops) == 16
    for forged_crop, genuine_crop in zip(crops[::2], crops[1::2], strict=True):
        assert np.array_equal(forged_crop, genuine_crop)


def test_both_classes_are_shrunk_to_the_same_sizes(table: FrameTable, monkeypatch):
    factors: list[float] = []

    def note(image: np.ndarray, factor: float) -> np.ndarray:
        factors.append(factor)
        return shrink(image, factor)

    monkeypatch.setattr(degradations, "shrink", note)
    config = FacialSwapConfig(
        image_size=TINY_SIZE,
        degradations=TrainingDegradations(shrink_probability=0.6, shrink_side_px=(20, 60)),
    )
    of_class: dict[int, list[float | None]] = {0: [], 1: []}
    frames = paired_frames(table, config, ForgeryShares(1, 1, 1))
    for draw in frames.plan.draws(0, 64):
        factors.clear()
        frames.sample(draw)
        of_class[int(draw.forgery != Forgery.GENUINE)].append(factors[0] if factors else None)
    assert of_class[0] == of_class[1]
    sizes = [TINY_SIZE * factor for factor in of_class[0] if factor]
    assert 10 < len(sizes) < 30
    assert 20 <= min(sizes) < 30
    assert 45 < max(sizes) <= 60


def test_without_pairs_a_sample_draws_everything_itself(table: FrameTable, maker: SampleMaker):
    draw = next(TrainingPlan(table.labels, 5).draws(0, 1))
    assert draw.pair is None
    assert maker.shared_rng(draw) is None
