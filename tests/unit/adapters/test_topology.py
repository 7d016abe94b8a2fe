"""Names of the broker: those that there are stay, any topic has one, and no two topics have the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.rabbitmq.topology import Topology, topic_of
from bridge.domain.errors import SetupError

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=255)
ODD = [
    "Ação/de cobrança 1",
    " lead",
    "a\tb",
    "%",
    "%25",
    "a%2Fb",
    "a/b",
    "#",
    "*",
    "dead",
    "%64ead",
    "é" * 255,
    "日" * 255,
]


@pytest.mark.parametrize("topic", ["charge-card", "order.ship:v2", "Charge_Card", "2fa", "x" * 128, "_a"])
def test_a_plain_topic_keeps_the_names_it_had(topic: str) -> None:
    topology = Topology("worker.gateway")
    assert topology.queue_name(topic) == f"worker.gateway.{topic}"
    assert topology.routing_key(topic) == topic


@pytest.mark.parametrize("exchange", ["worker.gateway", "x" * 200])
@pytest.mark.parametrize("topic", ODD)
def test_any_topic_has_a_name_that_the_broker_takes(exchange: str, topic: str) -> None:
    name = Topology(exchange).queue_name(topic)
    assert len(name.encode()) <= 255
    assert re.fullmatch(r"[a-zA-Z0-9_.:@+-]+", name)
    assert name != Topology(exchange).dead


@given(st.lists(NAMES, unique=True, max_size=30), st.sampled_from(["gateway", "x" * 200]))
def test_two_topics_never_have_the_same_name(topics: list[str], exchange: str) -> None:
    names = {Topology(exchange).queue_name(topic) for topic in [*topics, *set(ODD).difference(topics)]}
    assert len(names) == len({*topics, *ODD})


@given(NAMES, st.lists(NAMES, max_size=30), st.sampled_from(["gateway", "x" * 200]))
def test_a_lock_has_no_topics_name(repaired: str, topics: list[str], exchange: str) -> None:
    lock = Topology(exchange).repair_lock(repaired)
    assert len(lock.encode()) <= 255
    assert lock not in {Topology(exchange).queue_name(topic) for topic in [lock.removeprefix(f"{exchange}."), *topics]}


def test_long_topics_differ_by_their_hash() -> None:
    first, second = ("é" * 254 + end for end in "ab")
    assert Topology("gateway").routing_key(first) != Topology("gateway").routing_key(second)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_a_dead_letter_tells_its_topic(topic: str) -> None:
    assert topic_of(Topology("gateway").routing_key(topic)) == topic


def test_an_exchange_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(SetupError, match="RABBITMQ_EXCHANGE"):
        Topology("x" * 240)
