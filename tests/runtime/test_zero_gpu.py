"""caddm_hf.runtime.zero_gpu: the same answers through a borrowed device, here the CPU."""

import torch

from caddm_hf.checkpoint.loading import load_model
from caddm_hf.runtime.zero_gpu import LONGEST_CALL_S, ZeroGpuNetwork
from support.made_scores import write_tiny_model


def test_answers_are_the_models_own(tmp_path):
    model = load_model(write_tiny_model(tmp_path / "tiny")).model
    asked = []

    def lend(duration: int):
        def wrap(function):
            def call(*values):
                asked.append(duration)
                return function(*values)

            return call

        return wrap

    side = model.config.image_size
    pixel_values = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(pixel_values)
        output = ZeroGpuNetwork(model, lend, "cpu")(pixel_values)
    assert asked == [LONGEST_CALL_S]
    for name in ("logits", "anchor_offsets", "anchor_logits"):
        torch.testing.assert_close(getattr(output, name), getattr(expected, name))
