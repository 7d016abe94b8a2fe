"""One hierarchy of errors. `web.api.problems` maps it to HTTP; the flow decides by type what a failed call means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import ClassVar, Final, Self

from bridge.domain.messages import Message, message, message_of
from bridge.domain.task import UnreadableTask


class GatewayError(Exception):
    """An error that the gateway itself raises.

    `default_code` is the code of an error that is raised with a text in place of a `Message`.
    """

    default_code: ClassVar[str] = "gateway"

    @property
    def message(self) -> Message:
        """The error's text, with a code."""
        said = message_of(self)
        return said if said.code else Message(said, self.default_code)


class SetupError(GatewayError):
    """The gateway can't start with its settings; the message says what to change."""

    default_code = "setup"


class ServerEnded(GatewayError):
    """The web server ended by itself: probes and clients of this process get no answer."""

    default_code = "process.server_ended"


class ProcessEnding(GatewayError):
    """This process accepts no new work, as it is ending."""

    default_code = "process.ending"


class QueueMismatch(SetupError):
    """The broker has a queue or exchange of ours with other arguments; declared again until an operator mends that."""

    default_code = "broker.queue_mismatch"


class StoreTooNew(SetupError):
    """A newer gateway has written what this one must not work on."""

    default_code = "store.refused_as_newer"


class StoreNotOurs(SetupError):
    """The database has something else under the name of a collection of ours, or an index that would lose tasks."""

    default_code = "store.refused_as_foreign"


class TopicError(SetupError):
    """A file in `topics/` is malformed, or two of them name the same topic."""

    default_code = "topic.invalid"


class TopicsPackageMissing(TopicError):
    """There is no package of the name that TOPICS_PACKAGE has."""

    default_code = "topic.package_missing"


class EngineError(GatewayError):
    """A call to the engine failed."""

    default_code = "engine"


class EngineUnavailable(EngineError):
    """The engine could not be reached or did not answer: the call's effect is unknown."""

    default_code = "engine.away"


class CallNotMade(EngineUnavailable):
    """The call was not made: the engine did not answer lately, or takes no connection."""

    default_code = "engine.call_not_made"


class TokenUnavailable(CallNotMade):
    """The token endpoint gives no token for the engine: it does not answer, or refuses the gateway."""

    default_code = "engine.token"


class EngineChanged(EngineUnavailable):
    """Another engine than the one whose tasks are kept answers: its answers about them don't count."""

    default_code = "engine.changed"


class EngineTimeout(EngineUnavailable):
    """The engine has the request and did not answer within the deadline: it may be at work on it yet."""

    default_code = "engine.late"


class CallCut(EngineUnavailable):
    """A call that the engine held ended without an answer: by a proxy's time limit, or as the engine went away."""

    default_code = "engine.call_cut"


class ForeignAnswer(EngineUnavailable):
    """Something between us and the engine answered in its place: a proxy, a login page, another service.

    `status` is the HTTP status of that answer.
    """

    default_code = "engine.foreign"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class AnswerTooLarge(EngineUnavailable):
    """An answer, or a list, that is larger than the limit: the rest of it was left unread."""

    default_code = "engine.answer_too_large"


class PayloadRefused(ForeignAnswer):
    """413: a proxy before the engine lets no request of this size through. The engine itself is reachable."""

    default_code = "engine.payload"


_TOO_SMALL: Final = re.compile(
    r"too long for column|too large for column|too long for type|ORA-12899|ORA-01461|SQLCODE[=:] ?-302"
    r"|would be truncated",
    re.IGNORECASE,
)
"""The texts of H2, MySQL, Oracle, PostgreSQL, DB2 and SQL Server for that."""


