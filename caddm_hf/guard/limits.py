"""What a worker may cost, and how a job can end without an answer."""

from dataclasses import dataclass
from typing import Literal

from ..core.errors import UserError
from ..media.limits import MediaError

# Names of the engines. Defined here so that `--help` need not import numpy.
ENGINES = ("processes", "ray")
Cause = Literal["died", "killed", "memory", "time", "silent", "answer"]


@dataclass(frozen=True)
class GuardLimits:
    """What a worker may cost.

    Attributes:
        memory_bytes: resident size of the process, with the model and libraries in it (about
            0.7 GB). The media limits' worst cases need about 3 GB.
        job_s: wall-clock seconds of a job, or of each of its steps (`liveness.begin_step`).
        silence_s: seconds without progress or heartbeat (`liveness`).
        start_s: seconds for loading, which may include a download.
        stop_grace_s: seconds that a job has to stop by itself before its worker is killed.
        answer_bytes: size of the largest message that is accepted from a worker.
    """

    memory_bytes: int = 4 * 2**30
    job_s: float = 3600.0
    silence_s: float = 180.0
    start_s: float = 1800.0
    stop_grace_s: float = 2.0
    answer_bytes: int = 2**29


class WorkerLostError(MediaError):
    """A worker was lost during a job. The message is one sentence for the user.

    Attributes:
        cause: "died" (it crashed), "killed" (by the system, twice), "memory", "time", "silent",
            or "answer" (the result is too large).
        limits: the limits that applied.
        step: the name of the job's last step, "" if it has none.
    """

    def __init__(
        self, cause: Cause, limits: GuardLimits, step: str = "", subject: str = "This file"
    ):
        self.cause, self.limits, self.step = cause, limits, step
        super().__init__(_sentence(cause, limits, subject))

    def __reduce__(self):
        return type(self), (self.cause, self.limits, self.step)

    def about(self, subject: str) -> "WorkerLostError":
        """Return the same error with the (quoted) name of a file in its message."""
        return type(self)(self.cause, self.limits, self.step, subject)


def _sentence(cause: Cause, limits: GuardLimits, subject: str) -> str:
    smaller = "use a shorter or smaller version"
    return {
        "died": f"{subject} crashed the program that read it: it is damaged or made to do so.",
        "killed": f"{subject} was given up: the system ended the program that read it, twice, "
        "perhaps for want of memory.",
        "memory": f"{subject} needs more than {limits.memory_bytes / 1e9:.1f} GB of memory: "
        f"{smaller}.",
        "time": f"{subject} takes more than {limits.job_s:g} s: {smaller}.",
        "silent": f"{subject} was given up: for {limits.silence_s:g} s nothing moved in reading "
        "it.",
        "answer": f"{subject} gives more than {limits.answer_bytes / 1e9:.1f} GB of results: "
        f"{smaller}.",
    }[cause]


class JobStoppedError(Exception):
    """The caller stopped the job."""


class JobFailedError(RuntimeError):
    """A job raised an unexpected exception. Its worker keeps running.

    Attributes:
        details: the end of the traceback, for a log.
    """

    def __init__(self, message: str, details: str):
        super().__init__(message)
        self.details = details


class StartError(UserError):
    """A worker cannot start; the message is one sentence for the user."""
