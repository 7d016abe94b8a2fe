"""What tests of a process and of its log share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog

from bridge.adapters.logging.records import RecordHandler
from bridge.flow.handle.run import Run
from gateway import process
from tests.unit.flow.handle.run_rig import a_run


@pytest.fixture
def process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that is missing is asked for again at once; and the tests' own memory stays as it is."""
    monkeypatch.setattr(process, "delay_after", lambda *_: timedelta(0))
    monkeypatch.setattr(process, "_SLOW_RETRY", timedelta(0))
    monkeypatch.setattr(process, "_settle_memory", lambda: None)


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Logging belongs to the process: put back what `configure_logging` changes in it."""
    root = logging.getLogger()
    level, shown = root.level, warnings.showwarning
    names = {name: logger for name, logger in root.manager.loggerDict.items() if isinstance(logger, logging.Logger)}
    before = {name: (logger.level, logger.propagate, list(logger.handlers)) for name, logger in names.items()}
    yield
    for handler in list(root.handlers):
        if isinstance(handler, RecordHandler):
            root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    warnings.showwarning = shown
    for name, logger in list(root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            least, logger.propagate, logger.handlers[:] = before.get(name, (logging.NOTSET, True, []))
            logger.setLevel(least)
    structlog.reset_defaults()


@pytest.fixture
def runner() -> Iterator[Run]:
    run = a_run()
    yield run
    run.close()
