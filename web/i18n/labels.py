"""Labels of the states of tasks, and of what was done to them, as texts to translate."""

from __future__ import annotations

from typing import Final

from web.i18n.texts import msg, translations

STATES: Final = {
    "received": msg("Received"),
    "queued": msg("Queued"),
    "running": msg("Running"),
    "reporting": msg("Reporting"),
    "completed": msg("Completed"),
    "retrying": msg("Retrying"),
    "failed": msg("Failed"),
    "cancelled": msg("Cancelled"),
    "superseded": msg("Superseded"),
    "unknown": msg("Unknown"),
    "unreadable": msg("Unreadable"),
}
ACTIONS: Final = {
    "task.retry": msg("Retried"),
    "task.retry_at": msg("Retry postponed"),
    "task.edit": msg("Variables edited and retried"),
    "task.edit_missed": msg("Edited variables did not arrive"),
    "task.set_retries": msg("Retries set"),
    "task.release": msg("Lock released"),
    "task.reveal": msg("Secret revealed"),
}


def state_in_sentence(language: str, state: str) -> str:
    """Return a state as it stands within a sentence."""
    return str(translations(language).gettext(STATES[state])).lower() if state in STATES else state
