"""What went wrong, told in the reader's language: the gateway says it in English, to programs and in its log as well.

What the engine, the broker or the store said themselves stays in their own words.
"""

from __future__ import annotations

from typing import Final

from web.i18n.retold import retold
from web.i18n.task_words import REASONS, state_word
from web.i18n.texts import ENGLISH, msg

_LONGEST: Final = 2000
_TOLD: Final = frozenset({"error", "why", "reason", "change", "due"})
"""Values that are themselves texts to be told; others are names and numbers."""

_TASKS: Final = (
    msg("no task %(task)s is kept here; check the id"),
    msg("task %(task)s is kept and can't be read by this version of the gateway: %(why)s"),
    msg("task %(task)s is not as it was shown: %(change)s; look at it again"),
    msg("it was %(before)s and is %(now)s now"),
    msg("it was fetched again, and is %(now)s once more"),
    msg("it changed at %(at)s"),
    msg("task %(task)s can't be tried again later: another worker holds it"),
    msg("task %(task)s can't be tried again with other variables: %(reason)s"),
    msg("task %(task)s can't be tried again: %(reason)s"),
    msg("task %(task)s can't be given retries: %(reason)s"),
    msg("task %(task)s can't have its lock released: %(reason)s"),
    msg("a task is given between 1 and %(most)s retries, not %(count)s"),
    msg("topic %(topic)s doesn't take these variables: %(faults)s"),
    msg("the engine doesn't take the variables of task %(task)s: %(error)s"),
    msg("worker %(worker)s holds the task now"),
    msg("another worker took the task just now"),
    msg("the task is suspended"),
    msg("the engine may be at work on the outcome"),
    msg("the step after this task takes longer than %(time)s in the engine's transaction: set asyncBefore on it"),
    *REASONS,
)
_PARTS: Final = (
    msg("the engine did not answer lately; it is tried again soon: %(error)s"),
    msg("no answer within %(seconds)s s"),
    msg("the probe failed: %(kind)s"),
    msg("MongoDB did not answer (%(operation)s): %(error)s"),
    msg("the store is not open"),
    msg(
        "the engine's user sees no external task of process definition %(definition)s: grant READ_INSTANCE on "
        "PROCESS_DEFINITION, or READ on PROCESS_INSTANCE"
    ),
    msg(
        "the engine's user can't fetch or complete external tasks of process definition %(definition)s: grant "
        "UPDATE_INSTANCE on PROCESS_DEFINITION, or UPDATE on PROCESS_INSTANCE"
    ),
    msg(
        "the engine's user can't read how a task of process definition %(definition)s ended: grant READ_HISTORY on "
        "PROCESS_DEFINITION"
    ),
    msg("the engine's user can't see process definition %(definition)s: grant READ on PROCESS_DEFINITION"),
    msg("RabbitMQ does not deliver to every topic's consumer"),
    msg("%(operation)s: no answer: %(error)s"),
    msg("%(operation)s: no answer within %(seconds)s s"),
    msg(
        "%(operation)s: the engine's address answers 413: what stands before the engine lets no request of %(count)s "
        "bytes through; raise its limit (nginx: client_max_body_size), or make the result smaller"
    ),
    msg(
        "%(operation)s: the engine's address answers %(status)s with %(type)s (a login or maintenance page?), where "
        "%(due)s"
    ),
    msg("%(operation)s: the engine's address answers %(status)s with %(type)s, where %(due)s"),
    msg("%(operation)s: the engine's address answers %(status)s without content, where %(due)s"),
    msg("%(operation)s: the engine's address answers %(status)s (%(why)s)"),
    msg("204 is due"),
    msg("a file's content is due"),
    msg("a JSON object is due"),
    msg("a JSON list is due"),
    msg("a JSON object is due: it ends early, or is none (%(count)s bytes)"),
    msg("a JSON list is due: it ends early, or is none (%(count)s bytes)"),
    msg("the engine's JSON is due: %(fault)s"),
    msg("a redirect: a login, or CAMUNDA_URL has http for https"),
    msg("a login, or CAMUNDA_USERNAME, CAMUNDA_PASSWORD or CAMUNDA_TOKEN are refused"),
    msg("a proxy or a firewall refuses the call"),
    msg("another service, or CAMUNDA_URL has a wrong path"),
    msg("a proxy asks for a login"),
    msg("a proxy gave up on the request"),
    msg("a proxy limits the rate of calls"),
    msg("a proxy finds no engine behind it"),
    msg("a proxy finds no engine behind it, or maintenance"),
    msg("a proxy did not wait for the engine"),
    msg("not the engine's own error"),
    msg("%(operation)s: the engine's client is not open"),
    msg("%(operation)s: RabbitMQ did not answer in time"),
    msg("%(operation)s: the connection was lost"),
    msg("%(operation)s: there is no connection now"),
    msg("%(operation)s: the connection was closed"),
)
_VARIABLES: Final = (
    msg("variable %(name)s: %(why)s"),
    msg("not a valid %(type)s: %(error)s"),
    msg("%(value)s is not a number that the engine can store"),
    msg("%(value)s is before the year 1 in UTC, and the engine has no such date"),
    msg("%(text)s is not a moment as the engine writes it"),
    msg("its name must have %(count)s characters at most, and no NUL"),
    msg("%(value)s doesn't fit the type %(type)s that the topic asks for"),
    msg("the text is not valid Unicode: %(error)s"),
    msg("a %(kind)s can't be written as JSON: %(error)s"),
    msg("it is out of range"),
    msg("it has a value"),
    msg("it is not base64: %(error)s"),
    msg("it is a %(kind)s"),
    msg("%(text)s is not JSON"),
    msg("Invalid isoformat string: %(text)s"),
    msg("Only base64 data is allowed"),
    msg("Incorrect padding"),
    msg("surrogates not allowed"),
)
_JSON: Final = (
    msg("%(error)s: line %(line)s column %(column)s (char %(char)s)"),
    msg("Expecting value"),
    msg("Expecting %(sign)s delimiter"),
    msg("Expecting property name enclosed in double quotes"),
    msg("Unterminated string starting at"),
    msg("Invalid control character at"),
    msg("Invalid \\escape"),
    msg("Extra data"),
    msg("it is nested too deeply"),
)
_MODELS: Final = (
    msg("Field required"),
    msg("Extra inputs are not permitted"),
    msg("Input should be a valid integer, unable to parse string as an integer"),
    msg("Input should be a valid integer, got a number with a fractional part"),
    msg("Input should be a valid integer"),
    msg("Input should be a valid number, unable to parse string as a number"),
    msg("Input should be a valid number"),
    msg("Input should be a valid string"),
    msg("Input should be a valid boolean, unable to interpret input"),
    msg("Input should be a valid boolean"),
    msg("Input should be a valid list"),
    msg("Input should be a valid dictionary or instance of %(name)s"),
    msg("Input should be a valid dictionary"),
    msg("Input should be a valid datetime"),
    msg("Input should be a valid date"),
    msg("Input should be greater than or equal to %(bound)s"),
    msg("Input should be greater than %(bound)s"),
    msg("Input should be less than or equal to %(bound)s"),
    msg("Input should be less than %(bound)s"),
    msg("Input should be %(choices)s"),
    msg("String should have at least %(count)s characters"),
    msg("String should have at least %(count)s character"),
    msg("String should have at most %(count)s characters"),
    msg("String should have at most %(count)s character"),
    msg("String should match pattern %(pattern)s"),
    msg("Value error, %(error)s"),
)
_REQUESTS: Final = (
    msg("An API key may make %(most)s requests a minute: wait %(seconds)s s and go on."),
    msg("An address may make %(most)s requests a minute: wait %(seconds)s s and go on."),
    msg("%(name)s has the role %(role)s, and this needs %(action)s: ask an admin of the gateway for it."),
    msg("%(name)s may not %(action)s on all topics together: its topics are %(topics)s."),
    msg("%(name)s may not %(action)s on the topic %(topic)s: its topics are %(topics)s."),
    msg(
        "The request does not come from a page of this gateway, or from one of another login: open the page anew and "
        "try again there. A proxy before the gateway must pass `Host` and `Origin` on unchanged; where browsers reach "
        "the gateway by http, set INSECURE_COOKIES=true."
    ),
    msg("The gateway met an error of its own; it is in its log. Tell the operator when this happened."),
    msg("The identity provider can't be reached. Try again later."),
    msg(
        "The store can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    msg(
        "The broker can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    msg(
        "The engine can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    msg(
        "The engine answered with an error; it is in the gateway's log. Ask for the task's status before trying again."
    ),
    msg("Nothing is served at this path; /docs lists what is."),
    msg("This path has other methods: the Allow header names them."),
    msg("Send a smaller body; keep large values elsewhere and pass a reference to them."),
    msg("Fix what `errors` lists and send the request again."),
    msg("The body must be a form: send it as application/x-www-form-urlencoded."),
    msg("The form doesn't say which task it was made for: open the task anew."),
    msg("An export is csv, excel or ndjson."),
    msg("The list can't be read: %(error)s."),
    msg("unknown field; known here: %(fields)s"),
    msg("may be given only once, as text"),
    msg("has more than %(count)s characters, or one of no use"),
    msg("has more than %(count)s characters"),
    msg("are more than %(count)s, or some can't be ids"),
)
_KNOWN: Final = (*_REQUESTS, *_TASKS, *_VARIABLES, *_PARTS, *_JSON, *_MODELS)


def told_error(language: str, text: str) -> str:
    """Return the message of an error in the reader's language; what isn't one of the known ones stays as it is."""
    if language == ENGLISH or len(text) > _LONGEST:
        return text

    def inner(name: str, value: str) -> str:
        if name in _TOLD:
            return told_error(language, value)
        if name in {"before", "now"}:
            return state_word(language, value)
        return _faults(language, value) if name == "faults" else value

    return retold(language, text, _KNOWN, inner)


def _faults(language: str, text: str) -> str:
    """Return what is wrong with a handler's input: either one variable, or fields of its model."""
    whole = told_error(language, text)
    if whole != text:
        return whole
    parts = (part.partition(": ") for part in text.split("; "))
    return "; ".join(f"{where}{sign}{told_error(language, error)}" for where, sign, error in parts)
