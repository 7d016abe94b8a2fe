"""Limits on an engine's answer, counted after decompression: a few kilobytes of gzip may be gigabytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp

from bridge.domain.errors import AnswerTooLarge
from bridge.domain.json_values import MOST_VALUES, has_more_values
from bridge.domain.messages import message
from bridge.domain.submission import LARGE
from bridge.runtime.own_threads import OwnThreads


@dataclass(frozen=True, slots=True)
class AnswerLimit:
    """Bytes of an answer, and values in its JSON where it is decoded."""

    size: int
    values: int | None = MOST_VALUES


SMALL_ANSWER: Final = AnswerLimit(4_000_000)
"""For an answer without variables; a page of a hundred tasks takes some 60 kB."""

_TURN: Final = 1_000_000
"""How many bytes are read before whatever else waits has its turn: some 10 ms of decompression."""


async def read_bounded(
    operation: str, response: aiohttp.ClientResponse, most: AnswerLimit, threads: OwnThreads
) -> bytes:
    """Return an answer's body; the values of a large one are counted in a thread.

    Raises `AnswerTooLarge` beyond the limit, with the rest unread.
    """
    if response.content_length is not None and response.content_length > most.size:
        raise _too_large(operation, most)
    read, turn = bytearray(), _TURN
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > most.size:
            raise _too_large(operation, most)
        if len(read) > turn:  # what decompresses to much is there at once, and nothing else would run until its end
            turn = len(read) + _TURN
            await asyncio.sleep(0)
    if most.values is not None and len(read) > LARGE and await threads.run(has_more_values, read, most.values):
        raise AnswerTooLarge(message("engine.answer_values", operation=operation, most=most.values))
    return bytes(read)


def _too_large(operation: str, most: AnswerLimit) -> AnswerTooLarge:
    return AnswerTooLarge(message("engine.answer_size", operation=operation, most=most.size))
