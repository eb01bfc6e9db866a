"""Moments and probabilities as text."""


def show_time(seconds: float) -> str:
    """A moment of a video: `4.2 s`, from one minute on `3:07.5`, from one hour on `1:02:07`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes == 0:
        return f"{tenths / 10:.1f} s"
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"


def show_percent(probability: float) -> str:
    """A probability in [0, 1] in whole percent; never 0% or 100%, which no detector can know."""
    if probability < 0.01:
        return "under 1%"
    if probability > 0.99:
        return "over 99%"
    return f"{probability:.0%}"
