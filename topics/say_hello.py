"""The topic `say_hello`: greets somebody by name. The shortest topic there is, and a plain function."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from bridge.topic import BpmnError, Context, topic


class Person(BaseModel):
    """The person to greet, and the language: English or Portuguese.

    `fail_times`: the first so many attempts fail, to see retries at work.
    """

    name: str | None = None
    language: Literal["en", "pt"] = "en"
    fail_times: Annotated[int, Field(ge=0)] = 0


class Greeting(BaseModel):
    """What the process gets back."""

    greeting: str


_GREETINGS = {"en": "Hello, {}!", "pt": "Olá, {}!"}


@topic("say_hello", timeout=5)
def say_hello(person: Person, context: Context) -> Greeting:
    """Return the greeting; raise the BPMN error `NAME_MISSING` where the name is missing or blank."""
    if context.attempt <= person.fail_times:
        raise RuntimeError(f"attempt {context.attempt} fails, as the first {person.fail_times} were asked to")
    name = " ".join((person.name or "").split())
    if not name:
        raise BpmnError("NAME_MISSING", "there is no name to greet")
    return Greeting(greeting=_GREETINGS[person.language].format(name))
