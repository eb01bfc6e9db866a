"""Which rows an epoch draws, in which order, and what is made of each."""

import numpy as np
import pytest

from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.training.plan import Draw, Forgery, ForgeryShares, Origins, TrainingPlan

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


# Draws by data set and in pairs. Rows 0 to 5 are genuine, 6 to 13 forged; "P" has portraits only.

KINDS = np.array([0] * 6 + [1] * 8)
SOURCES = np.array(["a", "a", "b", "c", "p", "q", *"aaabbbcz"])
TWINS = np.array([-1] * 6 + [1, -1, -1, -1, -1, -1, -1, -1])
PLAIN_ROWS = [8, 4, 1, 11, 4, 6, 0, 12, 1, 9, 7, 13, 2, 3, 10, 5]
DATASETS = np.array(["A", "A", "A", "B", "P", "P", *"AAAAAABB"])


def plan_of(
    shares: dict[str, float] | None = None, paired: bool = False, **options
) -> TrainingPlan:
    origins = Origins(SOURCES, TWINS, DATASETS, shares or {}, paired)
    return TrainingPlan(KINDS, 1, origins=origins, **options)


def test_without_the_options_the_plan_is_the_former_one():
    """The rows that version 0.1.0 drew."""
    rows, forgeries = TrainingPlan(KINDS, 1).epoch(0)
    assert rows.tolist() == PLAIN_ROWS
    assert forgeries.tolist() == KINDS[rows].tolist()
    for epoch in range(3):
        for plain, other in zip(
            TrainingPlan(KINDS, 1).epoch(epoch), plan_of().epoch(epoch), strict=True
        ):
            assert np.array_equal(plain, other)
    assert next(plan_of().draws(0, 1)) == Draw(0, 0, PLAIN_ROWS[0], Forgery(KINDS[PLAIN_ROWS[0]]))


def test_every_forged_draw_is_followed_by_a_genuine_one_of_its_source():
    plan = plan_of(paired=True)
    assert len(plan) == 16
    for epoch in range(20):
        draws = list(plan.draws(16 * epoch, 16 * epoch + 16))
        assert sorted(draw.row for draw in draws[::2]) == list(range(6, 14))
        for number, (forged, genuine) in enumerate(zip(draws[::2], draws[1::2], strict=True)):
            assert (forged.forgery, genuine.forgery) == (Forgery.DATASET, Forgery.GENUINE)
            assert forged.pair == genuine.pair == number
            assert KINDS[genuine.row] == 0
            if TWINS[forged.row] >= 0:
                assert genuine.row == TWINS[forged.row]
            elif SOURCES[forged.row] in SOURCES[:6]:
                assert SOURCES[genuine.row] == SOURCES[forged.row]
            else:
                assert DATASETS[genuine.row] == DATASETS[forged.row]


def test_a_partner_is_one_of_the_rows_in_use():
    """The twin and the sources' rows may have been left out by --max_train_samples."""
    plan = plan_of(paired=True, rows=np.array([2, 4, 6, 12]))
    draws = list(plan.draws(0, 4))
    partners = {f.row: g.row for f, g in zip(draws[::2], draws[1::2], strict=True)}
    assert partners[6] == 2  # of the same data set
    assert partners[12] in (2, 4)  # any


def test_a_blend_is_followed_by_the_row_it_was_made_of():
    blends = TrainingPlan(
        KINDS, 1, ForgeryShares(0.0, 1.0, 1.0), origins=Origins(SOURCES, TWINS, DATASETS, {}, True)
    )
    assert len(blends) == 12
    draws = list(blends.draws(0, 12))
    for forged, genuine in zip(draws[::2], draws[1::2], strict=True):
        assert forged.forgery in (Forgery.SELF_BLEND, Forgery.CROSS_BLEND)
        assert forged.row == genuine.row
    plan = plan_of(paired=True)
    assert plan.rows_drawn(16).tolist() == sorted({draw.row for draw in plan.draws(0, 16)})


def test_data_sets_are_drawn_by_their_shares():
    plan = plan_of({"A": 2.0, "B": 1.0, "P": 1.0})
    rows, forgeries = plan.epoch(0)
    genuine, forged = rows[forgeries == Forgery.GENUINE], rows[forgeries == Forgery.DATASET]
    assert (len(genuine), len(forged)) == (8, 8)
    assert [int((DATASETS[genuine] == name).sum()) for name in "ABP"] == [4, 2, 2]
    assert [int((DATASETS[forged] == name).sum()) for name in "AB"] == [5, 3]  # 2 : 1 of 8
    counts = np.bincount(genuine, minlength=6)
    assert sorted(counts[:3]) == [1, 1, 2]  # evenly inside a data set
    without = plan_of({"A": 1.0, "B": 0.0, "P": 1.0})
    assert "B" not in DATASETS[without.epoch(0)[0]]


def test_shares_name_every_data_set_and_no_other():
    with pytest.raises(FrameDataError, match="names 'C', which the training data"):
        plan_of({"A": 1.0, "B": 1.0, "P": 1.0, "C": 1.0})
    with pytest.raises(FrameDataError, match="does not name 'P': the data sets are A, B, P"):
        plan_of({"A": 1.0, "B": 1.0})
    with pytest.raises(FrameDataError, match="no share to a data set with fake rows"):
        plan_of({"A": 0.0, "B": 0.0, "P": 1.0})
