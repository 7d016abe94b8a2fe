"""What is said of the engine, the store, the broker and the identity provider."""

from __future__ import annotations

from typing import Final

from bridge.domain.message_texts.marker import msg

PARTS: Final = {
    "tls.not_trusted": msg(
        "the server's certificate is not trusted (%(error)s): name the CA that signed it in %(setting)s"
    ),
    "tls.other_name": msg(
        "the server's certificate is for another name (%(error)s): ask for it by its own name in the address of the "
        "%(setting)s settings"
    ),
    "tls.expired": msg("%(error)s, the server's: have it renewed, or check this machine's clock"),
    "tls.not_yet_valid": msg("%(error)s, the server's: check this machine's clock, and the server's"),
    "tls.none": msg("the server does not speak TLS at this port: check the port and the address's scheme"),
    "tls.certificate_wanted": msg("the server wants a certificate of the gateway's: set %(setting)s"),
    "tls.certificate_refused": msg("the server refuses the certificate of %(setting)s: %(alert)s"),
    "part.no_answer": msg("no answer within %(seconds)s s"),
    "part.probe_failed": msg("the probe failed: %(kind)s"),
    "store.no_answer": msg("MongoDB did not answer (%(operation)s): %(error)s"),
    "store.too_new": msg(
        "the database has schema %(kept)s, of a newer gateway, which works beside schema %(least)s and above; this "
        "gateway has %(own)s: start a newer version, or restore the backup of before the upgrade"
    ),
    "store.foreign_index": msg(
        "the database %(database)s has an index %(index)s (%(fields)s) on %(collection)s that is no gateway's, and "
        "refuses or deletes documents: set MONGODB_DATABASE to a database of the gateway's own, or drop the index"
    ),
    "store.foreign_documents": msg(
        "the database %(database)s has documents in %(collection)s that no gateway of this kind wrote, as the older "
        "gateway's: set MONGODB_DATABASE to a database of the gateway's own"
    ),
    "store.foreign_rule": msg(
        "the database %(database)s has rules of its own for documents of %(collection)s: set MONGODB_DATABASE to a "
        "database of the gateway's own, or drop the collection's validator"
    ),
    "store.closed": msg("the store is not open"),
    "store.unavailable": msg(
        "The store can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    "broker.undelivered": msg("RabbitMQ does not deliver to every topic's consumer"),
    "broker.timeout": msg("%(operation)s: RabbitMQ did not answer in time"),
    "broker.lost": msg("%(operation)s: the connection was lost"),
    "broker.virtual_host": msg(
        "%(operation)s: RabbitMQ lets nobody of this name into the virtual host, the path of RABBITMQ_URL: there is no "
        "such virtual host (`rabbitmqctl add_vhost`), the user has no permissions on it (`rabbitmqctl "
        "set_permissions`), or it takes no more connections"
    ),
    "broker.channel_closed": msg(
        "%(operation)s: the channel is closed, as the connection was lost or RabbitMQ left a call on it unanswered"
    ),
    "broker.disconnected": msg("%(operation)s: there is no connection now"),
    "broker.connection_closed": msg("%(operation)s: the connection was closed"),
    "broker.unavailable": msg(
        "The broker can't be reached. Nothing is known about the effect: send the same request again after "
        "%(seconds)s s (see Retry-After)."
    ),
    "provider.unavailable": msg("The identity provider can't be reached. Try again later."),
    "store.no_clock": msg("MongoDB does not tell its clock: there is no localTime in its answer to hello"),
    "store.too_large": msg("MongoDB, %(operation)s: %(error)s"),
    "store.refuses": msg("MongoDB refuses all calls of its kind (%(operation)s): %(error)s"),
    "store.refused": msg("MongoDB refused (%(operation)s): %(error)s"),
    "store.unconfirmed": msg("MongoDB has a write that a majority of its members has not confirmed yet"),
    "store.renewals": msg("the store did not take renewals within %(seconds)s s"),
    "broker.not_consumed": msg("RabbitMQ does not deliver to the consumers of %(topics)s"),
    "broker.no_queue": msg("depth of %(topic)s: there is no queue %(queue)s"),
    "broker.no_answer": msg("%(operation)s: RabbitMQ does not answer"),
    "broker.not_bound": msg("%(operation)s: no queue is bound for %(key)s"),
    "broker.failed": msg("%(operation)s: %(kind)s: %(error)s"),
    "broker.not_declared": msg("queue %(queue)s: not declared in time"),
    "broker.not_subscribed": msg("subscribe to queue %(queue)s: %(error)s"),
    "broker.declaration_refused": msg("RabbitMQ refused a declaration: %(error)s"),
    "broker.other_arguments": msg(
        "RabbitMQ has the %(kind)s %(name)s with another %(argument)s than this gateway declares (%(error)s). Stop "
        "gateways of other settings, let consumers drain it if you can, and delete it (`rabbitmqctl delete_queue "
        "%(name)s` for a queue): the gateway declares it again by itself, and publishes again every task that waits, "
        "as the task store keeps them all."
    ),
}
ENGINE: Final = {
    "engine.waiting": msg("the engine did not answer lately; it is tried again soon: %(error)s"),
    "engine.no_answer": msg("%(operation)s: no answer: %(error)s"),
    "engine.no_proxy": msg(
        "%(operation)s: the proxy of HTTP_PROXY or HTTPS_PROXY lets no call through: %(error)s; name the engine's host "
        "in NO_PROXY to do without it"
    ),
    "engine.timeout": msg("%(operation)s: no answer within %(seconds)s s"),
    "engine.closed": msg("%(operation)s: the engine's client is not open"),
    "engine.token.no_answer": msg(
        "no token for the engine: the token endpoint does not answer: %(error)s; check CAMUNDA_OAUTH_TOKEN_URL"
    ),
    "engine.token.timeout": msg(
        "no token for the engine: no answer of the token endpoint within %(seconds)s s; check CAMUNDA_OAUTH_TOKEN_URL"
    ),
    "engine.token.status": msg(
        "no token for the engine: the token endpoint answers %(status)s; check CAMUNDA_OAUTH_TOKEN_URL"
    ),
    "engine.token.unreadable": msg("no token for the engine: the token endpoint's answer is no token: %(error)s"),
    "engine.token.refused": msg(
        "no token for the engine: the token endpoint refuses the gateway: %(error)s; check CAMUNDA_OAUTH_CLIENT_ID, "
        "CAMUNDA_OAUTH_CLIENT_SECRET, CAMUNDA_OAUTH_SCOPE and CAMUNDA_OAUTH_AUDIENCE"
    ),
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
    "engine.hint.login": msg(
        "a login, or what CAMUNDA_USERNAME and CAMUNDA_PASSWORD, CAMUNDA_TOKEN or the CAMUNDA_OAUTH settings say is "
        "refused"
    ),
    "engine.hint.refused": msg("a proxy or a firewall refuses the call"),
    "engine.hint.wrong_path": msg("another service, or CAMUNDA_URL has a wrong path"),
    "engine.hint.proxy_login": msg("a proxy asks for a login"),
    "engine.hint.proxy_gave_up": msg("a proxy gave up on the request"),
    "engine.hint.rate_limit": msg("a proxy limits the rate of calls"),
    "engine.hint.no_engine": msg("a proxy finds no engine behind it"),
    "engine.hint.maintenance": msg("a proxy finds no engine behind it, or maintenance"),
    "engine.hint.proxy_timeout": msg("a proxy did not wait for the engine"),
    "engine.hint.other": msg("not the engine's own error"),
    "engine.too_old.sorting": msg(
        "%(engine)s ignores the order of a fetch without a word, so a young task may come before an old one: use "
        "Camunda 7.21 or later"
    ),
    "engine.too_old.lock": msg(
        "%(engine)s can't lock a task by its id, so submissions are refused (502), and a submitted task is not locked "
        "again for its retry: use Camunda 7.15 or later"
    ),
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
    "engine.other_database": msg(
        "another engine answers: its database is %(found)s, and the tasks are of %(kept)s; nothing is fetched, "
        "reported or cancelled until the right one answers: check CAMUNDA_URL. If this engine is to be worked from "
        "now on: gateway engine accept"
    ),
    "engine.other_definitions": msg(
        "another engine answers: it has none of the process definitions of the latest tasks, as %(definition)s, or "
        "its user may no longer see them; nothing is fetched, reported or cancelled until the right one answers: "
        "check CAMUNDA_URL. If this engine is to be worked from now on: gateway engine accept"
    ),
    "engine.identity_unknown": msg("whether this is the right engine can't be told: %(error)s"),
    "engine.fetch_broke": msg("the fetch broke: %(error)s"),
    "engine.intake_broke": msg("the intake broke: %(error)s"),
    "engine.rows": msg("%(operation)s: the engine lists more than %(most)s rows"),
    "engine.answer_size": msg(
        "%(operation)s: the engine's answer is larger than %(most)s bytes: fetch fewer variables, make FETCH_SIZE "
        "smaller, or raise ENGINE_ANSWER_LIMIT"
    ),
    "engine.answer_values": msg(
        "%(operation)s: the engine's answer holds more than %(most)s values: fetch fewer variables, or make FETCH_SIZE "
        "smaller"
    ),
    "engine.right.task": msg(
        "get: the engine has task %(task)s, and its user may not read it: grant READ on ProcessInstance"
    ),
}
