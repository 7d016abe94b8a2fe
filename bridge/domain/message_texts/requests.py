"""What is said of people, keys and requests, and of what they ask for."""

from __future__ import annotations

from typing import Final

from bridge.domain.message_texts.marker import msg

ACCESS: Final = {
    "user.name": msg("%(name)s can't be a name: use letters, digits and _ . @ - only, 64 at most"),
    "user.taken": msg("there is a user %(name)s already: choose another name, or use `gateway users passwd %(name)s`"),
    "user.unknown": msg("there is no user %(name)s: `gateway users list` lists everybody"),
    "user.company": msg("%(name)s logs in with the company's account: change their claims at the identity provider"),
    "user.admin_topics": msg(
        "an admin sees to everything, and so can't be limited to topics: choose another role, or all topics"
    ),
    "user.no_topic": msg("name at least one topic: a person or key that is limited to none could do nothing"),
    "user.password": msg("a password must have %(least)s to %(most)s characters"),
    "key.label": msg("a key needs a label of 1 to 100 characters that says who uses it"),
    "key.scope": msg("a key needs a scope at least, of %(scopes)s: without one it opens nothing"),
    "key.admin_topics": msg("a key with the scope admin can't be limited to topics: name other scopes"),
    "key.prefix": msg("the key's prefix is taken, which happens once in a lifetime: try again"),
    "key.unknown": msg("there is no key %(key)s that could be revoked: `gateway keys list` lists them"),
    "login.who": msg(
        "A key or a login is needed: send an API key as `Authorization: Bearer wag_…` or `X-Api-Key: wag_…`. "
        "`gateway keys create` makes one."
    ),
    "login.key": msg(
        "The API key is not known, or was revoked: make one with `gateway keys create`, or ask an admin for one."
    ),
    "login.password": msg("The name or the password is wrong."),
    "login.old_password": msg("The password until now is another one."),
    "login.attempts": msg("Too many login attempts: wait %(seconds)s s and try again."),
    "login.no_role": msg("Your account has no role here: ask an admin which group gives one."),
    "login.name_taken": msg("The name is taken here by another account: ask an admin."),
    "login.disabled": msg("Your account is disabled here: ask an admin."),
    "login.claim": msg("The claim %(claim)s is missing, or can't be a name here: letters, digits and _ . @ - can."),
    "login.email": msg("The email address is not verified by the identity provider."),
    "login.not_begun": msg("No login was begun in this browser, or it took too long."),
    "provider.refused": msg("The identity provider refused the login: %(error)s."),
    "provider.no_code": msg("The identity provider answers without a code."),
    "provider.other_issuer": msg("what answers at %(url)s is another issuer: see OIDC_ISSUER"),
    "provider.no_token": msg("The identity provider sent no id token: the scope openid is missing in OIDC_SCOPES."),
    "provider.no_subject": msg("The id token names no subject."),
    "provider.other_person": msg("The identity provider's user info is of another person than the id token."),
    "provider.no_answer": msg("the identity provider did not answer as it should: %(kind)s"),
    "provider.token": msg("The id token is not good: %(kind)s."),
    "provider.unreadable": msg("the identity provider's answer can't be read: %(kind)s"),
}
REQUESTS: Final = {
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
    "parameter.unknown": msg("unknown query parameter; known here: %(names)s"),
    "parameter.invalid": msg("is not valid: %(error)s"),
    "parameter.repeated": msg("may be given only once"),
    "parameter.offset": msg("needs an offset from UTC, such as 2026-01-31T08:00:00Z"),
    "parameter.moment": msg("is no moment of the years 1 to 9999 in UTC; write it such as 2026-01-31T08:00:00Z"),
    "parameter.no_cursor": msg(
        "not a cursor of this gateway; pass `next` of the last answer unchanged, or leave it out"
    ),
    "parameter.other_cursor": msg(
        "the cursor belongs to another filter; keep the filter while paging, or start without it"
    ),
    "parameter.choice": msg("choose from %(choices)s"),
    "request.no_need": msg("This path declares no permission, and so nobody may use it: report it to its author."),
    "request.host": msg(
        "This gateway does not answer to the name %(name)s: its operator can add the name to ALLOWED_HOSTS."
    ),
    "request.large": msg("Too many large requests are being read: send this one again a little later."),
    "request.listeners": msg("Too many pages listen for changes: close some."),
    "request.too_many_values": msg(
        "The JSON holds more than %(most)s values: send fewer, or send a large one as text, in Camunda's typed form."
    ),
    "request.json_depth": msg("The JSON is nested too deeply; flatten it."),
    "request.not_json": msg("The body is not JSON in UTF-8: %(error)s. Send one JSON object."),
    "request.json_object": msg("The body must be one JSON object; it is empty or another kind of value."),
    "request.json_type": msg("Send the body as JSON, with `Content-Type: application/json`."),
    "request.charset": msg("Send the body in UTF-8; JSON knows no other charset."),
}
INPUT: Final = {
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
QUERIES: Final = {
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
    "query.too_slow": msg("the search took longer than %(seconds)s s: narrow it by a state, a topic or a time"),
    "query.hint.near": msg("did you mean %(name)s:? As text it needs quotes: %(quoted)s"),
    "query.hint.quotes": msg("As text it needs quotes: %(quoted)s"),
    "query.hint.search": msg("quote it to search for it: %(quoted)s"),
    "query.hint.text": msg("quote it as text: %(quoted)s"),
    "query.hint.empty": msg("an empty one is written %(written)s"),
    "query.hint.add": msg("add %(sign)s"),
    "query.hint.either": msg("%(one)s or %(other)s"),
}
