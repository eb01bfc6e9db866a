"""caddm_hf.report.counting: which faces count."""

import pytest

from caddm_hf.faces.counting import (
    FaceDoubt,
    FaceFacts,
    JudgingRules,
    face_doubt,
    is_surely_a_face,
)
from caddm_hf.faces.plausibility import PointFault

GOOD = FaceFacts(120, 0.9999, None, 0.5)
RULES = JudgingRules(least_sharpness=0.3)


def test_a_good_face_counts():
    assert is_surely_a_face([GOOD] * 8, 1.0, RULES)
    assert face_doubt(GOOD, True, RULES) is None


@pytest.mark.parametrize(
    ("facts", "doubt"),
    [
        (FaceFacts(40, 0.9999, None, 0.5), FaceDoubt.TOO_SMALL),
        (FaceFacts(120, 0.9999, None, 0.2), FaceDoubt.TOO_BLURRED),
        (FaceFacts(120, 0.9999, PointFault.TURNED_AWAY, 0.5), FaceDoubt.TURNED_AWAY),
        (FaceFacts(120, 0.9999, PointFault.NOT_A_FACE, 0.5), FaceDoubt.NOT_A_FACE),
    ],
)
def test_doubts(facts, doubt):
    assert face_doubt(facts, True, RULES) is doubt


def test_without_a_measured_limit_no_face_is_too_blurred():
    assert face_doubt(FaceFacts(120, 1.0, None, 0.0), True) is None


def test_a_patch_of_lights_is_not_surely_a_face():
    """The face search was unsure of it, or saw it now and then in one scene."""
    lights = [FaceFacts(53, confidence) for confidence in (0.91, 0.93, 0.995, 0.9, 0.94, 0.96)]
    assert not is_surely_a_face(lights, 1.0)
    assert not is_surely_a_face([GOOD] * 6, 0.3)
    odd = FaceFacts(80, 1.0, PointFault.NOT_A_FACE)
    assert not is_surely_a_face([GOOD, odd, odd], 1.0)
    assert face_doubt(GOOD, False) is FaceDoubt.NOT_A_FACE
