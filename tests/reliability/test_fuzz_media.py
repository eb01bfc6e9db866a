"""Hostile files through the guarded detector: nothing but that file's answer is ever lost."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.fuzz_media import Fuzzer, show

QUICK = 60
ALL = 2000
# Files that took their worker along: looking for so many faces gave no sign of life in time, on a
# machine with ten times more work than cores.
ONCE_LOST = {"a clip of 300 faces": 57, "a picture of 2,500 faces": 1177, "another clip": 1178}


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> Iterator[Fuzzer]:
    with Fuzzer(tmp_path_factory.mktemp("fuzz")) as fuzzer:
        yield fuzzer


def test_a_number_is_a_file(tmp_path: Path) -> None:
    """A failure can be looked at again."""
    makers = [Fuzzer(tmp_path / name) for name in ("a", "b") if not (tmp_path / name).mkdir()]
    for number in (0, 7, 15):
        (kind, one), (other_kind, other) = (maker.make(number) for maker in makers)
        assert kind == other_kind
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_hostile_files(fuzzer: Fuzzer) -> None:
    """Every kind of hostile file and address once, damage of every sort."""
    tally = fuzzer.run(iter(range(QUICK)))
    assert tally.answered == QUICK
    kinds = {kind.split(": ")[0] for kind, _ in tally.outcomes}
    assert kinds == {"damaged", "made", "address"}
    outcomes = {outcome for _, outcome in tally.outcomes}
    assert {"refused", "cannot_tell"} <= outcomes


@pytest.mark.slow
@pytest.mark.parametrize("number", ONCE_LOST.values(), ids=ONCE_LOST)
def test_what_was_once_lost(fuzzer: Fuzzer, number: int) -> None:
    tally = fuzzer.run(iter([number]))
    assert tally.lost == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_hostile_files(fuzzer: Fuzzer, capsys) -> None:
    start = psutil.Process().memory_info().rss
    handles = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    tally = fuzzer.run(iter(range(QUICK, ALL)))
    assert tally.answered == ALL - QUICK
    with capsys.disabled():
        show(tally)
    # This process only hands out names and gets short answers.
    assert psutil.Process().memory_info().rss < start + 100 * 2**20
    if handles:
        assert psutil.Process().num_fds() <= handles + 10
