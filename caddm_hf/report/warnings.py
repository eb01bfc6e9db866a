"""Sentences on the limits of a result."""

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
    """Warn of parts of a file that were not judged.

    Args:
        info: facts about the file.
        unreadable_frames: number of damaged frames.
        crowded: number of frames with more than `most_faces` faces.
        most_faces: largest number of faces that are scored in a frame.
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
    """Warn of limits of the verdict, by the faces of the person that decides it.

    Args:
        people: as in the report, most suspicious first.
        kind: whether a video or a picture was judged.
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
