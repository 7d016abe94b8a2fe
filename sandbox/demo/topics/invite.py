"""The topic `demo_invite`: writes an invitation for one guest of many, as a result that is the task's own."""

from __future__ import annotations

from pydantic import BaseModel

from bridge.topic import LocalResult, topic


class Guest(BaseModel):
    """The guest, by the name that the input mapping gave."""

    name: str


class Invitation(LocalResult):
    """What the output mapping collects. In the task's own scope: parallel tasks don't overwrite each other's."""

    invitation: str


@topic("demo_invite", timeout=5)
def invite(guest: Guest) -> Invitation:
    """Return the invitation."""
    return Invitation(invitation=f"Convite: {guest.name}")
