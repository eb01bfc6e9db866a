"""caddm_hf.page.checks.Line: first come, first served, and everybody knows their place."""

import asyncio

import pytest

from caddm_hf.page.checks import Line, LineFullError


def test_visitors_are_served_in_order_and_hear_how_many_are_ahead():
    served, heard = [], {name: [] for name in "abc"}

    async def visit(line: Line, name: str) -> None:
        with line.join() as place:
            await place.reach_front(heard[name].append)
            served.append(name)
            await asyncio.sleep(0.25)

    async def all_visit() -> None:
        line = Line()
        await asyncio.gather(*(visit(line, name) for name in "abc"))
        assert line.places == []

    asyncio.run(all_visit())
    assert served == ["a", "b", "c"]
    assert heard["a"] == []
    assert set(heard["b"]) == {1}
    assert list(dict.fromkeys(heard["c"])) == [2, 1]


def test_as_many_at_once_as_are_allowed():
    async def visit() -> None:
        line = Line(at_once=2)
        with line.join() as first, line.join() as second, line.join() as third:
            await first.reach_front(pytest.fail)
            await second.reach_front(pytest.fail)
            assert third.ahead == 2

    asyncio.run(visit())


def test_whoever_leaves_makes_room():
    async def visit() -> None:
        line = Line()
        with line.join() as front:
            with line.join() as middle:
                last = line.join()
                with last as place:
                    assert (front.ahead, middle.ahead, place.ahead) == (0, 1, 2)
            assert line.places == [front]

    asyncio.run(visit())


def test_a_full_line_is_refused():
    line = Line(at_once=1, longest=1)
    with line.join(), line.join():
        with pytest.raises(LineFullError), line.join():
            pass
        assert len(line.places) == 2


def test_a_wait_ends_when_telling_raises():
    def leave(ahead: int) -> None:
        raise KeyError(ahead)

    async def visit() -> None:
        line = Line()
        with line.join():
            with pytest.raises(KeyError), line.join() as place:
                await place.reach_front(leave)
            assert len(line.places) == 1

    asyncio.run(visit())
