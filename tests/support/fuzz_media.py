"""A fuzzer: hostile files, each a function of (seed, number), through the guarded detector.

    python tests/support/fuzz_media.py --first 0 --count 200 --table slice.json

prints what became of them, by kind. `test_fuzz_media.py` runs it.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

import psutil

from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.guarded import DetectorSource, GuardedDetector
from caddm_hf.guard.limits import GuardLimits, WorkerLostError
from caddm_hf.guard.pool import LOCK_NAME
from caddm_hf.media.limits import MediaError, MediaLimits
from support.fuzz_sources import EXTREMES, HOSTILE, write_sources
from support.made_server import Handler, Server

SEED = 20261124
FRAMES = 4
GUARD = GuardLimits(memory_bytes=3 * 2**30, job_s=120.0, silence_s=60.0)
MEDIA = MediaLimits(max_file_bytes=32 * 2**20, decode_timeout_s=10.0)
LOADING_S = 60.0  # a replaced worker has to load before the next file has its turn
# Of 20 files: damaged ones, hostile ones, and addresses.
DAMAGED, MADE = 15, 4
# Parts of files in which a wrong number does most.
FIELDS = (
    b"moov mvhd tkhd mdhd hdlr stsd avc1 avcC stts ctts stss stsc stsz stco elst trun tfhd moof "
    b"mdat RIFF LIST avih strh strf idx1 movi IHDR PLTE acTL fcTL fdAT VP8 VP8X ANMF meta iloc ispe"
).split()


# --- damage --------------------------------------------------------------------------------


def flip_bits(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    for place in rng.integers(0, len(content), int(rng.integers(1, 65))):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def flip_header_bits(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    end = min(len(content), 512)
    for place in rng.integers(0, end, int(rng.integers(1, 9))):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def cut_off(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    return content[: int(rng.integers(1, len(content)))]


def take_out(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    start, end = sorted(int(n) for n in rng.integers(0, len(content), 2))
    return content[:start] + content[end:] or content


def repeat(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    start, end = sorted(int(n) for n in rng.integers(0, len(content), 2))
    return content[:end] + content[start:end] * int(rng.integers(1, 20)) + content[end:]


def blank(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    start = int(rng.integers(len(content)))
    end = min(len(content), start + int(rng.integers(1, 2000)))
    content[start:end] = bytes([int(rng.choice([0, 255]))]) * (end - start)
    return content


def put_in(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    place = int(rng.integers(len(content)))
    return content[:place] + rng.bytes(int(rng.integers(1, 500))) + content[place:]


def edit_numbers(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    """Extreme values anywhere in the first kilobytes."""
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(0, max(1, min(len(content), 4096) - 4)))
        _put_extreme(rng, content, place)
    return content


def edit_fields(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    """Extreme values in the fields after a name that the format gives."""
    places = [content.index(name) for name in FIELDS if name in content]
    for _ in range(int(rng.integers(1, 5))):
        if not places:
            return edit_numbers(rng, content, other)
        place = places[int(rng.integers(len(places)))]
        _put_extreme(rng, content, max(0, place + int(rng.integers(-4, 60))))
    return content


def _put_extreme(rng: np.random.Generator, content: bytearray, place: int) -> None:
    size = int(rng.choice([1, 2, 4, 8]))
    value = int(rng.choice(EXTREMES)) & (256**size - 1)
    order = "big" if rng.integers(2) else "little"
    end = min(len(content), place + size)
    content[place:end] = value.to_bytes(size, order)[: end - place]


def splice(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    """The start of one file and the end of another."""
    return content[: int(rng.integers(len(content)))] + other[int(rng.integers(len(other))) :]


def append(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    return content + other


def swap(rng: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    first, second, third = sorted(int(n) for n in rng.integers(0, len(content), 3))
    return (
        content[:first] + content[second:third] + content[first:second] + content[third:] or content
    )


Damage = Callable[[np.random.Generator, bytearray, bytes], bytearray]
DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        flip_bits,
        flip_header_bits,
        cut_off,
        take_out,
        repeat,
        blank,
        put_in,
        edit_numbers,
        edit_fields,
        splice,
        append,
        swap,
    )
}


# --- addresses -----------------------------------------------------------------------------


def endless(handler: Handler) -> None:
    """A stream without an end, as fast as it is taken."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
    while True:
        handler.wfile.write(b"G@\x00\x10" + bytes(2**16 - 4))


