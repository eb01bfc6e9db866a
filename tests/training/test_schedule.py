"""The learning rate of every step."""

import pytest

from caddm_hf.training.config import TrainingConfig


def test_the_learning_rate_follows_the_paper_by_default():
    config = TrainingConfig()
    assert (config.batch_size, config.num_epochs, config.weight_decay) == (128, 200, 4e-3)
    assert config.max_grad_value == 2
    epoch = 10 * 128
    rates = [config.learning_rate_at(10 * e, 2000, epoch) for e in (0, 3, 4, 9, 10, 199)]
    assert rates == pytest.approx([3.6e-4, 3.6e-4, 1e-4, 1e-4, 5e-5, 5e-5])
    warm = TrainingConfig(warmup_steps=3)
    rates = [warm.learning_rate_at(step, 2000, epoch) for step in range(4)]
    assert rates == pytest.approx([0.9e-4, 1.8e-4, 2.7e-4, 3.6e-4])
    cosine = TrainingConfig(lr_scheduler_type="cosine", learning_rate=1.0)
    rates = [cosine.learning_rate_at(step, 100, None) for step in (0, 50, 100)]
    assert rates == pytest.approx([1.0, 0.5, 0.0])
