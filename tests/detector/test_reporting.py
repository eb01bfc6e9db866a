"""caddm_hf.detector.reporting: what was seen and scored becomes a judged report."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from caddm_hf.detector.reporting import Judging, build_report
from caddm_hf.detector.scoring import CropScores, SeenFace, SeenVideo
from caddm_hf.faces.counting import FaceDoubt, JudgingRules
from caddm_hf.faces.detection import DetectedFace
from caddm_hf.media.limits import MediaInfo
from caddm_hf.model.face_alignment import alignment_matrix, warp_face
from caddm_hf.report.passages import PassageRules
from caddm_hf.report.verdicts import LogitScaling, Reason, Thresholds, Verdict
from support.made_faces import POINTS_XY

JUDGING = Judging(Thresholds(0.3, 0.9), JudgingRules(), LogitScaling(), PassageRules(), 0.3)
INFO = MediaInfo(
    kind="video",
    container="mov",
    codec="h264",
    pixel_format="yuv420p",
    width=640,
    height=360,
    rotation_degrees=0,
    frame_count=1500,
    frame_rate=25.0,
    duration_s=60.0,
    start_s=0.0,
    has_audio=False,
    missing_frames=0,
    file_bytes=1000,
)
MATRIX = alignment_matrix(POINTS_XY, 224, 0.9)
CROP = warp_face(data.astronaut(), MATRIX, 224)
FRAMES = np.linspace(0, 1499, 32).astype(int).tolist()


def seen_person(frames, confidence=0.9999, size=120.0, points=POINTS_XY, again=()):
    """One person's faces in some frames, and in those of a second look."""
    middle = points.mean(axis=0)
    points = middle + (points - middle) * size / 120
    box = np.concatenate([middle - size / 2, middle + size / 2])
    face = DetectedFace(box, confidence, points)
    faces = [SeenFace(n, n / 25, face, CROP, MATRIX) for n in frames]
    faces += [SeenFace(n, n / 25, face, CROP, MATRIX, second_look=True) for n in again]
    return sorted(faces, key=lambda seen: seen.frame_index)


def judged(people, scores, shares=None, judging=JUDGING):
    """A report on people with one score each, or one score a face."""
    seen = SeenVideo("clip.mp4", INFO, 32, people, FRAMES, shares or [1.0] * len(people))
    rows = []
    for faces, score in zip(people, scores, strict=True):
        each = [score] * len(faces) if isinstance(score, float) else score
        rows += [(p, p, np.full((224, 224), p, np.float16), []) for p in each]
    return build_report(seen, CropScores.of(rows), judging)


GENUINE = seen_person(FRAMES)


def test_a_person_is_judged():
    assert judged([GENUINE], [0.97]).verdict is Verdict.FAKE
    assert judged([GENUINE], [0.1]).verdict is Verdict.REAL


@pytest.mark.parametrize(
    ("phantom", "share"),
    [
        (seen_person(FRAMES[:6], confidence=0.93, size=60), 1.0),
        (seen_person(FRAMES[::5], size=80), 0.2),
        (seen_person(FRAMES[:8], points=POINTS_XY[[3, 4, 2, 0, 1]]), 1.0),
    ],
    ids=["lights the search is unsure of", "a blob that comes and goes", "points upside down"],
)
def test_a_phantom_decides_nothing_and_has_no_number(phantom, share):
    report = judged([phantom, GENUINE], [0.999, 0.1], [share, 1.0])
    assert report.verdict is Verdict.REAL
    thing = report.people[-1]
    assert (thing.reason, thing.main) == (Reason.NOT_A_FACE, False)
    assert thing.scored_faces == []
    assert {face.doubt for face in thing.faces} == {FaceDoubt.NOT_A_FACE}
    assert max(float(face.heatmap.max()) for face in thing.faces) == 0


def test_a_profile_gets_no_verdict():
    profile = POINTS_XY.copy()
    profile[2, 0] += 38  # the nose beyond the eye
    report = judged([seen_person(FRAMES, points=profile)], [0.999])
    assert report.reason in (Reason.TURNED_AWAY, Reason.NOT_A_FACE)
    assert report.fake_probability is None


def test_a_small_or_brief_bystander_only_points_out():
    for bystander in (seen_person(FRAMES, size=55), seen_person(FRAMES[4:10])):
        report = judged([bystander, GENUINE], [0.99, 0.1])
        assert (report.verdict, report.reason) == (Verdict.CANNOT_TELL, Reason.LOOK_AT_PERSON)
        assert report.fake_probability == pytest.approx(0.1)


def test_a_brief_person_alone_gets_no_verdict():
    assert judged([seen_person(FRAMES[:3])], [0.999]).reason is Reason.TOO_FEW_FRAMES


def test_the_models_limits_hold():
    rules = JudgingRules(least_face_px=150)
    report = judged([GENUINE], [0.99], judging=replace(JUDGING, rules=rules))
    assert report.reason is Reason.FACES_TOO_SMALL
    rules = JudgingRules(least_sharpness=0.99)
    report = judged([GENUINE], [0.99], judging=replace(JUDGING, rules=rules))
    assert report.reason is Reason.FACES_TOO_BLURRED


def test_the_second_look_finds_a_passage_and_leaves_the_mean_alone():
    again = sorted(set(range(500, 720, 6)) - set(FRAMES))
    person = seen_person(FRAMES, again=again)
    scores = [0.98 if 575 <= face.frame_index <= 675 else 0.05 for face in person]
    report = judged([person], [scores])
    (passage,) = report.people[0].passages
    assert passage.start_s == pytest.approx(23, abs=1)
    assert passage.end_s == pytest.approx(27, abs=1)
    assert report.verdict is Verdict.FAKE
    spread = [p for face, p in zip(person, scores, strict=True) if not face.second_look]
    assert report.fake_probability == pytest.approx(np.mean(spread))
    assert report.frames_sampled == 32
    assert judged([person], [[0.05] * len(person)]).people[0].passages == []