def endless_head(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Filler: " + b"x" * 2**12 + b"\r\n")


def chunks_of_nonsense(handler: Handler) -> None:
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
    )
    handler.wfile.write(bytes(5000))


def round_and_round(handler: Handler) -> None:
    handler.give(b"", status=302, Location="/round_and_round")


def gone_in_the_middle(handler: Handler) -> None:
    handler.give(bytes(5000), Content_Length="50000")


def packed(handler: Handler) -> None:
    """Says it is compressed, though that was not asked for."""
    handler.give(b"\x1f\x8b\x08\0" + bytes(2000), Content_Encoding="gzip")


def into_the_files(handler: Handler) -> None:
    handler.give(b"", status=302, Location="file:///etc/passwd")


def refused(handler: Handler) -> None:
    handler.give(b"<b>no</b>", status=403)


ADDRESSES = (
    endless,
    endless_head,
    chunks_of_nonsense,
    round_and_round,
    gone_in_the_middle,
    packed,
    into_the_files,
    refused,
)


# --- running -------------------------------------------------------------------------------


@dataclass
class Tally:
    """What became of the files.

    Attributes:
        outcomes: (kind, outcome) -> files. Outcomes are the verdicts, "refused" (with a sentence)
            and "lost: " with the cause.
        slowest: seconds of the longest wait for an answer, number and kind of that file.
        lost: numbers of files that took their worker along, with kind and cause.
    """

    outcomes: Counter = field(default_factory=Counter)
    slowest: tuple[float, int, str] = (0.0, 0, "")
    lost: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """How many files got an answer."""
        return sum(self.outcomes.values())

    def to_dict(self) -> dict:
        """For JSON."""
        rows = [[*key, count] for key, count in sorted(self.outcomes.items())]
        return {"outcomes": rows, "slowest": self.slowest, "lost": self.lost}


