"""The topic `say_hello`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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
    assert say_hello(person) == Greeting(greeting=greeting)


@pytest.mark.parametrize("person", [Person(), Person(name=None), Person(name=""), Person(name=" \t\n")])
def test_a_missing_name_is_a_bpmn_error(person: Person) -> None:
    with pytest.raises(BpmnError) as caught:
        say_hello(person)
    assert caught.value.code == "NAME_MISSING"


def test_another_language_is_refused() -> None:
    with pytest.raises(ValidationError, match="language"):
        Person.model_validate({"name": "Ada", "language": "fr"})


def test_it_is_a_plain_function_and_needs_no_context() -> None:
    assert (say_hello.name, say_hello.is_async, say_hello.takes_context) == ("say_hello", False, False)
