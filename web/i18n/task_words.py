"""Why something can't be done to a task, as texts to translate: `bridge.operations.actions` says them in English."""

from __future__ import annotations

from typing import Final

from web.i18n.texts import msg, translations

REASONS: Final = (
    msg("it waits to be published and will be worked without that"),
    msg("it waits in its topic's queue and will be worked without that"),
    msg("its handler runs now: wait for its outcome"),
    msg("its outcome is on its way to the engine: wait for that"),
    msg("it is going to be tried again without that"),
    msg("it is completed"),
    msg("it is gone from the engine"),
    msg("it ended in the engine"),
    msg("another worker holds it: retry it there, or wait until its lock ends"),
    msg("the gateway itself works under its lock: without it another worker would do the same work again"),
    msg("it has no retries left, so nobody is kept from it by a lock: retry it"),
    msg("the engine named no process instance whose variables could be set"),
)
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


def state_word(language: str, state: str) -> str:
    """Return a state as it stands within a sentence."""
    return str(translations(language).gettext(STATES[state])).lower() if state in STATES else state
