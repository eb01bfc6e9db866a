"""Plain sentences on what limits a result."""

from collections.abc import Sequence

import numpy as np

from ..media.limits import MediaInfo
from .video_report import MediaKind, PersonReport

# Below these a verdict is given with a warning.
SMALL_FACE_PX = 96
FEW_FRAMES = 16


def reading_warnings(
    info: MediaInfo, unreadable_frames: int, crowded: int, most_faces: int
) -> list[str]:
    """What could not be looked at.

    Args:
        info: facts about the file.
        unreadable_frames: damaged frames that were met.
        crowded: frames with more faces than are scored.
        most_faces: of a frame that are scored.
    """
    warnings = []
    if info.missing_frames:
        warnings.append(f"The file is cut off: its last {info.missing_frames} frames are missing.")
    if unreadable_frames:
        warnings.append(f"{unreadable_frames} frames are damaged and were left out.")
    if crowded:
        warnings.append(
            f"In {crowded} frames there are more than {most_faces} faces; only the "
            "largest were scored."
        )
    return warnings


def face_warnings(people: Sequence[PersonReport], kind: MediaKind) -> list[str]:
    """What limits the verdict, going by the person it rests on.

    Args:
        people: as in the report, most suspicious first.
        kind: of what was judged.
    """
    if not people or people[0].fake_probability is None:
        return []
    faces = [face for face in people[0].spread_faces if face.fake_probability is not None]
    warnings = []
    size_px = float(np.median([face.size_px for face in faces]))
    if size_px < SMALL_FACE_PX:
        warnings.append(
            f"The face is small ({size_px:.0f} pixels): traces of a forgery may be lost in it."
        )
    if kind == "video" and len(faces) < FEW_FRAMES:
        frames = "1 frame shows" if len(faces) == 1 else f"{len(faces)} frames show"
        warnings.append(f"Only {frames} the face: the score is less certain.")
    return warnings
