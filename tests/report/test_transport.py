"""caddm_hf.report.transport: a report arrives as it was sent, or not at all."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from caddm_hf.guard.messages import decode, encode
from caddm_hf.report.files import ReportError
from caddm_hf.report.transport import report_from_data, report_to_data
from caddm_hf.report.video_report import VideoReport
from support.made_reports import made_person, made_report


@pytest.fixture
def report() -> VideoReport:
    """Two people, with heatmaps of noise; one face has no pictures."""
    people = [
        made_person(number, [(time_s, level + time_s / 1000) for time_s in range(6)])
        for number, level in ((1, 0.9), (2, 0.1))
    ]
    noise = np.random.default_rng(0).random((64, 64)).astype(np.float16)
    first = people[0].faces
    pictures = replace(first[0].pictures, heatmap=noise)
    first[0] = replace(first[0], pictures=pictures, alignment=np.full((2, 3), 1 / 3))
    first[1] = replace(first[1], pictures=None)
    return made_report(people, warnings=("A sentence.",))


def sent(data: object) -> object:
    """What arrives of data from a worker."""
    return decode(encode(2**29, "result", 1, data))[-1]


def test_a_report_arrives_bit_for_bit(report: VideoReport) -> None:
    arrived = report_from_data(sent(report_to_data(report)))
    assert arrived == report
    for before, after in zip(report.people, arrived.people, strict=True):
        for old, new in zip(before.faces, after.faces, strict=True):
            assert new.has_pictures is old.has_pictures
            assert new.artifact_boxes == old.artifact_boxes
            for name in ("crop_rgb", "heatmap", "alignment"):
                one, other = getattr(old, name), getattr(new, name)
                assert (one is None and other is None) or (
                    one.dtype == other.dtype and np.array_equal(one, other)
                )


def contradictory(data: dict) -> None:
    data["report"]["verdict"] = "real"


def without_people(data: dict) -> None:
    del data["report"]["people"]


def of_another_person(data: dict) -> None:
    data["pictures"][0][0] = 5


def of_text(data: dict) -> None:
    data["pictures"][0][0] = "0"


def no_array(data: dict) -> None:
    data["pictures"][0][2] = [[[0, 0, 0]]]


def unequal_sides(data: dict) -> None:
    data["pictures"][0][2] = np.zeros((64, 32, 3), np.uint8)


def too_large(data: dict) -> None:
    data["pictures"][0][2:] = np.zeros((513, 513, 3), np.uint8), np.zeros((513, 513), np.float16)


def other_numbers(data: dict) -> None:
    data["pictures"][0][3] = np.zeros((64, 64), np.float64)


def beyond_one(data: dict) -> None:
    data["pictures"][0][3] = np.full((64, 64), 2, np.float16)


def not_a_number(data: dict) -> None:
    data["pictures"][0][3] = np.full((64, 64), np.nan, np.float16)


@pytest.mark.parametrize(
    "change",
    [
        contradictory,
        without_people,
        of_another_person,
        of_text,
        no_array,
        unequal_sides,
        too_large,
        other_numbers,
        beyond_one,
        not_a_number,
    ],
)
def test_what_a_worker_must_not_send(report: VideoReport, change: Callable[[dict], None]) -> None:
    data = report_to_data(report)
    change(data)
    with pytest.raises(ReportError):
        report_from_data(sent(data))


@pytest.mark.parametrize("data", [None, [], "text", {"report": {}}, {"report": None}])
def test_what_is_no_report(data: object) -> None:
    with pytest.raises(ReportError):
        report_from_data(data)
