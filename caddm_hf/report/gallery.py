"""A gallery of the most suspicious faces: crop, heatmap, artifact boxes, with words for each."""

from dataclasses import dataclass

import numpy as np

from ..core.formats import show_percent, show_time
from .figures import draw_artifact_boxes, overlay_heatmap
from .video_report import FaceScore, VideoReport

NO_PLACE = "no place stands out"
LEAST_VISIBLE = 0.01  # lower peaks count as an empty map, also in reports of older versions


@dataclass(frozen=True)
class SuspiciousFace:
    """A suspicious face and its person."""

    person_id: int
    face: FaceScore


@dataclass(frozen=True)
class FacePictures:
    """One face in three pictures.

    Attributes:
        person_id: number of the person.
        face: score of the face.
        caption: person and moment, score, heatmap peak and boxes, in one line.
        crop_rgb: (S, S, 3) uint8, as the network saw it.
        overlay_rgb: (S, S, 3) uint8, the crop with its heatmap.
        boxed_rgb: (T, T, 3) uint8, T >= S, the crop with the artifact boxes.
        crop_alt, overlay_alt, boxed_alt: alternative texts of the pictures.
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

    People without a score are left out, unless nobody has one. Two faces of one person are at
    least a twentieth of the video apart, because neighbouring frames look alike and would fill
    the list.
    """
    judged = [person for person in report.people if person.fake_probability is not None]
    if not judged:
        return [SuspiciousFace(p.id, p.most_suspicious) for p in report.people][:at_most]
    candidates = [
        SuspiciousFace(person.id, face) for person in judged for face in person.scored_faces
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
    """The faces with pictures and the highest scores, highest first.

    Args:
        report: from the detector or a report file.
        strength: strength of the heatmap, in [0, 1].
        at_most: largest number of faces.
    """
    faces = most_suspicious_faces(report, at_most)
    return [face_pictures(report, face, strength) for face in faces if face.face.has_pictures]


def face_pictures(
    report: VideoReport, suspicious: SuspiciousFace, strength: float = 1.0
) -> FacePictures:
    """One face in three pictures.

    Args:
        report: the report that contains the face.
        suspicious: a face that has pictures.
        strength: strength of the heatmap, in [0, 1].

    Raises:
        ValueError: the face has no pictures.
    """
    face, person_id = suspicious.face, suspicious.person_id
    if not face.has_pictures:
        raise ValueError("the report holds no pictures of this face")
    at = "" if report.kind == "picture" else f" at {show_time(face.time_s)}"
    boxes = _boxes_in_words(face)
    return FacePictures(
        person_id=person_id,
        face=face,
        caption=_caption(report, face, f"Person {person_id}{at}", boxes),
        crop_rgb=face.crop_rgb,
        overlay_rgb=overlay_heatmap(face.crop_rgb, face.heatmap, strength),
        boxed_rgb=draw_artifact_boxes(face.crop_rgb, face.artifact_boxes),
        crop_alt=f"Face of person {person_id}{at}",
        overlay_alt=f"The same face under its heatmap: {_peak_in_words(report, face)}",
        boxed_alt=f"The same face with {boxes}",
    )


def _boxes_in_words(face: FaceScore) -> str:
    count = len(face.artifact_boxes)
    if not count:
        return "no place boxed"
    return f"{count} {'place' if count == 1 else 'places'} boxed"


def _caption(report: VideoReport, face: FaceScore, who: str, boxes: str) -> str:
    if face.fake_probability is None:
        return f"{who}: not judged."
    trace = NO_PLACE.capitalize()
    if stands_out(report, face):
        trace = f"Strongest trace on the heatmap: {float(face.heatmap.max()):.2f}"
    return f"{who}: {show_percent(face.fake_probability)} fake. {trace}; {boxes}."


def stands_out(report: VideoReport, face: FaceScore) -> bool:
    """Whether the heatmap of a face with pictures has a clear peak."""
    return float(face.heatmap.max()) >= max(report.least_heatmap_peak, LEAST_VISIBLE)


def _peak_in_words(report: VideoReport, face: FaceScore) -> str:
    """Describe the peak's place by thirds of the crop, or that no place stands out."""
    if not stands_out(report, face):
        return NO_PLACE
    heatmap = face.heatmap
    row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    down = ("upper", "middle", "lower")[3 * int(row) // heatmap.shape[0]]
    across = ("left", "centre", "right")[3 * int(column) // heatmap.shape[1]]
    return f"highest, {float(heatmap.max()):.2f} of 1, in the {down} {across} part"
