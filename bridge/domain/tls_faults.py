"""What a failed TLS handshake means, from what OpenSSL says of it: drivers pass that on as a text alone."""

from __future__ import annotations

import re
from typing import Final

from bridge.domain.messages import Message, message

_VERIFY: Final = re.compile(r"certificate verify failed: ([^(\]]+)")
_ALERT: Final = re.compile(r"alert ([a-z]++(?: [a-z]++)*+)")
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")
_WANTS_CERTIFICATE: Final = ("certificate required", "handshake failure")
_REFUSES_CERTIFICATE: Final = (
    "unknown ca",
    "bad certificate",
    "certificate expired",
    "certificate revoked",
    "certificate unknown",
    "unsupported certificate",
    "access denied",
)


def tls_fault(text: str, setting: str) -> Message | None:
    """Return what is wrong with the TLS of a connection; None where the text of its error says nothing of TLS.

    `setting` is the beginning of the names of the server's settings, as CAMUNDA.
    """
    verify = _VERIFY.search(text)
    if verify is not None:
        return _certificate(verify[1].strip().rstrip("."), setting)
    if any(sign in text for sign in _NO_TLS):
        return message("tls.none")
    alert = _ALERT.search(text)
    said = "" if alert is None else alert[1]
    if said in _WANTS_CERTIFICATE:
        return message("tls.certificate_wanted", setting=f"{setting}_CERT_FILE")
    if said in _REFUSES_CERTIFICATE:
        return message("tls.certificate_refused", setting=f"{setting}_CERT_FILE", alert=said)
    return None


def _certificate(why: str, setting: str) -> Message:
    if "expired" in why:
        return message("tls.expired", error=why)
    if "not yet valid" in why:
        return message("tls.not_yet_valid", error=why)
    if "mismatch" in why:
        return message("tls.other_name", error=why, setting=setting)
    return message("tls.not_trusted", error=why, setting=f"{setting}_CA_FILE")
