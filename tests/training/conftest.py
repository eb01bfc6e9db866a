"""Fixtures of the tests of training: rows of drawn faces, and what makes samples of them."""

import pytest

from caddm_hf.augmentation.facial_swap import FacialSwapConfig
from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.training.samples import SampleMaker
from support.training_runs import TINY_SIZE


@pytest.fixture
def table(drawn_table: FrameTable) -> FrameTable:
    """16 rows: four genuine videos of two frames, and a forgery of each."""
    return drawn_table


@pytest.fixture
def maker() -> SampleMaker:
    """Makes crops of 64 px in the paper's way."""
    processor = CaddmImageProcessor(size=TINY_SIZE)
    return SampleMaker(FacialSwapConfig(image_size=TINY_SIZE), processor, seed=5)
