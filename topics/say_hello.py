"""The topic `say_hello`: greets somebody by name. The shortest topic there is, and a plain function."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from bridge.topic import BpmnError, topic


class Person(BaseModel):
    """Who is to be greeted, and in which language: English or Portuguese."""

    name: str | None = None
    language: Literal["en", "pt"] = "en"


class Greeting(BaseModel):
    """What the process gets back."""

    greeting: str


_GREETINGS = {"en": "Hello, {}!", "pt": "Olá, {}!"}


@topic("say_hello", timeout=5)
def say_hello(person: Person) -> Greeting:
    """Return the greeting; raise the BPMN error `NAME_MISSING` where the name is missing or blank."""
    name = " ".join((person.name or "").split())
    if not name:
        raise BpmnError("NAME_MISSING", "there is no name to greet")
    return Greeting(greeting=_GREETINGS[person.language].format(name))
