"""How much is read of an engine's answer, counted after decompression: a few kilobytes of gzip may be gigabytes."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from bridge.domain.errors import AnswerTooLarge
from bridge.domain.messages import message

SMALL_ANSWER: Final = 4_000_000
"""How many bytes are read of an answer without variables; a page of a hundred tasks takes some 60 kB."""

_TURN: Final = 1_000_000
"""How many bytes are read before whatever else waits has its turn: some 10 ms of decompression."""


async def read_bounded(operation: str, response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return an answer's body. Raises `AnswerTooLarge` beyond `most` bytes, with the rest unread."""
    if response.content_length is not None and response.content_length > most:
        raise _too_large(operation, most)
    read, turn = bytearray(), _TURN
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > most:
            raise _too_large(operation, most)
        if len(read) > turn:  # what decompresses to much is there at once, and nothing else would run until its end
            turn = len(read) + _TURN
            await asyncio.sleep(0)
    return bytes(read)


def _too_large(operation: str, most: int) -> AnswerTooLarge:
    return AnswerTooLarge(message("engine.answer_size", operation=operation, most=most))
