"""Each tenant of a busy topic has its turn, new ones are met, and what is remembered of them is bounded."""

from __future__ import annotations

from collections import Counter, deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bridge.flow.poll.fairness import ALL_AFTER, KNOWN_AT_MOST, Tenants, Whose


def _rounds(tenants: Tenants, calls: int, full: bool = True) -> list[Whose]:
    """Let so many calls come back, full of the tasks of those that they asked for, or empty."""
    asked = []
    for _ in range(calls):
        asked.append(whose := tenants.next())
        tenants.learn(whose, (whose or ()) if full else (), full=full)
    return asked


def test_one_tenant_alone_is_not_told_apart() -> None:
    tenants = Tenants(None)
    assert tenants.learn(None, ["acme"], full=True)
    assert _rounds(tenants, 20) == [None] * 20


def test_those_that_filled_a_call_take_turns_and_everybody_now_and_then() -> None:
    tenants = Tenants(None)
    tenants.learn(None, ["acme", "bolt"], full=True)
    asked = _rounds(tenants, 40)
    assert asked[:4] == [("acme",), ("bolt",), ("acme",), ("bolt",)]
    assert abs(Counter(asked)[("acme",)] - Counter(asked)[("bolt",)]) <= 1
    whole = [index for index, whose in enumerate(asked) if whose is None]
    assert whole[0] <= ALL_AFTER + 4, "at the end of a round"
    assert max(later - sooner for sooner, later in pairwise(whole)) <= ALL_AFTER + 4


def test_those_of_no_tenant_have_their_turn_by_the_call_for_all() -> None:
    tenants = Tenants(None)
    tenants.learn(None, ["acme", None], full=True)
    asked = []
    for _ in range(4):
        asked.append(whose := tenants.next())
        tenants.learn(whose, ["acme"] if whose else [None], full=True)
    assert asked == [("acme",), None, ("acme",), None]
    tenants.learn(None, ["acme"], full=True)
    assert tenants.next() is None, "acme is alone again"


def test_those_whose_call_was_not_full_share_one_call_a_round() -> None:
    tenants = Tenants(None)
    tenants.meet(["small", "smaller"])
    tenants.learn(None, ["big"], full=True)
    assert [tenants.next() for _ in range(2)] == [("big",), ("small", "smaller")]
    assert tenants.learn(("small", "smaller"), ["small"] * 9, full=True), "it has more by now"
    assert [tenants.next() for _ in range(3)] == [("big",), ("small",), ("smaller",)]
    assert tenants.learn(("small",), ["small"], full=False), "of the others nothing is known"
    assert [tenants.next() for _ in range(2)] == [("big",), ("smaller", "small")]


def test_only_an_answer_to_a_call_for_all_tells_that_there_is_no_more() -> None:
    tenants = Tenants(None)
    tenants.learn(None, ["acme", "bolt"], full=True)
    assert tenants.learn(("acme",), [], full=False)
    assert tenants.learn(("bolt",), [], full=False)
    assert not tenants.learn(None, ["acme"], full=False)
    assert tenants.met == {"acme", "bolt"}, "who was here may come again"


def test_when_nobody_fills_a_call_everybody_is_asked_for_soon() -> None:
    tenants = Tenants(None)
    tenants.learn(None, ["acme", "bolt"], full=True)
    assert None in _rounds(tenants, 5, full=False)


def test_a_topic_that_names_its_tenants_asks_for_no_other() -> None:
    tenants = Tenants(("acme", "bolt", "cove"))
    assert tenants.next() == tenants.everybody == ("acme", "bolt", "cove")
    tenants.learn(tenants.everybody, ["bolt"], full=True)
    assert [tenants.next() for _ in range(2)] == [("bolt",), ("acme", "cove")]
    assert {name for whose in _rounds(tenants, 30) for name in whose or ("none",)} == {"acme", "bolt", "cove"}


def test_no_more_tenants_are_remembered_than_the_bound_the_latest_ones() -> None:
    tenants = Tenants(None)
    for number in range(3 * KNOWN_AT_MOST):
        tenants.learn(None, [f"t{number}", "always"], full=True)
    assert len(tenants.met) == KNOWN_AT_MOST
    assert {"always", f"t{3 * KNOWN_AT_MOST - 1}"} <= tenants.met


names = st.sampled_from([None, "acme", "bolt", "cove", "dune"])


@given(
    st.lists(names, max_size=120),
    st.integers(1, 9),
    st.sampled_from([None, ("acme", "bolt"), ("cove",)]),
    st.frozensets(names),
)
def test_every_task_comes_in_the_end_and_no_tenant_that_was_met_waits_for_more_than_its_turn(
    created: list[str | None], size: int, declared: Whose, met: frozenset[str | None]
) -> None:
    tenants = Tenants(declared)
    if declared is None:
        tenants.meet(sorted(name for name in met if name is not None))
    waiting = deque(name for name in created if declared is None or name in declared)
    busy, whose, since = True, tenants.everybody, Counter[str]()
    while busy:
        ready = [name for name in waiting if whose is None or name in whose][:size]
        for name in ready:
            waiting.remove(name)
        for name in tenants.met:
            served = name in ready or name in (whose or ())
            since[name] = 0 if served or name not in waiting else since[name] + 1
            assert since[name] <= len(tenants.met) + 2, f"{name} waits for too long"
        busy = tenants.learn(whose, ready, full=len(ready) == size)
        whose = tenants.next()
    assert not waiting
