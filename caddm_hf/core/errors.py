"""Errors whose message is one sentence for the user, and the cause and first line of any error."""


class UserError(ValueError):
    """An error that the user can correct; the message is one sentence for the user."""


class TrainingError(UserError):
    """A training run cannot start or continue; the message is one sentence for the user."""


class ModelError(UserError):
    """A model cannot be used; the message is one sentence for the user."""


def first_cause(error: BaseException) -> BaseException:
    """Return the error that an error goes back to; `datasets` hides causes behind others."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters, or else its type."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
