"""The errors whose message is one sentence for the user, and the first line of any error."""


class UserError(ValueError):
    """What the user can mend; the message is one sentence for whoever started the work."""


class TrainingError(UserError):
    """A run that cannot start or go on; the message is one sentence for whoever started it."""


class ModelError(UserError):
    """A model that cannot be used; the message is one sentence for the person who chose it."""


def first_line(error: BaseException) -> str:
    """What an error says, on one line; `datasets` hides causes behind others."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
