"""What several tests need: a network-free environment, a Hub of our own, clips with faces."""

import os

# Before any Hugging Face library is imported: no test may wait for the real Hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Two test processes share the cores: threads that wait must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from skimage import data

from caddm_hf.checkpoint.loading import untrained_model
from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.opening import open_split
from support.fake_hub.server import LocalHub, local_hub
from support.made_collection import write_collection
from support.made_media import write_video

torch.set_num_threads(2)
# What a shell starts in the background ignores Ctrl-C, and so would every process that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A Hub on this machine with two users: alice (tok-alice) and bob (tok-bob)."""
    with local_hub(users={"tok-alice": "alice", "tok-bob": "bob"}) as server:
        yield server


def _portrait_frames(count: int) -> Iterator[np.ndarray]:
    """The astronaut moving slowly through a 400x320 picture: a face of about 90 px."""
    astronaut = data.astronaut()
    for number in range(count):
        x = 40 + number
        yield astronaut[0:320, x : x + 400] if x + 400 <= 512 else astronaut[0:320, -400:]


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory) -> Path:
    """A clip of 40 frames with one person."""
    return write_video(tmp_path_factory.mktemp("clips") / "face.mp4", _portrait_frames(40))


@pytest.fixture(scope="session")
def face_picture(tmp_path_factory) -> Path:
    """A still with one person."""
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "face.png"
    Image.fromarray(data.astronaut()[:400]).save(path)
    return path


@pytest.fixture(scope="session")
def empty_clip(tmp_path_factory) -> Path:
    """A clip of 20 frames without any face."""
    rng = np.random.default_rng(0)
    wall = np.repeat(np.repeat(rng.integers(60, 190, (12, 16, 3), np.uint8), 20, 0), 20, 1)
    return write_video(tmp_path_factory.mktemp("clips") / "wall.mp4", [wall] * 20)


@pytest.fixture(scope="session")
def untrained_folder(tmp_path_factory) -> Path:
    """A model folder with random weights."""
    loaded = untrained_model()
    folder = tmp_path_factory.mktemp("models") / "untrained"
    loaded.model.save_pretrained(folder)
    loaded.image_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def drawn_collection(tmp_path_factory) -> Path:
    """A collection of drawn faces: 16 training rows of 4 sources and 8 validation rows of 2."""
    return write_collection(tmp_path_factory.mktemp("drawn"), 4, 2, frames=2, side=80)


@pytest.fixture
def drawn_table(drawn_collection: Path) -> FrameTable:
    """The training rows of `drawn_collection`."""
    return FrameTable(open_split(str(drawn_collection), "train"))


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its state in singletons; sums depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    _reset_accelerate()
    yield
    torch.set_num_threads(threads)
    _reset_accelerate()


def _reset_accelerate() -> None:
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