class EngineRejected(EngineError):
    """The engine answered with an error.

    `status` is the HTTP status, `code` the engine's own error code (1 is optimistic locking), `kind` its exception's
    name, as its REST interface reports them.
    """

    default_code = "engine.rejected"

    def __init__(self, message: str, *, status: int, code: int | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind

    @property
    def transient(self) -> bool:
        """Whether the same call may well succeed a moment later (optimistic locking)."""
        return self.status >= 500 and self.code == 1

    @property
    def column_too_small(self) -> bool:
        """Whether a column of the engine's database is too small for a value: a text, or a name.

        10002 is `BuiltinExceptionCode.COLUMN_SIZE_TOO_SMALL`; engines before 7.18 quote the database alone.
        """
        return self.code == 10002 or _TOO_SMALL.search(str(self)) is not None


class EngineForbidden(EngineRejected):
    """403 of the engine's own (`AuthorizationException`): its user has not the rights for this call."""

    default_code = "engine.forbidden"


class LeaseLost(EngineRejected):
    """400: another worker has the lock, or the task is suspended; the engine, when asked, says which."""

    default_code = "lock.lost"


class LeaseStolen(LeaseLost):
    """Another worker took the task since our lock, as the engine says when asked."""

    default_code = "lock.stolen"


class TaskSuspended(LeaseLost):
    """The task is still ours, but suspended: the engine takes nothing on it until it is activated."""

    default_code = "task.suspended"


class TaskGone(EngineRejected):
    """404: the engine has no such external task (any more)."""

    default_code = "task.gone"


class ModelUnreadable(EngineError):
    """A process definition whose BPMN can't be read."""

    default_code = "engine.model_unreadable"


class StoreError(GatewayError):
    """A call to the store failed."""

    default_code = "store"


class StoreUnavailable(StoreError):
    """The store could not be reached: the write's effect is unknown."""

    default_code = "store.away"


class StoreRefusing(StoreUnavailable):
    """The store is reachable, and refuses all such calls until an operator mends it: rights, the disk, a quota.

    It is waited out as an outage is: the writes are repeated, and not lost.
    """

    default_code = "store.refusing"


class TaskTooLarge(StoreError):
    """A task that exceeds what one document may hold."""

    default_code = "task.too_large"


class TaskUnreadable(StoreError):
    """The id's document exists, and this version can't read it: another version or another program wrote it.

    `found` has the fields that can be read.
    """

    default_code = "task.not_readable"

    def __init__(self, found: UnreadableTask) -> None:
        super().__init__(message("task.unreadable", task=found.id, why=found.reason))
        self.found = found


class BrokerError(GatewayError):
    """A call to the broker failed."""

    default_code = "broker"


class BrokerUnavailable(BrokerError):
    """The broker could not be reached, or did not confirm in time: publish again later."""

    default_code = "broker.away"


class BrokerUnroutable(BrokerError):
    """The broker returned the message: no queue is bound for the topic."""

    default_code = "broker.unroutable"


class ProviderUnavailable(GatewayError):
    """The identity provider could not be reached, or its answer is not one: logins by it are not possible now."""

    default_code = "provider.away"


class VariableError(GatewayError):
    """A value that can't become a process variable, or a variable that can't be read; the message names it."""

    default_code = "variable"


class Refusal(GatewayError):
    """A request that can't be granted; the message says what to do."""

    default_code = "request.refused"


class UnknownTask(Refusal):
    """No such task, here or in the engine."""

    default_code = "task.not_found"


class TaskConflict(Refusal):
    """The task's state, or its holder, forbids the action."""

    default_code = "task.conflict"


class UnacceptableTask(Refusal):
    """The request names a topic or values that can't be worked."""

    default_code = "task.unacceptable"


class TopicNotWorked(UnacceptableTask):
    """No topic of this name is worked here; `known` are those that are."""

    default_code = "topic.not_worked"

    def __init__(self, topic: str, known: Iterable[str]) -> None:
        super().__init__(message("topic.unknown", topic=repr(topic)))
        self.known = tuple(sorted(known))


class UnknownOperation(Refusal):
    """No such bulk operation, or one that the caller may not see."""

    default_code = "operation.not_found"


class OperationConflict(TaskConflict):
    """The operation's state forbids the action, or its tasks are no longer those that were shown."""

    default_code = "operation.conflict"


class SearchTooSlow(Refusal):
    """A search that was given up: it must be narrowed."""

    default_code = "query.slow"

    @classmethod
    def after(cls, limit: timedelta) -> Self:
        """Return the error of a search that the store ended after so long."""
        return cls(message("query.too_slow", seconds=f"{limit.total_seconds():g}"))


class Unauthenticated(Refusal):
    """The caller is not authenticated: no key or session, or one that is not valid (any more)."""

    default_code = "request.unauthenticated"


class Forbidden(Refusal):
    """The caller is authenticated, and lacks the permission."""

    default_code = "request.forbidden"


class ForeignPage(Forbidden):
    """A change that a browser sent without proof that a page of this gateway asked for it."""

    default_code = "request.foreign"


class WrongHost(Refusal):
    """A request whose `Host` is not a name of the gateway."""

    default_code = "request.wrong_host"


class Overloaded(GatewayError):
    """Too many such requests are being handled already; nothing was done."""

    default_code = "request.overloaded"


class TooManyRequests(Refusal):
    """One key, or one address, makes more requests than it may; `wait` is in seconds."""

    default_code = "request.too_many"

    def __init__(self, message: str, *, wait: int) -> None:
        super().__init__(message)
        self.wait = wait


class TooManyLoginAttempts(Refusal):
    """Too many failed logins from one side; `wait` is in seconds."""

    default_code = "login.too_many"

    def __init__(self, message: str, *, wait: int) -> None:
        super().__init__(message)
        self.wait = wait
