"""Messages from a worker: JSON and raw arrays, checked before use and never unpickled.

A worker that a hostile file has taken over can send any bytes. Reading a message therefore never
runs code that the bytes name, and needs memory only in proportion to their number.

A message is the length of its JSON (4 bytes, big-endian), the JSON, and the bytes of the arrays one
after the other. The JSON is `{"arrays": [[dtype, shape], ...], "message": [kind, ...]}`; an array
within the message is `{"$array": index}`.
"""

import json
import struct
from typing import Any

import numpy as np

ARRAY_KEY = "$array"
ARRAY_TYPES = frozenset({"|u1", "<i8", "<f2", "<f4", "<f8"})
# Parsed JSON takes up to about 100 times its size, so the number of values is limited, too.
MAX_JSON_BYTES = 2**26
MAX_VALUES = 4_000_000
LENGTH = struct.Struct(">I")

# Kind of message -> types of its contents. All but the first two kinds start with the job's number.
CONTENTS: dict[str, tuple[type, ...]] = {
    "ready": (object,),
    "no start": (str,),
    "alive": (int,),
    "step": (int, str),
    "progress": (int, str, int, int),
    "result": (int, object),
    "unusable": (int, str),
    "stopped": (int,),
    "memory": (int,),
    "too large": (int,),
    "failed": (int, str, str),
}


class MessageError(ValueError):
    """Bytes that are not a message, or a value that cannot be sent."""


class MessageTooLargeError(MessageError):
    """A value has too many parts or bytes to be sent."""


def encode(max_bytes: int, kind: str, *contents: Any) -> bytes:
    """Return the bytes of a message.

    Args:
        max_bytes: how many bytes the receiver accepts.
        kind: a key of `CONTENTS`.
        contents: None, booleans, numbers, strings, lists, tuples, dicts with string keys, and
            numpy arrays of the types `ARRAY_TYPES`; tuples arrive as lists.

    Raises:
        MessageError: a value is of another type.
        MessageTooLargeError: the message is larger than the receiver accepts.
    """
    arrays: list[np.ndarray] = []

    def add_array(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray) or value.dtype.str not in ARRAY_TYPES:
            raise MessageError(f"A worker cannot return a value of type {type(value).__name__}.")
        arrays.append(np.asarray(value, order="C"))
        return {ARRAY_KEY: len(arrays) - 1}

    try:
        message = json.dumps([kind, *contents], default=add_array)
    except (TypeError, RecursionError) as error:  # keys that are no strings, or deep nesting
        raise MessageError(f"A worker cannot return this value: {error}.") from error
    heads = json.dumps([[array.dtype.str, array.shape] for array in arrays])
    header = f'{{"arrays": {heads}, "message": {message}}}'.encode()
    total = LENGTH.size + len(header) + sum(array.nbytes for array in arrays)
    if total > max_bytes or not _acceptable(header):
        raise MessageTooLargeError("A message is too large.")
    # A view as bytes needs one dimension.
    buffers = [array.reshape(-1).view(np.uint8) for array in arrays]
    return b"".join([LENGTH.pack(len(header)), header, *buffers])


def _acceptable(header: bytes) -> bool:
    count = sum(map(header.count, (b",", b"[", b"{")))
    return len(header) <= MAX_JSON_BYTES and count <= MAX_VALUES


def decode(data: bytes) -> tuple:
    """Return the kind of a message and its contents, which have the types in `CONTENTS`.

    Raises:
        MessageError: `data` is not a valid message.
    """
    try:
        (length,) = LENGTH.unpack_from(data)
        header = data[LENGTH.size : LENGTH.size + length]
        if not _acceptable(header):
            raise MessageError("A message holds too many values.")
        found = json.loads(header)
        arrays = _arrays(found["arrays"], data, LENGTH.size + length)
        kind, *contents = _with_arrays(found["message"], arrays)
        types = CONTENTS[kind]
    except MessageError:
        raise
    except Exception as error:  # garbled bytes can raise any exception
        raise MessageError("A message is garbled.") from error
    if len(contents) != len(types) or not all(map(isinstance, contents, types)):
        raise MessageError(f"A message of kind {kind} has other contents than it should.")
    return kind, *contents


def _arrays(heads: list, data: bytes, start: int) -> list[np.ndarray]:
    """Return copies of the arrays, which must take up all bytes from `start` on."""
    arrays = []
    for dtype, shape in heads:
        if dtype not in ARRAY_TYPES:
            raise MessageError("An array is of a type that is not sent.")
        array = np.ndarray(tuple(shape), dtype, data, start)  # raises beyond the end of `data`
        start += array.nbytes
        arrays.append(array.copy())
    if start != len(data):
        raise MessageError("A message has more bytes than its arrays.")
    return arrays


def _with_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if isinstance(value, dict):
        if ARRAY_KEY in value:
            return arrays[value[ARRAY_KEY]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    return value
