"""Each key has its turn."""

from __future__ import annotations

from bridge.runtime.turns import Turns


def test_keys_take_turns_and_each_keeps_its_order() -> None:
    turns: Turns[str] = Turns()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.push(item[0], item)
    assert [turns.pop() for _ in range(7)] == ["a1", "b1", "c1", "a2", "c2", "a3", None]


def test_a_key_that_comes_back_goes_to_the_end() -> None:
    turns: Turns[str] = Turns()
    turns.push("a", "a1")
    turns.push("b", "b1")
    assert turns.pop() == "a1"
    turns.push("a", "a2")
    assert [turns.pop(), turns.pop(), turns.pop()] == ["b1", "a2", None]
