"""The place of a reader of a growing table: never beyond a row that may still come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowdsl_sql.trail import Trail

LATE = 10.0


def test_the_place_follows_what_is_done_and_settled() -> None:
    trail = Trail(None, [], 0.0)
    for key in (1, 2, 3):
        trail.see(key, 1.0)
    trail.finish([1, 3])
    trail.settle(0.5)
    assert (trail.place, trail.done, trail.last) == (None, [1, 3], 3)
    trail.settle(1.0)
    assert (trail.place, trail.done, trail.last) == (1, [3], 3)
    trail.finish([2])
    trail.advance()
    assert (trail.place, trail.done, trail.last) == (3, [], 3)


def test_a_key_that_came_late_holds_the_place_until_it_is_done() -> None:
    trail = Trail(5, [], 0.0)
    trail.see(8, 1.0)
    trail.finish([8])
    trail.see(7, 2.0)
    trail.settle(1.0)
    assert (trail.place, trail.done) == (5, [8]), "7 is settled with 8, and not done"
    trail.finish([7])
    trail.advance()
    assert trail.place == 8


def test_what_was_done_before_is_known_again() -> None:
    trail = Trail(5, [7, 9], 0.0)
    assert (7 in trail, 8 in trail, trail.last) == (True, False, 9)
    trail.see(6, 1.0)
    trail.see(8, 1.0)
    trail.finish([6, 8, 100])
    trail.settle(1.0)
    assert (trail.place, trail.done) == (9, [])


@given(
    commits=st.lists(st.integers(0, 9), max_size=30),
    acts=st.lists(st.sampled_from(["read", "scan", "finish", "die", "pass"]), max_size=80),
)
def test_no_row_is_lost_that_comes_within_the_bound(commits: list[int], acts: list[str]) -> None:
    """Row n is written at second n and becomes visible `commits[n]` seconds later: less than LATE after a greater one can."""
    visible_at = {number: float(number + delay) for number, delay in enumerate(commits)}
    now = 0.0
    kept: tuple[int | None, list[int]] = (None, [])
    trail = Trail(*kept, now)
    given_out: list[int] = []
    done: set[int] = set()

    def visible() -> list[int]:
        return sorted(key for key, at in visible_at.items() if at <= now)

    def look(all_of_it: bool) -> None:
        last, place = trail.last, trail.place
        for key in visible():
            fresh = last is None or key > last
            behind = all_of_it and (place is None or key > place)
            if (fresh or behind) and key not in trail:
                trail.see(key, now)
                given_out.append(key)
        if all_of_it:
            trail.settle(now - LATE)

    def finish() -> None:
        nonlocal kept
        trail.finish(given_out)
        done.update(given_out)
        given_out.clear()
        trail.advance()
        kept = (trail.place, trail.done)

    for act in [*acts, *["pass", "scan", "finish"] * 60]:
        if act == "pass":
            now += 1.0
        elif act == "finish":
            finish()
        elif act == "die":
            given_out.clear()
            trail = Trail(*kept, now)
        else:
            look(act == "scan")
    assert done == set(visible_at)
