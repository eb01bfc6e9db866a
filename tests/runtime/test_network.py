"""caddm_hf.runtime.network: one torch network, in the precision in which it serves."""

import numpy as np
import pytest
import torch

from caddm_hf.evaluation.scoring import FrameScorer
from caddm_hf.runtime.network import DTYPES, TorchNetwork, answer_filled, serving_dtype
from support.made_scores import tiny_model

CPU = torch.device("cpu")


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_serves_in_half_precision(supported: bool, dtype: torch.dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert serving_dtype(torch.device("cuda")) == dtype
    assert serving_dtype(CPU) == torch.float32


def test_a_network_names_its_precision():
    model = tiny_model().model
    assert TorchNetwork(model, CPU).backend == "torch-fp32"
    assert [TorchNetwork(model, CPU, dtype).backend for dtype in DTYPES.values()] == list(DTYPES)


class Recording:
    """A network of half precision, as on a GPU, that notes the sizes of its batches."""

    calls_at_once = 1
    backend = "torch-bf16"

    def __init__(self, model):
        self.network = TorchNetwork(model, CPU, torch.bfloat16)
        self.sizes: list[int] = []

    def __call__(self, pixel_values):
        self.sizes.append(len(pixel_values))
        return self.network(pixel_values)


def test_what_is_measured_is_computed_by_the_network_that_serves():
    """Evaluation once computed in float32, whatever the precision that served."""
    loaded = tiny_model()
    network = Recording(loaded.model)
    scorer = FrameScorer(loaded, network)
    crops = list(np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8))
    found = scorer.logit_differences(crops)
    assert network.sizes == [4, 4]  # the second one filled up
    logits = network.network(loaded.image_processor.pixel_values(crops[:4])).logits
    assert np.array_equal(found[:4], (logits[:, 1] - logits[:, 0]).double().numpy())
    exact = FrameScorer(loaded, TorchNetwork(loaded.model, CPU))
    assert not np.array_equal(exact.logit_differences(crops), found)
    assert exact.key() != scorer.key()


def test_a_filled_batch_gives_the_answers_of_the_crops_alone():
    model = tiny_model().model
    values = torch.rand(3, 3, 64, 64)
    network = TorchNetwork(model, CPU)
    filled = answer_filled(network, values, 8)
    assert filled.logits.shape == (3, 2)
    torch.testing.assert_close(filled.logits, network(values).logits)
    assert filled.logits.dtype == torch.float32
