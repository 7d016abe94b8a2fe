"""The English text of each code: the one table of what the gateway says of errors. The catalogs have each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def msg(text: str) -> str:
    """Mark a text that the catalogs have; `make messages` finds it by this."""
    return text


_TASKS: Final = {
    "task.unknown": msg("no task %(task)s is kept here; check the id"),
    "task.unreadable": msg("task %(task)s is kept and can't be read by this version of the gateway: %(why)s"),
    "task.changed": msg("task %(task)s is not as it was shown: %(change)s; look at it again"),
    "task.change.state": msg("it was %(before)s and is %(now)s now"),
    "task.change.epoch": msg("it was fetched again, and is %(now)s once more"),
    "task.change.moment": msg("it changed at %(at)s"),
    "task.held": msg("task %(task)s can't be tried again later: another worker holds it"),
    "task.cannot_edit": msg("task %(task)s can't be tried again with other variables: %(reason)s"),
    "task.cannot_retry": msg("task %(task)s can't be tried again: %(reason)s"),
    "task.cannot_set_retries": msg("task %(task)s can't be given retries: %(reason)s"),
    "task.cannot_release": msg("task %(task)s can't have its lock released: %(reason)s"),
    "task.retries_range": msg("a task is given between 1 and %(most)s retries, not %(count)s"),
    "task.input_refused": msg("topic %(topic)s doesn't take these variables: %(faults)s"),
    "task.variables_refused": msg("the engine doesn't take the variables of task %(task)s: %(error)s"),
    "task.reason.received": msg("it waits to be published and will be worked without that"),
    "task.reason.queued": msg("it waits in its topic's queue and will be worked without that"),
    "task.reason.running": msg("its handler runs now: wait for its outcome"),
    "task.reason.reporting": msg("its outcome is on its way to the engine: wait for that"),
    "task.reason.retrying": msg("it is going to be tried again without that"),
    "task.reason.completed": msg("it is completed"),
    "task.reason.cancelled": msg("it is gone from the engine"),
    "task.reason.unknown": msg("it ended in the engine"),
    "task.reason.superseded": msg("another worker holds it: retry it there, or wait until its lock ends"),
    "task.reason.locked_here": msg(
        "the gateway itself works under its lock: without it another worker would do the same work again"
    ),
    "task.reason.no_retries": msg("it has no retries left, so nobody is kept from it by a lock: retry it"),
    "task.reason.no_instance": msg("the engine named no process instance whose variables could be set"),
    "outcome.under_way": msg("the engine may be at work on the outcome"),
    "outcome.slow_step": msg(
        "the step after this task takes longer than %(time)s in the engine's transaction: set asyncBefore on it"
    ),
    "lock.held": msg("worker %(worker)s holds the task now"),
    "lock.taken": msg("another worker took the task just now"),
    "lock.suspended": msg("the task is suspended"),
}
_PARTS: Final = {
    "part.no_answer": msg("no answer within %(seconds)s s"),
    "part.probe_failed": msg("the probe failed: %(kind)s"),
    "store.no_answer": msg("MongoDB did not answer (%(operation)s): %(error)s"),
    "store.closed": msg("the store is not open"),
    "store.unavailable": msg(
        "The store can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    "broker.undelivered": msg("RabbitMQ does not deliver to every topic's consumer"),
    "broker.timeout": msg("%(operation)s: RabbitMQ did not answer in time"),
    "broker.lost": msg("%(operation)s: the connection was lost"),
    "broker.disconnected": msg("%(operation)s: there is no connection now"),
    "broker.connection_closed": msg("%(operation)s: the connection was closed"),
    "broker.unavailable": msg(
        "The broker can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    "provider.unavailable": msg("The identity provider can't be reached. Try again later."),
}
_ENGINE: Final = {
    "engine.waiting": msg("the engine did not answer lately; it is tried again soon: %(error)s"),
    "engine.no_answer": msg("%(operation)s: no answer: %(error)s"),
    "engine.timeout": msg("%(operation)s: no answer within %(seconds)s s"),
    "engine.closed": msg("%(operation)s: the engine's client is not open"),
    "engine.payload_refused": msg(
        "%(operation)s: the engine's address answers 413: what stands before the engine lets no request of "
        "%(count)s bytes through; raise its limit (nginx: client_max_body_size), or make the result smaller"
    ),
    "engine.foreign_page": msg(
        "%(operation)s: the engine's address answers %(status)s with %(type)s (a login or maintenance page?), "
        "where %(due)s"
    ),
    "engine.foreign_type": msg("%(operation)s: the engine's address answers %(status)s with %(type)s, where %(due)s"),
    "engine.foreign_empty": msg(
        "%(operation)s: the engine's address answers %(status)s without content, where %(due)s"
    ),
    "engine.foreign_status": msg("%(operation)s: the engine's address answers %(status)s (%(why)s)"),
    "engine.due.nothing": msg("204 is due"),
    "engine.due.file": msg("a file's content is due"),
    "engine.due.object": msg("a JSON object is due"),
    "engine.due.list": msg("a JSON list is due"),
    "engine.due.whole_object": msg("a JSON object is due: it ends early, or is none (%(count)s bytes)"),
    "engine.due.whole_list": msg("a JSON list is due: it ends early, or is none (%(count)s bytes)"),
    "engine.due.json": msg("the engine's JSON is due: %(fault)s"),
    "engine.hint.redirect": msg("a redirect: a login, or CAMUNDA_URL has http for https"),
    "engine.hint.login": msg("a login, or CAMUNDA_USERNAME, CAMUNDA_PASSWORD or CAMUNDA_TOKEN are refused"),
    "engine.hint.refused": msg("a proxy or a firewall refuses the call"),
    "engine.hint.wrong_path": msg("another service, or CAMUNDA_URL has a wrong path"),
    "engine.hint.proxy_login": msg("a proxy asks for a login"),
    "engine.hint.proxy_gave_up": msg("a proxy gave up on the request"),
    "engine.hint.rate_limit": msg("a proxy limits the rate of calls"),
    "engine.hint.no_engine": msg("a proxy finds no engine behind it"),
    "engine.hint.maintenance": msg("a proxy finds no engine behind it, or maintenance"),
    "engine.hint.proxy_timeout": msg("a proxy did not wait for the engine"),
    "engine.hint.other": msg("not the engine's own error"),
    "engine.right.read": msg(
        "the engine's user sees no external task of process definition %(definition)s: grant READ_INSTANCE on "
        "PROCESS_DEFINITION, or READ on PROCESS_INSTANCE"
    ),
    "engine.right.update": msg(
        "the engine's user can't fetch or complete external tasks of process definition %(definition)s: grant "
        "UPDATE_INSTANCE on PROCESS_DEFINITION, or UPDATE on PROCESS_INSTANCE"
    ),
    "engine.right.history": msg(
        "the engine's user can't read how a task of process definition %(definition)s ended: grant READ_HISTORY on"
        " PROCESS_DEFINITION"
    ),
    "engine.right.definitions": msg(
        "the engine's user can't see process definition %(definition)s: grant READ on PROCESS_DEFINITION"
    ),
    "engine.unavailable": msg(
        "The engine can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    "engine.error": msg(
        "The engine answered with an error; it is in the gateway's log. Ask for the task's status before trying again."
    ),
}
_VARIABLES: Final = {
    "variable.unusable": msg("variable %(name)s: %(why)s"),
    "variable.not_of_type": msg("not a valid %(type)s: %(error)s"),
    "variable.not_finite": msg("%(value)s is not a number that the engine can store"),
    "variable.before_year_1": msg("%(value)s is before the year 1 in UTC, and the engine has no such date"),
    "variable.no_moment": msg("%(text)s is not a moment as the engine writes it"),
    "variable.name": msg("its name must have %(count)s characters at most, and no NUL"),
    "variable.not_as_asked": msg("%(value)s doesn't fit the type %(type)s that the topic asks for"),
    "variable.not_unicode": msg("the text is not valid Unicode: %(error)s"),
    "variable.not_serializable": msg("a %(kind)s can't be written as JSON: %(error)s"),
    "variable.out_of_range": msg("it is out of range"),
    "variable.has_value": msg("it has a value"),
    "variable.not_base64": msg("it is not base64: %(error)s"),
    "variable.kind": msg("it is a %(kind)s"),
    "json.not_json": msg("%(text)s is not JSON"),
    "json.too_deep": msg("it is nested too deeply"),
    "json.fault": msg("%(error)s: line %(line)s column %(column)s (char %(char)s)"),
    "json.value": msg("Expecting value"),
    "json.delimiter": msg("Expecting %(sign)s delimiter"),
    "json.name": msg("Expecting property name enclosed in double quotes"),
    "json.open_string": msg("Unterminated string starting at"),
    "json.control_character": msg("Invalid control character at"),
    "json.escape": msg("Invalid \\escape"),
    "json.extra": msg("Extra data"),
    "base64.alphabet": msg("Only base64 data is allowed"),
    "base64.padding": msg("Incorrect padding"),
    "text.surrogates": msg("surrogates not allowed"),
}
_INPUT: Final = {
    "input.field": msg("%(field)s: %(error)s"),
    "input.missing": msg("Field required"),
    "input.extra_forbidden": msg("Extra inputs are not permitted"),
    "input.int_parsing": msg("Input should be a valid integer, unable to parse string as an integer"),
    "input.int_from_float": msg("Input should be a valid integer, got a number with a fractional part"),
    "input.int_type": msg("Input should be a valid integer"),
    "input.float_parsing": msg("Input should be a valid number, unable to parse string as a number"),
    "input.float_type": msg("Input should be a valid number"),
    "input.string_type": msg("Input should be a valid string"),
    "input.bool_parsing": msg("Input should be a valid boolean, unable to interpret input"),
    "input.bool_type": msg("Input should be a valid boolean"),
    "input.list_type": msg("Input should be a valid list"),
    "input.model_type": msg("Input should be a valid dictionary or instance of %(name)s"),
    "input.dict_type": msg("Input should be a valid dictionary"),
    "input.datetime_type": msg("Input should be a valid datetime"),
    "input.date_type": msg("Input should be a valid date"),
    "input.greater_than_equal": msg("Input should be greater than or equal to %(bound)s"),
    "input.greater_than": msg("Input should be greater than %(bound)s"),
    "input.less_than_equal": msg("Input should be less than or equal to %(bound)s"),
    "input.less_than": msg("Input should be less than %(bound)s"),
    "input.literal_error": msg("Input should be %(choices)s"),
    "input.enum": msg("Input should be %(choices)s"),
    "input.string_too_short": msg("String should have at least %(count)s characters"),
    "input.string_too_short_one": msg("String should have at least %(count)s character"),
    "input.string_too_long": msg("String should have at most %(count)s characters"),
    "input.string_too_long_one": msg("String should have at most %(count)s character"),
    "input.string_pattern_mismatch": msg("String should match pattern %(pattern)s"),
    "input.value_error": msg("Value error, %(error)s"),
}
_REQUESTS: Final = {
    "request.key_limit": msg("An API key may make %(most)s requests a minute: wait %(seconds)s s and go on."),
    "request.address_limit": msg("An address may make %(most)s requests a minute: wait %(seconds)s s and go on."),
    "request.role": msg(
        "%(name)s has the role %(role)s, and this needs %(action)s: ask an admin of the gateway for it."
    ),
    "request.scopes": msg(
        "%(name)s has the scopes %(scopes)s, and this needs %(action)s: ask an admin of the gateway for it."
    ),
    "request.all_topics": msg("%(name)s may not %(action)s on all topics together: its topics are %(topics)s."),
    "request.topic": msg("%(name)s may not %(action)s on the topic %(topic)s: its topics are %(topics)s."),
    "request.foreign_page": msg(
        "The request does not come from a page of this gateway, or from one of another login: open the page anew "
        "and try again there. A proxy before the gateway must pass `Host` and `Origin` on unchanged; where "
        "browsers reach the gateway by http, set INSECURE_COOKIES=true."
    ),
    "request.internal": msg(
        "The gateway met an error of its own; it is in its log. Tell the operator when this happened."
    ),
    "request.no_such_path": msg("Nothing is served at this path; /docs lists what is."),
    "request.wrong_method": msg("This path has other methods: the Allow header names them."),
    "request.too_large": msg("Send a smaller body; keep large values elsewhere and pass a reference to them."),
    "request.fields": msg("Fix what `errors` lists and send the request again."),
    "request.form": msg("The body must be a form: send it as application/x-www-form-urlencoded."),
    "request.form_task": msg("The form doesn't say which task it was made for: open the task anew."),
    "request.export": msg("An export is csv, excel or ndjson."),
    "request.list": msg("The list can't be read: %(error)s."),
    "field.unknown": msg("unknown field; known here: %(fields)s"),
    "field.repeated": msg("may be given only once, as text"),
    "field.unusable": msg("has more than %(count)s characters, or one of no use"),
    "field.too_long": msg("has more than %(count)s characters"),
    "field.ids": msg("are more than %(count)s, or some can't be ids"),
}
_QUERIES: Final = {
    "query.too_long": msg("the query is longer than %(count)s characters"),
    "query.character": msg("this character can't be searched for"),
    "query.no_opening": msg("there is no ( for this )"),
    "query.before_or": msg("there is nothing before OR"),
    "query.after_or": msg("there is nothing after OR"),
    "query.too_deep": msg("parentheses and negations go deeper than %(count)s"),
    "query.negation": msg("- needs a term right behind it"),
    "query.no_closing": msg("this ( is never closed"),
    "query.empty_group": msg("there is nothing between the parentheses"),
    "query.too_many_terms": msg("the query has more than %(count)s terms"),
    "query.no_field": msg("there is no field before the colon"),
    "query.empty_word": msg("a word can't be empty"),
    "query.variable_name": msg("var. needs the name of a variable"),
    "query.variable_value": msg("a variable needs a value"),
    "query.unknown_field": msg("there is no field %(name)s"),
    "query.one_value": msg("a comparison takes one value"),
    "query.too_many_values": msg("%(field)s has more than %(count)s values"),
    "query.value": msg("%(field)s: needs a value"),
    "query.open_quote": msg("this quote is never closed"),
    "query.one_day": msg("%(field)s takes one day, or a comparison"),
    "query.comparison": msg("%(field)s needs a comparison"),
    "query.not_compared": msg("%(field)s can't be compared by %(operator)s"),
    "query.choice": msg("%(value)s is no %(field)s: it is one of %(choices)s"),
    "query.number": msg("%(field)s takes whole numbers, not %(value)s"),
    "query.moment": msg("%(field)s takes days and moments, not %(value)s"),
    "query.span": msg("%(field)s takes a time such as 30s, 5m, 2h or 1d, not %(value)s"),
    "query.span_length": msg("%(field)s takes at most %(most)sd, not %(value)s"),
    "query.last_day": msg("%(field)s takes days before the year 9999, not %(value)s"),
    "query.hint.near": msg("did you mean %(name)s:? As text it needs quotes: %(quoted)s"),
    "query.hint.quotes": msg("As text it needs quotes: %(quoted)s"),
    "query.hint.search": msg("quote it to search for it: %(quoted)s"),
    "query.hint.text": msg("quote it as text: %(quoted)s"),
    "query.hint.empty": msg("an empty one is written %(written)s"),
    "query.hint.add": msg("add %(sign)s"),
    "query.hint.either": msg("%(one)s or %(other)s"),
}
TEXTS: Final[Mapping[str, str]] = {
    **_TASKS,
    **_PARTS,
    **_ENGINE,
    **_VARIABLES,
    **_INPUT,
    **_REQUESTS,
    **_QUERIES,
}
"""A parameter stands as `%(name)s`. Those named `before` and `now` are states of tasks; others are names, numbers or
messages."""
