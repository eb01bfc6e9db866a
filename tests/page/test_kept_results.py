"""caddm_hf.page.kept_results: results of the visitors who are there, within a budget."""

import os

from caddm_hf.page.kept_results import KeptResult, KeptResults
from support.made_reports import made_person, made_report

RESULT = KeptResult(made_report([made_person(1, [(0.0, 0.9), (1.0, 0.2)])]), "clip.mp4")


def test_results_are_kept_by_session_and_place():
    kept = KeptResults()
    kept.keep("ann", "video", RESULT)
    assert kept.get("ann", "video") is RESULT
    assert kept.get("ben", "video") is None
    assert kept.get("ann", "picture") is None
    kept.drop("ann", "video", "picture")
    assert kept.get("ann", "video") is None


def test_what_was_used_least_lately_goes_first():
    assert RESULT.size_bytes == 2 * 64 * 64 * (3 + 2)
    kept = KeptResults(most_bytes=2 * RESULT.size_bytes)
    for place in ("first", "second"):
        kept.keep("ann", place, RESULT)
    assert kept.get("ann", "first") is RESULT
    kept.keep("ben", "third", RESULT)
    assert kept.get("ann", "second") is None
    assert kept.get("ann", "first") is kept.get("ben", "third") is RESULT


def test_one_result_beyond_the_budget_is_kept_all_the_same():
    kept = KeptResults(most_bytes=1)
    kept.keep("ann", "video", RESULT)
    assert kept.get("ann", "video") is RESULT


def test_a_session_leaves_nothing_behind():
    kept = KeptResults()
    kept.keep("ann", "video", RESULT)
    kept.keep("ben", "video", RESULT)
    folders = [kept.folder("ann"), kept.folder("ann"), kept.folder("ben")]
    assert len(set(folders)) == 3
    (folders[0] / "evidence.zip").write_bytes(b"x")
    kept.forget("ann")
    assert kept.get("ann", "video") is None
    assert [folder.exists() for folder in folders] == [False, False, True]
    kept.close()
    assert kept.get("ben", "video") is None
    assert not folders[2].exists()


def test_what_was_made_long_ago_is_deleted():
    kept = KeptResults()
    old, young = kept.folder("ann"), kept.folder("ann")
    left = kept.folder("ben")
    for folder in (old, left):
        (folder / "evidence.zip").write_bytes(b"x")
        os.utime(folder, (0, 0))
    made = kept.folder("cy")
    assert [folder.exists() for folder in (old, young, left, made)] == [False, True, False, True]
    kept.close()
    assert not made.exists()
