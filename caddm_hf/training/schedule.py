"""The learning rate of every step."""

import math

# The paper's schedule: factors on the learning rate (3.6e-4, 1e-4, 5e-5 with the default one)
# from the epochs 0, 4 and 10.
PAPER_LEARNING_RATE = 3.6e-4
PAPER_SCHEDULE = ((0, 1.0), (4, 1e-4 / PAPER_LEARNING_RATE), (10, 5e-5 / PAPER_LEARNING_RATE))


def learning_rate(
    schedule: str,
    peak: float,
    step: int,
    warmup_steps: int,
    total_steps: int,
    steps_per_epoch: float | None,
) -> float:
    """The learning rate of a step.

    Args:
        schedule: "paper", "cosine" or "constant".
        peak: the rate after the warm-up.
        step: number of steps done before.
        warmup_steps: steps over which the rate rises linearly from 0.
        total_steps: steps of the whole run; "cosine" reaches 0 at its end.
        steps_per_epoch: may be fractional; `None` if the schedule does not need it.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    if schedule == "cosine":
        done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return peak * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    if schedule == "paper":
        epoch = int(step / steps_per_epoch + 1e-9)  # a quotient of whole numbers, rounded
        return peak * next(f for start, f in reversed(PAPER_SCHEDULE) if epoch >= start)
    return peak
