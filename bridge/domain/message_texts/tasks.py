"""What is said of tasks: their states, submissions, operations and variables."""

from __future__ import annotations

from typing import Final

from bridge.domain.message_texts.marker import msg

TASKS: Final = {
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
    "outcome.unanswered": msg("the engine has not answered for %(time)s: %(error)s"),
    "task.retry_refused": msg("the retry was refused: %(error)s"),
    "lock.held": msg("worker %(worker)s holds the task now"),
    "lock.taken": msg("another worker took the task just now"),
    "lock.suspended": msg("the task is suspended"),
    "task.not_kept": msg("no task %(task)s is kept here; submit it first, or check the id"),
    "task.changed_now": msg("task %(task)s changed just now; look at it again"),
    "task.changed_since_edit": msg("task %(task)s changed after its variables were set; look at it again"),
    "task.size": msg("task %(task)s takes %(size)s bytes, %(most)s are kept at most"),
    "task.move_size": msg("%(event)s of task %(task)s brings %(size)s bytes, for a document of %(total)s"),
    "task.not_storable": msg("task %(task)s can't be stored: %(error)s"),
    "task.field_not_storable": msg("%(field)s can't be stored: %(kind)s: %(error)s"),
    "task.move_not_storable": msg("a move can't be stored: %(error)s"),
    "topic.unknown": msg("topic %(topic)s is not worked here"),
    "topic.unknown_among": msg("topic %(topic)s is not worked here; these are: %(topics)s"),
}
ENDINGS: Final = {
    "ending.gone": msg("the task is gone from the engine"),
    "ending.failure_as_error": msg("the model's errorEventDefinition turned this failure into a BPMN error"),
    "ending.completion_as_error": msg(
        "the model's errorEventDefinition turned this completion into a BPMN error, after its result was written"
    ),
    "ending.untold": msg(
        "the task ended in the engine, and whether with this outcome can't be told: the engine's history has nothing "
        "of it (history level none, cleaned up, or the gateway's user has no READ_HISTORY)"
    ),
    "ending.interrupted": msg(
        "the task ended in the engine, and whether with this outcome can't be told: its activity was interrupted, by a "
        "BPMN error or by a cancellation (history level full tells more)"
    ),
    "ending.deleted": msg(
        "the task ended in the engine, and whether with this outcome can't be told: it was deleted, by a cancellation "
        "or as the model's errorEventDefinition turned this completion into a BPMN error"
    ),
    "ending.by_somebody": msg(
        "the task ended in the engine, and whether with this outcome can't be told: its activity was completed after "
        "our lock had run out (history level full tells by whom)"
    ),
}
SUBMISSIONS: Final = {
    "submission.ended": msg("task %(task)s was handed in and ended just now; ask for its status"),
    "submission.changed": msg("task %(task)s changed just now; ask for its status before handing it in again"),
    "submission.size": msg("the task takes %(size)s bytes, %(most)s are kept at most: send fewer variables"),
    "submission.too_many_variables": msg("more than %(most)s variables; send fewer, or gather them in one JSON value"),
    "submission.variable_name": msg("a variable's name must have 1 to %(most)s characters"),
    "submission.too_deep": msg("nested more than %(most)s levels deep; flatten the value or pass it as a string"),
    "submission.suspended": msg("task %(task)s is suspended: activate its process instance, then submit it again"),
    "submission.no_retries": msg(
        "task %(task)s has no retries left in the engine: set some there, then submit it again"
    ),
    "submission.gone": msg("the engine has no external task %(task)s any more"),
    "submission.execution_ended": msg("the execution of task %(task)s has ended"),
    "submission.unknown": msg(
        "the engine has no external task %(task)s of topic %(topic)s: it may be completed or cancelled, or the id is "
        "another's"
    ),
    "submission.locked": msg(
        "task %(task)s is locked by worker %(holder)s, not by %(worker)s: submit it under the worker id that holds "
        "the lock, or once that is over"
    ),
    "submission.locked_until": msg(
        "task %(task)s is locked by worker %(holder)s until %(until)s, not by %(worker)s: submit it under the worker "
        "id that holds the lock, or once that is over"
    ),
    "submission.variables": msg("the variables of task %(task)s can't be read: %(error)s; send them"),
    "submission.fetched": msg("task %(task)s was fetched by the gateway itself: follow it at /tasks/%(task)s/status"),
    "submission.another_body": msg(
        "task %(task)s was submitted before with another body: repeat that, or follow the task at its status"
    ),
    "submission.not_json": msg("the variables are not JSON: %(error)s"),
}
OPERATIONS: Final = {
    "operation.reason": msg("an operation needs a reason"),
    "operation.rate": msg("an operation works off between 1 and %(most)s tasks a second, not %(rate)s"),
    "operation.changed": msg("%(count)s tasks can be tried again by now, %(expected)s were shown: look at them again"),
    "operation.none": msg("none of these tasks can be tried again: only failed ones can"),
    "operation.unknown": msg("there is no operation %(operation)s: operations are kept for 90 days"),
    "operation.no_query": msg("name the tasks by a search: an empty one would mean every task"),
    "operation.cannot_pause": msg("operation %(operation)s does not run, so it can't be paused"),
    "operation.cannot_resume": msg("operation %(operation)s is not paused, so it can't be resumed"),
    "operation.cannot_cancel": msg("operation %(operation)s has ended, so it can't be cancelled"),
    "operation.starting": msg("this operation is being started: look for it in the list of operations"),
}
VARIABLES: Final = {
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
    "variable.local": msg("a BPMN error's variables are never local to its task"),
    "variable.no_error_code": msg("the BPMN error has no code: the engine has none without one"),
    "variable.result": msg("a handler returns a pydantic model, a dict or None, not %(kind)s: give it a name"),
}
