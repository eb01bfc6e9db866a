"""Who a video is about: its main people, whose faces decide, and bystanders, who do not.

A face in the background is small and seen briefly, and the more of them there are the likelier one
of them looks forged by chance. So a bystander never decides on a video.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# An extra behind two speakers is less than half as large; two people who talk to each other,
# one nearer to the camera, are not.
LEAST_SIZE_SHARE = 0.5
# Of three people who are shown in turn each is still a main person.
LEAST_TIME_SHARE = 1 / 3


@dataclass(frozen=True)
class Presence:
    """How a person is there in a video.

    Attributes:
        sizes_px: the face's longer side in each evenly spread frame it was seen in; at least one.
        is_face: whether this is surely a face.
    """

    sizes_px: Sequence[float]
    is_face: bool = True


def find_main_people(people: Sequence[Presence]) -> list[bool]:
    """For each person whether they are a main person.

    Main people are seen in at least a third as many frames as whoever is seen most, and their
    face is at least half as large (by its median) as the largest of those. What is not surely a
    face neither is a main person nor sets the measure. Where nobody is surely a face, nobody is
    a bystander.
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
