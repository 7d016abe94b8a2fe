"""The language of searches: what it says, what it refuses and where, and that it can be written back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.task import Source, State, Task, TypedValue
from bridge.search.grammar import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, MAX_VALUES, parse, to_text
from bridge.search.match import matches
from bridge.search.query import (
    EVERYTHING,
    KINDS,
    All,
    Among,
    Compare,
    Either,
    Field,
    Kind,
    Node,
    Not,
    Operator,
    QueryError,
    Variable,
    Word,
    all_of,
    conditions,
    either,
    negated,
    scalars,
)
from bridge.search.values import CHOICES
from tests.unit.fakes import NOW, SECOND, a_task

DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)

READ = [
    ("", EVERYTHING),
    ("  ", EVERYTHING),
    ("abc", Word("abc")),
    ('"a b"', Word("a b")),
    (r'"a\"\\b"', Word('a"\\b')),
    ("a-b_c.d/e,f", Word("a-b_c.d/e,f")),
    ("a b", All((Word("a"), Word("b")))),
    ("a AND b", All((Word("a"), Word("b")))),
    ("a OR b", Either((Word("a"), Word("b")))),
    ("a b OR c", Either((All((Word("a"), Word("b"))), Word("c")))),
    ("a (b OR c)", All((Word("a"), Either((Word("b"), Word("c")))))),
    ("((a))", Word("a")),
    ("-a", Not(Word("a"))),
    ("--a", Word("a")),
    ("-(a b)", Not(All((Word("a"), Word("b"))))),
    ('"OR" ORDER', All((Word("OR"), Word("ORDER")))),
    ("or", Word("or")),
    ("state:failed", Among(Field.STATE, ("failed",))),
    ("STATUS:Failed,retrying,failed", Among(Field.STATE, ("failed", "retrying"))),
    ('topic:a.b:c,"x y"', Among(Field.TOPIC, ("a.b:c", "x y"))),
    ('key:""', Among(Field.KEY, ("",))),
    ("source:pushed", Among(Field.SOURCE, ("pushed",))),
    ("error:ValueError", Among(Field.ERROR, ("ValueError",))),
    ("fp:0a1b", Among(Field.FINGERPRINT, ("0a1b",))),
    ("attempts:>=3", Compare(Field.ATTEMPTS, Operator.AT_LEAST, 3)),
    ("priority:-5,0", Among(Field.PRIORITY, (-5, 0))),
    ("retries:<1", Compare(Field.RETRIES, Operator.LESS, 1)),
    ("created:>2026-01-01", Compare(Field.CREATED, Operator.MORE, FIRST)),
    (
        "updated:2026-01-01",
        All((Compare(Field.UPDATED, Operator.AT_LEAST, FIRST), Compare(Field.UPDATED, Operator.LESS, FIRST + DAY))),
    ),
    ("finished:<=2026-01-01T01:00:00+01:00", Compare(Field.FINISHED, Operator.AT_MOST, FIRST)),
    ("waiting:>5m", Compare(Field.WAITING, Operator.MORE, timedelta(minutes=5))),
    ("var.order.id:123", Variable("order.id", ("123",))),
    ('VAR."a b":true,"x,y"', Variable("a b", ("true", "x,y"))),
    ("$ne", Word("$ne")),
    ("$where", Word("$where")),
    ("topic:$ne", Among(Field.TOPIC, ("$ne",))),
    ('key:"{$gt: 1}"', Among(Field.KEY, ("{$gt: 1}",))),
    ("var.$where:$regex", Variable("$where", ("$regex",))),
]


@pytest.mark.parametrize(("text", "query"), READ)
def test_a_query_is_read(text: str, query: Node) -> None:
    assert parse(text) == query
    assert parse(to_text(query)) == query


WRONG = [
    ("stat:failed", 0, "did you mean state"),
    ("a $where:1", 2, "quotes"),
    ("$ne:1", 0, "quotes"),
    ("$regex:x", 0, "quotes"),
    ("state:faild", 6, "failed"),
    ("source:x", 7, ""),
    ("attempts:many", 9, "attempts:>=3"),
    ("attempts:>=1,2", 9, ""),
    ("topic:>a", 6, "topic:a"),
    ("created:>soon", 8, "2026-01-31"),
    ("created:2026-02-30", 8, "2026-01-31"),
    ("created:9999-12-31", 8, ""),
    ("created:2026-01-01,2026-01-02", 8, "created:>="),
    ("waiting:5m", 8, "waiting:>5m"),
    ("waiting:>5", 8, "waiting:>5m"),
    ("topic:", 0, 'topic:""'),
    ("topic:a,", 0, 'topic:""'),
    ("var.:1", 0, "var.order.id:123"),
    ('var."x"', 0, "var.x:123"),
    ("a (b", 2, "add )"),
    ("a b)", 3, ""),
    ("()", 0, ""),
    ("a OR", 2, '"OR"'),
    ("OR a", 0, '"OR"'),
    ("a -", 2, '"-"'),
    ("- a", 0, '"-"'),
    ('a "b', 2, 'add "'),
    ('""', 0, ""),
    (":x", 0, '":"'),
    ("a\0b", 1, ""),
    ("a\ud800", 1, ""),
    ("x" * (MAX_LENGTH + 1), MAX_LENGTH, ""),
    ("-" * (MAX_DEPTH + 2) + "a", MAX_DEPTH + 1, ""),
    ("(" * 100 + "a" + ")" * 100, MAX_DEPTH + 1, ""),
    ("a " * (MAX_TERMS + 1), 2 * MAX_TERMS, ""),
    ("key:" + ",".join("abc"[: 1 + n % 3] for n in range(MAX_VALUES + 1)), 0, ""),
]


@pytest.mark.parametrize(("text", "position", "hint"), WRONG)
def test_a_mistake_is_told_with_its_place(text: str, position: int, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.position == position
    assert position <= caught.value.end <= len(text)
    assert hint in (caught.value.hint or "")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
operators = st.sampled_from(Operator)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)


def fields(*kinds: Kind) -> st.SearchStrategy[Field]:
    return st.sampled_from([field for field in Field if KINDS[field] in kinds])


def unique(values: st.SearchStrategy[str | int]) -> st.SearchStrategy[tuple[str | int, ...]]:
    return st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)


leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(Word, texts),
    st.builds(Among, fields(Kind.TEXT), unique(texts)),
    st.builds(Among, st.just(Field.STATE), unique(st.sampled_from(CHOICES[Field.STATE]))),
    st.builds(Among, fields(Kind.NUMBER), unique(st.integers(-(10**17), 10**17))),
    st.builds(Compare, fields(Kind.NUMBER), operators, st.integers(-(10**17), 10**17)),
    st.builds(Compare, fields(Kind.MOMENT), operators, moments),
    st.builds(Compare, st.just(Field.WAITING), operators, st.integers(0, 10**6).map(lambda seconds: seconds * SECOND)),
    st.builds(Variable, texts, unique(texts)),
)
queries = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(all_of),
        st.lists(inner, min_size=1, max_size=3).map(either),
        inner.map(negated),
    ),
    max_leaves=8,
)


def depth(query: Node) -> int:
    match query:
        case All(terms) | Either(terms):
            return 1 + max(map(depth, terms), default=0)
        case Not(term):
            return 1 + depth(term)
        case _:
            return 0


@given(queries)
def test_a_query_can_be_written_and_read_again(query: Node) -> None:
    if depth(query) < MAX_DEPTH // 2 and len(to_text(query)) <= MAX_LENGTH:
        assert parse(to_text(query)) == query


@given(st.text(max_size=60) | st.text('ab-():"\\,<>=$. OR', max_size=40))
def test_any_text_is_a_query_or_a_mistake(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        position, end = error.position, error.end
    else:
        position, end = 0, 0
        assert parse(to_text(query)) == query
    assert 0 <= position <= end <= len(text)


def a_rich_task() -> Task:
    return a_task(
        "t-1",
        topic="orders",
        state=State.FAILED,
        source=Source.PUSHED,
        business_key="ORD-1",
        process_instance_id="p-9",
        attempts=3,
        error_type="ValueError",
        error_fp="ff",
        variables={"n": TypedValue("Integer", 1), "yes": TypedValue("Boolean", True), "a.b": TypedValue("String", "1")},
        given={"f": TypedValue("Double", 0.5), "null": TypedValue("Null")},
    )


FOUND = [
    "", "t-", "t-1", "ORD", "p-9", "state:failed", "state:queued,failed", "-state:queued", "source:pushed",
    "topic:orders error:ValueError", "fp:ff", "key:ORD-1", "instance:p-9", "worker:w1", "attempts:3",
    "attempts:>2 attempts:<=3", "created:2026-01-01", "created:<2026-01-02", "-finished:>2000-01-01", "-tenant:x",
    "var.n:1", "var.n:2,1", "var.yes:true", "var.a.b:1", "var.f:0.5", "-var.n:true", "-var.yes:1", "x OR t",
    "-waiting:>0s",
]  # fmt: skip
MISSED = [
    "1", "ORD-1x", "state:queued", "topic:order", "tenant:x", "finished:>2000-01-01", "attempts:>3", "-t-1", "t-1 x",
    "var.n:01x", "var.other:1", "var.null:null", "var.n:1.5", "waiting:<99d",
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [*((text, True) for text in FOUND), *((text, False) for text in MISSED)])
def test_what_a_query_finds(text: str, wanted: bool) -> None:
    assert matches(parse(text), a_rich_task(), NOW) is wanted


def test_a_task_waits_since_its_last_change() -> None:
    task = a_task(state=State.QUEUED, updated_at=NOW)
    for text, wanted in (("waiting:>10m", False), ("waiting:>=10m", True), ("waiting:<11m", True)):
        assert matches(parse(text), task, NOW + 600 * SECOND) is wanted
    assert not matches(parse("waiting:>5m"), a_task(state=State.RUNNING), NOW + DAY)


def test_conditions_are_what_can_be_dropped_one_by_one() -> None:
    assert [to_text(term) for term in conditions(parse("a (b OR c) -d"))] == ["a", "b OR c", "-d"]
    assert conditions(parse("")) == ()
    assert conditions(parse("a OR b")) == (parse("a OR b"),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", ["a"]),
        ("12", ["12", 12]),
        ("1.5", ["1.5", 1.5]),
        ("true", ["true", True]),
        ("True", ["True"]),
        ("nan", ["nan"]),
        ("inf", ["inf"]),
        ("1e400", ["1e400"]),
        (str(2**63), [str(2**63)]),
        ("１", ["１"]),
    ],
)
def test_a_variables_value_may_be_written_text_or_a_number(text: str, found: list[object]) -> None:
    assert list(scalars(text)) == found
    assert [type(one) for one in scalars(text)] == [type(one) for one in found]
