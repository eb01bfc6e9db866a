"""caddm_hf.report.main_people: who a video is about."""

from caddm_hf.faces.main_people import Presence, find_main_people


def main(*people: tuple[float, int]) -> list[bool]:
    return find_main_people([Presence([size] * frames) for size, frames in people])


def test_small_and_brief_people_are_bystanders():
    assert main((200, 32), (90, 32)) == [True, False]
    assert main((200, 32), (200, 10)) == [True, False]
    assert main((200, 32), (110, 12)) == [True, True]


def test_a_brief_close_up_does_not_make_bystanders_of_the_rest():
    assert main((200, 32), (500, 5)) == [True, False]


def test_what_is_no_face_sets_no_measure_and_is_no_main_person():
    people = [Presence([900.0] * 32, is_face=False), Presence([100.0] * 12)]
    assert find_main_people(people) == [False, True]


def test_where_nobody_is_surely_a_face_nobody_is_a_bystander():
    assert find_main_people([Presence([90.0] * 6, is_face=False)]) == [True]
    assert find_main_people([]) == []
