"""Tracked faces and their scores -> a judged `VideoReport`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ..faces.counting import (
    FaceDoubt,
    FaceFacts,
    JudgingRules,
    face_doubt,
    is_surely_a_face,
)
from ..faces.main_people import Presence, find_main_people
from ..faces.plausibility import point_fault
from ..faces.sharpness import face_sharpness
from ..model.heatmaps import ArtifactBox
from ..report.face_pictures import FacePictures
from ..report.passages import PassageRules, find_passages, judge_passages
from ..report.rejudging import advised, judged_people
from ..report.verdicts import JudgedFace, LogitScaling, Thresholds, judge_person
from ..report.video_report import (
    FaceScore,
    MarkedBox,
    MediaKind,
    PersonReport,
    VideoReport,
    sorting_key,
    without_numbers,
)
from ..report.warnings import face_warnings
from .scoring import CropScores, SeenFace, SeenVideo


@dataclass(frozen=True)
class Judging:
    """Settings by which a video is judged.

    Attributes:
        thresholds: between the verdicts.
        rules: which faces count.
        scaling: the checkpoint's calibration.
        passages: when a stretch of time stands out.
        least_heatmap_peak: no place of a heatmap with a lower peak stands out.
    """

    thresholds: Thresholds
    rules: JudgingRules
    scaling: LogitScaling
    passages: PassageRules
    least_heatmap_peak: float


def build_report(seen: SeenVideo, scores: CropScores, judging: Judging) -> VideoReport:
    """Judge the people of a video by the rules of the report package.

    Args:
        seen: people and their faces.
        scores: of all faces, person after person.
        judging: thresholds and rules.

    Returns:
        the report, without the model's name, which the caller fills in.
    """
    kind: MediaKind = "picture" if seen.info.kind == "image" else "video"
    # A still image has only one frame. A caller that asks for few frames gets a verdict on them,
    # with a warning.
    needed = min(judging.rules.least_frames, seen.frames_wanted)
    rules = replace(judging.rules, least_frames=1 if kind == "picture" else needed)
    judging = replace(judging, rules=rules)
    facts = [[_facts(face) for face in faces] for faces in seen.people]
    surely = [
        is_surely_a_face(_spread(faces, of_faces), share, rules)
        for faces, of_faces, share in zip(seen.people, facts, seen.seen_shares, strict=True)
    ]
    main = find_main_people(
        [
            Presence([fact.size_px for fact in _spread(faces, of_faces)], is_face)
            for faces, of_faces, is_face in zip(seen.people, facts, surely, strict=True)
        ]
    )
    rows = scores.rows()
    people = []
    for number, faces in enumerate(seen.people):
        scored = [
            _face_score(face, fact, face_doubt(fact, surely[number], rules), *next(rows))
            for face, fact in zip(faces, facts[number], strict=True)
        ]
        people.append(_judged(scored, main[number], kind, judging))
    people.sort(key=lambda person: (*sorting_key(person), -len(person.faces)))
    people = [replace(person, id=number) for number, person in enumerate(people, start=1)]
    people, judgement = judged_people(people, judging.thresholds, seen.frames_sampled)
    return VideoReport(
        **vars(judgement),
        video=seen.name,
        people=people,
        duration_s=seen.info.duration_s,
        kind=kind,
        frames_sampled=seen.frames_sampled,
        model="",
        thresholds=judging.thresholds,
        calibration_temperature=judging.scaling.temperature,
        calibration_bias=judging.scaling.bias,
        least_heatmap_peak=judging.least_heatmap_peak,
        warnings=seen.warnings + face_warnings(people, kind),
    )


Item = TypeVar("Item")


def _spread(faces: Sequence[SeenFace], items: Sequence[Item]) -> list[Item]:
    """Return the items that belong to faces in evenly spread frames."""
    return [item for face, item in zip(faces, items, strict=True) if not face.second_look]


def _facts(face: SeenFace) -> FaceFacts:
    return FaceFacts(
        size_px=face.face.size_px,
        confidence=face.face.confidence,
        fault=point_fault(face.face.landmarks_xy, face.face.box_xyxy),
        sharpness=face_sharpness(face.crop_rgb, face.alignment),
    )


def _judged(
    faces: list[FaceScore], is_main: bool, kind: MediaKind, judging: Judging
) -> PersonReport:
    """Judge one person alone, and remove the numbers that must not be shown."""
    judgement = judge_person(
        [
            JudgedFace(face.uncalibrated_probability, face.size_px, face.doubt)
            for face in faces
            if not face.second_look
        ],
        judging.thresholds,
        judging.rules,
        scaling=judging.scaling,
    )
    may_be_judged = judgement.fake_probability is not None
    faces = [
        face if may_be_judged and face.doubt is None else without_numbers(face) for face in faces
    ]
    passages = []
    if may_be_judged and is_main and kind == "video":
        counting = [face for face in faces if face.doubt is None]
        passages = find_passages(
            [face.time_s for face in counting],
            [face.uncalibrated_probability for face in counting],
            [not face.second_look for face in counting],
            judging.scaling,
            judging.passages,
        )
    judgement = judge_passages(judgement, passages, judging.thresholds, judging.passages)
    person = PersonReport(id=1, faces=faces, main=is_main, passages=passages, **vars(judgement))
    return replace(person, **vars(advised(judgement, person, kind)))


def _face_score(
    seen: SeenFace,
    facts: FaceFacts,
    doubt: FaceDoubt | None,
    probability: float,
    uncalibrated: float,
    heatmap: np.ndarray,
    boxes: list[ArtifactBox],
) -> FaceScore:
    return FaceScore(
        frame_index=seen.frame_index,
        time_s=seen.time_s,
        box_xyxy=tuple(float(value) for value in seen.face.box_xyxy),
        face_confidence=seen.face.confidence,
        fake_probability=probability,
        uncalibrated_probability=uncalibrated,
        artifact_boxes=[MarkedBox(**vars(box)) for box in boxes],
        alignment=seen.alignment,
        pictures=FacePictures(seen.crop_rgb, heatmap),
        doubt=doubt,
        sharpness=facts.sharpness,
        second_look=seen.second_look,
    )
