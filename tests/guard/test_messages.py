"""caddm_hf.guard.messages: whatever bytes come, a message or `MessageError`."""

import json
import pickle

import numpy as np
import pytest

from caddm_hf.guard import messages
from caddm_hf.guard.messages import LENGTH, MessageError, MessageTooLargeError, decode, encode

MAX_BYTES = 2**20


def message(header: object, tail: bytes = b"") -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return LENGTH.pack(len(data)) + data + tail


def test_values_and_arrays_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    sent = {
        "text": '\ud800 "quoted" \u2028',
        "numbers": [0.1, -0.0, 2**70, True, None],
        "array": rng.random((3, 5))[:, ::2],
        "kinds": [np.ones((), dtype) for dtype in sorted(messages.ARRAY_TYPES)],
        "scalar": np.float32(0.1),
    }
    kind, number, value = decode(encode(MAX_BYTES, "result", 7, sent))
    assert (kind, number) == ("result", 7)
    assert np.array_equal(value.pop("array"), sent.pop("array"))
    kinds = value.pop("kinds")
    assert [one.dtype.str for one in kinds] == [one.dtype.str for one in sent.pop("kinds")]
    assert all(one.shape == () for one in kinds)
    assert value == sent


def test_arrays_can_be_changed_and_hold_no_more_than_themselves() -> None:
    sent = [np.zeros(1000, np.uint8), np.ones(3, np.uint8)]
    _, _, (_, small) = decode(encode(MAX_BYTES, "result", 1, sent))
    small += 1
    assert small.base is None


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        1j,
        {(1, 2): 3},
        np.array([None]),
        np.array(["a"]),
        np.ones(2, "c8"),
    ],
)
def test_values_that_cannot_be_sent(value: object) -> None:
    with pytest.raises(MessageError, match="cannot return"):
        encode(MAX_BYTES, "result", 1, value)


def test_nesting_without_end_cannot_be_sent() -> None:
    value: list = []
    value.append(value)
    with pytest.raises((MessageError, ValueError)):
        encode(MAX_BYTES, "result", 1, value)


def test_what_is_too_large_is_not_sent(monkeypatch) -> None:
    array = np.zeros(1000, np.uint8)
    assert encode(2000, "result", 1, array)
    with pytest.raises(MessageTooLargeError):
        encode(1000, "result", 1, array)
    monkeypatch.setattr(messages, "MAX_VALUES", 20)
    with pytest.raises(MessageTooLargeError):
        encode(MAX_BYTES, "result", 1, [0] * 20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        pickle.dumps(("result", 1, 2)),
        message(b"not JSON"),
        message(b"[" * 100_000),
        message([]),
        message({"arrays": [], "message": []}),
        message({"arrays": [], "message": "result"}),
        message({"arrays": [], "message": ["no such kind", 1]}),
        message({"arrays": [], "message": [["result"], 1, 2]}),
        message({"arrays": [], "message": ["result", 1]}),
        message({"arrays": [], "message": ["result", "1", 2]}),
        message({"arrays": [], "message": ["unusable", 1, {"not": "text"}]}),
        message({"arrays": [], "message": ["progress", 1, "stage", 0.5, 1]}),
        message({"arrays": [], "message": ["result", 1, {"$array": 0}]}),
        message({"arrays": [], "message": ["result", 1, 2]}, b"more"),
        message({"arrays": [["|O", [1]]], "message": ["alive", 1]}, bytes(8)),
        message({"arrays": [["|u1", [5]]], "message": ["alive", 1]}, b"four"),
        message({"arrays": [["|u1", [2**40]]], "message": ["alive", 1]}, b"four"),
        message({"arrays": [["|u1", [2**62, 2**62]]], "message": ["alive", 1]}, b"four"),
        message({"arrays": [["|u1", [-4]]], "message": ["alive", 1]}, b"four"),
        message({"arrays": [["|u1", ["4"]]], "message": ["alive", 1]}, b"four"),
        message({"arrays": [["|u1", [1] * 100]], "message": ["alive", 1]}, b"1"),
    ],
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode(data)


@pytest.mark.parametrize("part", [b"0,", b"[],", b"{},", b"[[[[]]]],"])
def test_short_json_of_many_objects_is_not_read(monkeypatch, part: bytes) -> None:
    monkeypatch.setattr(messages, "MAX_VALUES", 1000)
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("was read"))
    with pytest.raises(MessageError, match="too many values"):
        decode(message(b"[" + part * 1000 + b"0]"))


def test_an_array_named_often_is_one_array() -> None:
    """So that a message cannot multiply its size."""
    many = [{"$array": 0}] * 1000
    header = {"arrays": [["|u1", [4]]], "message": ["result", 1, many]}
    _, _, arrays = decode(message(header, b"four"))
    assert len(set(map(id, arrays))) == 1


def test_damaged_messages() -> None:
    """Every bit of a message turned: still a message, or `MessageError`."""
    whole = encode(MAX_BYTES, "result", 1, {"a": np.arange(4, dtype=np.uint8), "b": [1.5, "text"]})
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        try:
            decode(bytes(data))
        except MessageError:
            continue
