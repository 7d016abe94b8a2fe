"""The topic `say_hello`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge.testing import make_context
from bridge.topic import BpmnError
from topics.say_hello import Greeting, Person, say_hello


@pytest.mark.parametrize(
    ("person", "greeting"),
    [
        (Person(name="Ada"), "Hello, Ada!"),
        (Person(name="Ada", language="en"), "Hello, Ada!"),
        (Person(name="José", language="pt"), "Olá, José!"),
        (Person(name="  Ada \n Lovelace "), "Hello, Ada Lovelace!"),
        (Person(name="{0} {name}"), "Hello, {0} {name}!"),
    ],
)
def test_it_greets(person: Person, greeting: str) -> None:
    assert say_hello(person, make_context()) == Greeting(greeting=greeting)


@pytest.mark.parametrize("person", [Person(), Person(name=None), Person(name=""), Person(name=" \t\n")])
def test_a_missing_name_is_a_bpmn_error(person: Person) -> None:
    with pytest.raises(BpmnError) as caught:
        say_hello(person, make_context())
    assert caught.value.code == "NAME_MISSING"


def test_another_language_is_refused() -> None:
    with pytest.raises(ValidationError, match="language"):
        Person.model_validate({"name": "Ada", "language": "fr"})


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_first_attempts_fail_where_that_is_asked_for(attempt: int) -> None:
    with pytest.raises(RuntimeError, match=f"attempt {attempt} fails"):
        say_hello(Person(name="Ada", fail_times=2), make_context(attempt=attempt))


def test_the_attempt_after_those_succeeds() -> None:
    person = Person(name="Ada", fail_times=2)
    assert say_hello(person, make_context(attempt=3)) == Greeting(greeting="Hello, Ada!")


def test_a_missing_name_is_noticed_after_the_failures() -> None:
    with pytest.raises(RuntimeError):
        say_hello(Person(fail_times=1), make_context(attempt=1))
    with pytest.raises(BpmnError):
        say_hello(Person(fail_times=1), make_context(attempt=2))


def test_failures_can_not_be_fewer_than_none() -> None:
    with pytest.raises(ValidationError, match="fail_times"):
        Person(name="Ada", fail_times=-1)


def test_it_is_a_plain_function_that_takes_the_context() -> None:
    assert (say_hello.name, say_hello.is_async, say_hello.takes_context) == ("say_hello", False, True)