class Fuzzer:
    """Makes files and has them judged; a context manager.

    Args:
        folder: for everything that is written.
        seed: with a file's number it decides the file.
        patience: factor on the guard's limits on time, for a machine that has other work.
    """

    def __init__(self, folder: Path, seed: int = SEED, patience: float = 1.0):
        self._seed = seed
        self._guard = replace(
            GUARD, job_s=GUARD.job_s * patience, silence_s=GUARD.silence_s * patience
        )
        self._answer_within_s = self._guard.job_s + LOADING_S * patience
        self._inputs = folder / "inputs"
        self._temporary = folder / "temporary"
        for path in (self._inputs, self._temporary, folder / "sources"):
            path.mkdir()
        self._sources = list(write_sources(folder / "sources").items())
        self._contents = [path.read_bytes() for _, path in self._sources]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Fuzzer":
        before, tempfile.tempdir = tempfile.tempdir, str(self._temporary)
        self._stack.callback(setattr, tempfile, "tempdir", before)
        self._server = Server()
        self._server.answers = {f"/{answer.__name__}": answer for answer in ADDRESSES}
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._stack.callback(self._server.server_close)
        self._stack.callback(self._server.shutdown)
        config = DetectionConfig(frames=FRAMES, limits=MEDIA, allow_private_addresses=True)
        source = DetectorSource(config=config, one_thread=True)
        self._detector = self._stack.enter_context(GuardedDetector(source, self._guard))
        self._detector.facts()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        left = list(self._temporary.rglob("*"))
        assert not left, f"left behind: {left[:5]}"

    def make(self, number: int) -> tuple[str, str]:
        """Makes a file; its kind, and its path or address."""
        rng = np.random.default_rng([self._seed, number])
        turn = number % 20
        if turn >= DAMAGED + MADE:
            answer = ADDRESSES[number // 20 % len(ADDRESSES)]
            return f"address: {answer.__name__}", self._server.url(f"/{answer.__name__}")
        path = self._inputs / f"{number}.bin"
        if turn >= DAMAGED:
            makers = list(HOSTILE.items())
            name, maker = makers[(number // 20 * MADE + turn - DAMAGED) % len(makers)]
            maker(rng, path)
            return f"made: {name}", str(path)
        which, other = (int(n) for n in rng.integers(0, len(self._sources), 2))
        content = bytearray(self._contents[which])
        names = rng.choice(list(DAMAGES), int(rng.integers(1, 3)), replace=False)
        for name in names:
            content = DAMAGES[name](rng, content, self._contents[other])
        path.write_bytes(content)
        return f"damaged: {self._sources[which][0]}", str(path)

    def judge(self, number: int, tally: Tally) -> None:
        """Makes a file, has it judged, and checks that the answer is one."""
        kind, source = self.make(number)
        start = time.monotonic()
        try:
            report = self._detector.summary(source)
        except MediaError as error:
            outcome = "refused"
            if isinstance(error, WorkerLostError):
                outcome = f"lost: {error.cause}"
                tally.lost.append((number, kind, error.cause))
            check_sentence(str(error), source)
        else:
            outcome = report["verdict"]
            check_report(report)
        took = time.monotonic() - start
        assert took < self._answer_within_s, f"{kind} (number {number}) took {took:.0f} s"
        files = (path for path in self._temporary.rglob("*") if path.is_file())
        left = [path for path in files if path.name != LOCK_NAME]  # but for the guard's own
        assert not left, f"{kind} (number {number}) left {left[:5]}"
        tally.slowest = max(tally.slowest, (round(took, 1), number, kind))
        tally.outcomes[kind, outcome] += 1
        if "://" not in source:
            os.unlink(source)

    def run(self, numbers: Iterator[int], until: float = math.inf) -> Tally:
        """Judges files one after the other, until a time if one is given."""
        tally = Tally()
        for number in numbers:
            if time.monotonic() > until:
                break
            try:
                self.judge(number, tally)
            except Exception as error:
                error.add_note(f"number {number}, seed {self._seed}")
                raise
        return tally


def check_sentence(message: str, source: str) -> None:
    """One line for a person, without the folder."""
    assert message.endswith("."), message
    assert len(message) < 300, message
    assert message.isprintable(), message
    assert str(Path(source).parent) not in message or "://" in source, message


def check_report(report: dict) -> None:
    """Only JSON and probabilities are in it, and no number of a face that does not count."""
    json.dumps(report, allow_nan=False)
    for person in report["people"]:
        for frame in person["frames"]:
            probability = frame["fake_probability"]
            counts = frame["doubt"] is None and person["fake_probability"] is not None
            assert 0 <= probability <= 1 if counts else probability is None
            assert frame["time_s"] >= 0
    assert report["duration_s"] >= 0


def show(tally: Tally) -> None:
    """Prints what became of the files, by kind."""
    for (kind, outcome), count in sorted(tally.outcomes.items()):
        print(f"{kind:<40}{outcome:<20}{count:>6}")
    resident = psutil.Process().memory_info().rss / 1e6
    took, number, kind = tally.slowest
    print(
        f"{tally.answered} answered, slowest {took} s ({kind}, number {number}), "
        f"{len(tally.lost)} lost, this process {resident:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--patience", type=float, default=1.0, help="factor on limits of time")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--table", type=Path, help="JSON file for what became of them")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        Fuzzer(Path(folder), options.seed, options.patience) as fuzzer,
    ):
        tally = fuzzer.run(iter(range(options.first, options.first + options.count)), until)
    show(tally)
    print(f"next: {options.first + tally.answered}")
    if options.table:
        options.table.write_text(json.dumps(tally.to_dict()))


if __name__ == "__main__":
    main()
