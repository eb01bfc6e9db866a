"""caddm_hf.core.random_streams: no two uses of randomness share a stream."""

import ast
from pathlib import Path

import numpy as np

from caddm_hf.core.random_streams import RandomStream, random_generator

PACKAGE = Path(__file__).resolve().parents[2] / "caddm_hf"
NUMBERS = {
    "ORDER": 1,
    "SAMPLE": 2,
    "VALIDATION_INTERVAL": 3,
    "SUBSET": 4,
    "BUFFER": 5,
    "PAIR": 6,
    "EVALUATION_INTERVAL": 11,
}


def test_the_numbers_stay_what_they_are():
    assert {stream.name: stream.value for stream in RandomStream} == NUMBERS
    expected = np.random.default_rng([7, 2, 3, 5]).random(4)
    assert np.array_equal(random_generator(7, RandomStream.SAMPLE, 3, 5).random(4), expected)


def test_no_module_keeps_a_stream_of_its_own():
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign):
                names = [leaf.id for leaf in ast.walk(node) if isinstance(leaf, ast.Name)]
                found += [f"{path.name}: {name}" for name in names if name.endswith("_STREAM")]
    assert found == []
