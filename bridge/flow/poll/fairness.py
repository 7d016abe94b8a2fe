"""Whose turn it is among the tenants of a topic that has more tasks than one call brings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

Whose = tuple[str, ...] | None
"""The tenants that a call asks for; None stands for all tasks, with and without a tenant."""

KNOWN_AT_MOST: Final = 100
ALL_AFTER: Final = 8
"""How many calls for single tenants come before a call for all, which discovers new tenants."""


class Tenants:
    """The known tenants of one topic, and a round in which each has its turn.

    A tenant that may have more than its last call brought has a call of its own in each round; the others share a
    call, which costs little. A call for all of the topic's tasks is made now and then, and once a round while it
    brings tasks without a tenant, as their turn. `declared` are the tenants that the topic names: it asks for no
    other tasks.
    """

    def __init__(self, declared: Whose) -> None:
        self._all = declared
        self._at_most = max(KNOWN_AT_MOST, len(declared or ()))
        self._met: dict[str, None] = dict.fromkeys(declared or ())
        self._busy: dict[str, None] = {}
        self._round: deque[Whose] = deque()
        self._since_all = 0
        self._has_plain = False

    @property
    def everybody(self) -> Whose:
        """The tenants of a call for all of the topic's tasks."""
        return self._all

    @property
    def met(self) -> frozenset[str]:
        return frozenset(self._met)

    def next(self) -> Whose:
        """Return whose tasks the next call asks for."""
        if len(self._met) + self._has_plain < 2:
            return self._all
        if not self._round:
            self._begin_round()
        whose = self._round.popleft()
        self._since_all = 0 if whose == self._all else self._since_all + 1
        return whose

    def meet(self, tenants: Iterable[str | None]) -> None:
        """Keep the tenants of tasks that came; the tenant without tasks for the longest time is dropped first."""
        for tenant in tenants:
            if tenant is not None:
                self._met.pop(tenant, None)
                self._met[tenant] = None
        while len(self._met) > self._at_most:
            oldest = next(iter(self._met))
            del self._met[oldest]
            self._busy.pop(oldest, None)

    def learn(self, whose: Whose, tenants: Iterable[str | None], *, full: bool) -> bool:
        """Record which tenants' tasks a call for `whose` brought; return whether the topic may have more."""
        seen = set(tenants)
        self.meet(sorted(tenant for tenant in seen if tenant is not None))
        if whose == self._all:
            self._has_plain = None in seen
        if full:
            self._busy.update((tenant, None) for tenant in self._met if tenant in seen)
            return True
        if whose == self._all:
            self._busy.clear()
            self._round.clear()
            return False
        for tenant in whose or ():
            self._busy.pop(tenant, None)
        return True

    def _begin_round(self) -> None:
        self._round.extend((tenant,) for tenant in self._busy)
        others = tuple(tenant for tenant in self._met if tenant not in self._busy)
        if others and (self._busy or self._all is None):
            self._round.append(others)
        if not self._busy or self._has_plain or self._since_all >= ALL_AFTER:
            self._round.append(self._all)
