"""Why a document can't be read is told in full, and the same by every process."""

from __future__ import annotations

from itertools import permutations

from bridge.documents.task_codec import read_document, to_document
from bridge.domain.task import UnreadableTask
from tests.unit.fakes import a_task


def test_every_field_that_can_not_be_read_is_told_whatever_the_order_in_which_it_is_stored() -> None:
    spoiled = {**to_document(a_task()), "state": "paused", "attempts": "many", "variables": 7}
    told = set()
    for names in permutations(("state", "attempts", "variables")):
        found = read_document({name: spoiled[name] for name in (*names, *sorted(spoiled.keys() - set(names)))})
        assert isinstance(found, UnreadableTask)
        told.add(found.reason)
    (reason,) = told
    assert [part.split(":")[0] for part in reason.split("; ")] == ["state", "attempts", "variables"]
    assert "'paused' is not a valid State" in reason
