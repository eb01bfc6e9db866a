"""A gallery of the most suspicious faces: crop, heatmap, artifact boxes, with words for each."""

from dataclasses import dataclass

import numpy as np

from .figures import draw_artifact_boxes, overlay_heatmap
from .video_report import FaceScore, VideoReport
from .words import show_percent, show_time


@dataclass(frozen=True)
class SuspiciousFace:
    """A face worth a look, and whose it is."""

    person_id: int
    face: FaceScore


@dataclass(frozen=True)
class FacePictures:
    """One face, shown three ways.

    Attributes:
        person_id: whose face.
        face: its score.
        caption: person and moment, score, heatmap peak and boxes, in one line.
        crop_rgb: (S, S, 3) uint8, as the network saw it.
        overlay_rgb: (S, S, 3) uint8, under its heatmap.
        boxed_rgb: (T, T, 3) uint8, T >= S, with the artifact boxes.
        crop_alt, overlay_alt, boxed_alt: texts in place of the pictures.
    """

    person_id: int
    face: FaceScore
    caption: str
    crop_rgb: np.ndarray
    overlay_rgb: np.ndarray
    boxed_rgb: np.ndarray
    crop_alt: str
    overlay_alt: str
    boxed_alt: str


def most_suspicious_faces(report: VideoReport, at_most: int = 5) -> list[SuspiciousFace]:
    """The faces with the highest scores, highest first.

    People who got a score go first. Of one person no two faces are nearer in time than a
    twentieth of the video: neighbouring frames look alike and would fill the list.
    """
    judged = [p for p in report.people if p.judgement.fake_probability is not None]
    candidates = [
        SuspiciousFace(person.id, face)
        for person in judged or report.people
        for face in person.faces
    ]
    candidates.sort(key=lambda candidate: -candidate.face.fake_probability)
    least_gap_s = report.duration_s / 20
    chosen: list[SuspiciousFace] = []
    for candidate in candidates:
        near = any(
            candidate.person_id == other.person_id
            and abs(candidate.face.time_s - other.face.time_s) < least_gap_s
            for other in chosen
        )
        if not near:
            chosen.append(candidate)
        if len(chosen) == at_most:
            break
    return chosen


def suspicious_face_pictures(
    report: VideoReport, strength: float = 1.0, at_most: int = 5
) -> list[FacePictures]:
    """The faces with the highest scores whose pictures are there, highest first.

    Args:
        report: from the detector or a report file.
        strength: of the heatmap, in [0, 1].
        at_most: faces.
    """
    faces = most_suspicious_faces(report, at_most)
    return [face_pictures(report, face, strength) for face in faces if face.face.has_pictures]


def face_pictures(
    report: VideoReport, suspicious: SuspiciousFace, strength: float = 1.0
) -> FacePictures:
    """One face in three pictures.

    Args:
        report: the face's.
        suspicious: a face that has pictures.
        strength: of the heatmap, in [0, 1].

    Raises:
        ValueError: the face has no pictures.
    """
    face, person_id = suspicious.face, suspicious.person_id
    if not face.has_pictures:
        raise ValueError("the report holds no pictures of this face")
    at = "" if report.kind == "picture" else f" at {show_time(face.time_s)}"
    peak = f"{float(face.heatmap.max()):.2f}"
    boxes = _boxes_in_words(face)
    return FacePictures(
        person_id=person_id,
        face=face,
        caption=(
            f"Person {person_id}{at}: {show_percent(face.fake_probability)} fake. Strongest trace "
            f"on the heatmap: {peak}; {boxes}."
        ),
        crop_rgb=face.crop_rgb,
        overlay_rgb=overlay_heatmap(face.crop_rgb, face.heatmap, strength),
        boxed_rgb=draw_artifact_boxes(face.crop_rgb, face.artifact_boxes),
        crop_alt=f"Face of person {person_id}{at}",
        overlay_alt=f"The same face under its heatmap: {_peak_in_words(face.heatmap)}",
        boxed_alt=f"The same face with {boxes}",
    )


def _boxes_in_words(face: FaceScore) -> str:
    count = len(face.artifact_boxes)
    if not count:
        return "no place boxed"
    return f"{count} {'place' if count == 1 else 'places'} boxed"


def _peak_in_words(heatmap: np.ndarray) -> str:
    """Where the map is highest, by thirds of the crop."""
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    down = ("upper", "middle", "lower")[3 * int(row) // heatmap.shape[0]]
    across = ("left", "centre", "right")[3 * int(column) // heatmap.shape[1]]
    return f"highest, {float(heatmap.max()):.2f} of 1, in the {down} {across} part"
