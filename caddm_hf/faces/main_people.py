"""Divide the people of a video into main people, who decide the verdict, and bystanders.

Faces in the background are small and seen briefly. The more there are, the likelier one of them
looks forged by chance. So a bystander never decides the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# An extra behind two speakers is less than half as large; two people who talk to each other,
# one nearer to the camera, are not.
LEAST_SIZE_SHARE = 0.5
# If three people are shown in turn, each of them is a main person.
LEAST_TIME_SHARE = 1 / 3


@dataclass(frozen=True)
class Presence:
    """The presence of a person in a video.

    Attributes:
        sizes_px: the face's longer side in each evenly spread frame with the face; at least one.
        is_face: whether this is surely a face.
    """

    sizes_px: Sequence[float]
    is_face: bool = True


def find_main_people(people: Sequence[Presence]) -> list[bool]:
    """Return for each person whether they are a main person.

    Main people are seen in at least a third as many frames as the person seen most. Among these,
    their median face size is at least half of the largest. Detections that are not surely faces
    are never main people and are ignored in both comparisons. If nobody is surely a face, everybody
    is a main person.
    """
    faces = [person for person in people if person.is_face]
    if not faces:
        return [True] * len(people)
    least_frames = LEAST_TIME_SHARE * max(len(person.sizes_px) for person in faces)
    often = [person for person in faces if len(person.sizes_px) >= least_frames]
    least_px = LEAST_SIZE_SHARE * max(_median(person) for person in often)
    return [
        person.is_face and len(person.sizes_px) >= least_frames and _median(person) >= least_px
        for person in people
    ]


def _median(person: Presence) -> float:
    return float(np.median(person.sizes_px))
