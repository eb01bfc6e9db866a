"""A `VideoReport` put together by hand: known scores, no network."""

from dataclasses import replace

import numpy as np

from caddm_hf.faces.counting import FaceDoubt, JudgingRules
from caddm_hf.report.face_pictures import FacePictures
from caddm_hf.report.rejudging import advised, judged_people
from caddm_hf.report.verdicts import JudgedFace, Judgement, Thresholds, judge_person
from caddm_hf.report.video_report import (
    FaceScore,
    MarkedBox,
    MediaKind,
    PersonReport,
    VideoReport,
    without_numbers,
)

THRESHOLDS = Thresholds(real_below=0.4, fake_above=0.6)
SIDE = 64


def made_face(time_s: float, probability: float, size_px: float = 120.0) -> FaceScore:
    """A grey face whose heatmap is `probability` in its lower half and 0 above."""
    boxes = [MarkedBox((0.25, 0.5, 0.75, 1.0), probability)] if probability > 0.5 else []
    heatmap = np.zeros((SIDE, SIDE), np.float16)
    heatmap[SIDE // 2 :] = probability
    return FaceScore(
        frame_index=round(time_s * 25),
        time_s=time_s,
        box_xyxy=(10.0, 10.0, 10.0 + size_px, 10.0 + size_px),
        face_confidence=0.99,
        fake_probability=probability,
        uncalibrated_probability=probability,
        artifact_boxes=boxes,
        alignment=np.eye(2, 3),
        pictures=FacePictures(np.full((SIDE, SIDE, 3), 128, np.uint8), heatmap),
    )


def judged_person(number: int, judgement: Judgement, faces: list[FaceScore]) -> PersonReport:
    """A person with any judgement."""
    return PersonReport(id=number, faces=faces, **vars(judgement))


def made_person(
    number: int, scores: list[tuple[float, float]], size_px: float = 120.0
) -> PersonReport:
    """A person from (time in seconds, probability) pairs; five of them give a verdict."""
    faces = [made_face(time_s, probability, size_px) for time_s, probability in scores]
    doubt = FaceDoubt.TOO_SMALL if size_px < 48 else None
    judgement = judge_person(
        [JudgedFace(face.uncalibrated_probability, face.size_px, doubt) for face in faces],
        THRESHOLDS,
        JudgingRules(least_frames=5 if len(faces) > 1 else 1),
    )
    if judgement.fake_probability is None:
        faces = [replace(without_numbers(face), doubt=doubt) for face in faces]
    person = judged_person(number, judgement, faces)
    kind = "video" if len(faces) > 1 else "picture"
    return judged_person(number, advised(judgement, person, kind), faces)


def made_report(
    people: list[PersonReport],
    duration_s: float = 10.0,
    kind: MediaKind = "video",
    name: str = "clip.mp4",
    model: str = "some/model",
    warnings: tuple[str, ...] = (),
) -> VideoReport:
    """A report on these people, most suspicious first."""
    people, judgement = judged_people(people, THRESHOLDS, 32)
    return VideoReport(
        video=name,
        **vars(judgement),
        people=people,
        duration_s=duration_s,
        kind=kind,
        frames_sampled=32 if kind == "video" else 1,
        model=model,
        model_revision=None,
        thresholds=THRESHOLDS,
        calibration_temperature=1.0,
        warnings=list(warnings),
    )
