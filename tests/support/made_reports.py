"""A `VideoReport` put together by hand: known scores, no network."""

import numpy as np

from caddm_hf.report.face_pictures import FacePictures
from caddm_hf.report.verdicts import Judgement, Thresholds, judge_person, judge_video
from caddm_hf.report.video_report import FaceScore, MarkedBox, MediaKind, PersonReport, VideoReport

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
    judgement = judge_person(
        [face.uncalibrated_probability for face in faces],
        [face.size_px for face in faces],
        THRESHOLDS,
        least_face_px=48,
        least_frames=5 if len(faces) > 1 else 1,
    )
    return judged_person(number, judgement, faces)


def made_report(
    people: list[PersonReport],
    duration_s: float = 10.0,
    kind: MediaKind = "video",
    name: str = "clip.mp4",
    model: str = "some/model",
    warnings: tuple[str, ...] = (),
) -> VideoReport:
    """A report on these people, most suspicious first."""
    return VideoReport(
        video=name,
        **vars(judge_video([person.judgement for person in people], 32)),
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
