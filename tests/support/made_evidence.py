"""Reports as the detector leaves them: faces with texture, provenance, strange names."""

from dataclasses import replace

import numpy as np

from caddm_hf.report.face_pictures import FacePictures
from caddm_hf.report.video_report import (
    FaceScore,
    JudgedFile,
    PersonReport,
    Provenance,
    VideoReport,
)
from support.made_reports import made_face, made_person, made_report

HOSTILE = """<img src=x onerror="alert('1')"> & ${alert(2)} {{constructor}} \u202egpj.mp4"""
SHA256 = "0123456789abcdef" * 4
PROVENANCE = Provenance(
    file=JudgedFile(SHA256, 123_456),
    model_trained=True,
    model_sha256=None,
    settings={"frames": 32, "least_face_px": 48.0, "thresholds": None, "limits": {"side": 8192}},
    versions={"python": "3.11.9", "torch": "2.9.0"},
    checked_at="2026-03-04T05:06:07+00:00",
)


def textured(face: FaceScore, rng: np.random.Generator, side: int = 64) -> FaceScore:
    """The face with a crop of noise, a heatmap of many values, and odd numbers everywhere."""
    x0, y0 = rng.uniform(0, 30, 2)
    return replace(
        face,
        box_xyxy=(x0, y0, x0 + face.size_px, y0 + 1.1 * face.size_px),
        face_confidence=float(rng.uniform(0.9, 1)),
        pictures=FacePictures(
            rng.integers(0, 256, (side, side, 3), np.uint8),
            ((face.fake_probability or 0) * rng.random((side, side))).astype(np.float16),
        ),
        alignment=np.array([[0.7, 0.1, -x0], [-0.1, 0.7, -y0]]) + rng.normal(0, 0.01, (2, 3)),
    )


def textured_person(
    number: int, scores: list[tuple[float, float]], rng: np.random.Generator
) -> PersonReport:
    """As `made_person`, with textured faces."""
    person = made_person(number, scores)
    return replace(person, faces=[textured(face, rng) for face in person.faces])


def evidence_report(name: str = "clip.mp4", **changes) -> VideoReport:
    """Three people: fake, real, and one seen in too few frames."""
    rng = np.random.default_rng(7)
    forged = [(t / 3, 0.7 + 0.29 * float(rng.random())) for t in range(24)]
    steady = [(t / 3, 0.3 * float(rng.random())) for t in range(24)]
    people = [
        textured_person(1, forged, rng),
        textured_person(2, steady, rng),
        textured_person(3, [(0.0, 0.9), (1.0, 0.2)], rng),
    ]
    report = made_report(people, name=name, warnings=("The face is small.",))
    calibration = {"calibration_temperature": 1.7, "calibration_bias": -0.4}
    return replace(report, **({"provenance": PROVENANCE} | calibration | changes))


def face_at(
    time_s: float, x: float, heat: float = 1.0, y: float = 130.0, side: float = 60.0
) -> FaceScore:
    """A face with an even heatmap; its crop is its box."""
    face = made_face(time_s, 0.9)
    scale = 64 / side
    return replace(
        face,
        box_xyxy=(x, y, x + side, y + side),
        pictures=FacePictures(face.crop_rgb, np.full((64, 64), heat, np.float16)),
        alignment=np.array([[scale, 0, -scale * x], [0, scale, -scale * y]]),
    )
