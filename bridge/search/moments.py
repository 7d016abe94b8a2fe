"""Moments and texts as a cursor or an address brings them: anybody may have written them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def read_instant(text: str, zone: tzinfo | None = None) -> datetime | None:
    """Return the moment in UTC that an ISO 8601 text names; in `zone` where it says no offset.

    None for what is no moment, for one without an offset where there is no zone, and for one that is within the
    calendar's years 1 to 9999 only under its own offset.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            if zone is None:
                return None
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_stored_instant(text: str, zone: tzinfo | None = None) -> datetime | None:
    """Return the same moment as the store keeps it: in milliseconds."""
    moment = read_instant(text, zone)
    return None if moment is None else moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def is_text(text: str) -> bool:
    """Return whether the text can be written as UTF-8: JSON's escapes can name half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)
