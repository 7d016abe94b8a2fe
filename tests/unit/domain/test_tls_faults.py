"""What is said of a TLS handshake that failed, by what OpenSSL says of it."""

from __future__ import annotations

import pytest

from bridge.domain.tls_faults import tls_fault

VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"Cannot connect to host a:1 ssl:True [SSLCertVerificationError: (1, '{VERIFY} unable to get local issuer "
            "certificate (_ssl.c:1006)')]",
            "the server's certificate is not trusted (unable to get local issuer certificate): name the CA that signed "
            "it in X_CA_FILE",
        ),
        (
            f"a:1: {VERIFY} self-signed certificate (_ssl.c:1006) (configured timeouts: socketTimeoutMS: 20000.0ms)",
            "the server's certificate is not trusted (self-signed certificate): name the CA that signed it in "
            "X_CA_FILE",
        ),
        (
            f"[Errno 1] {VERIFY} Hostname mismatch, certificate is not valid for 'localhost'. (_ssl.c:1006)",
            "the server's certificate is for another name (Hostname mismatch, certificate is not valid for 'localhost')"
            ": ask for it by its own name in the address of the X settings",
        ),
        (
            f"{VERIFY} IP address mismatch, certificate is not valid for '127.0.0.1'. (_ssl.c:1006)",
            "the server's certificate is for another name (IP address mismatch, certificate is not valid for "
            "'127.0.0.1'): ask for it by its own name in the address of the X settings",
        ),
        (
            f"{VERIFY} certificate has expired (_ssl.c:1006)",
            "certificate has expired, the server's: have it renewed, or check this machine's clock",
        ),
        (
            f"{VERIFY} certificate is not yet valid (_ssl.c:1006)",
            "certificate is not yet valid, the server's: check this machine's clock, and the server's",
        ),
        (
            "SSL handshake failed: a:1: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "the server does not speak TLS at this port: check the port and the address's scheme",
        ),
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)",
            "the server wants a certificate of the gateway's: set X_CERT_FILE",
        ),
        (
            "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure (_ssl.c:1006)",
            "the server wants a certificate of the gateway's: set X_CERT_FILE",
        ),
        (
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)",
            "the server refuses the certificate of X_CERT_FILE: unknown ca",
        ),
        ("[Errno 111] Connect call failed ('127.0.0.1', 1)", None),
        ("no alert at all", None),
        ("", None),
    ],
)
def test_each_fault_says_what_to_change(text: str, said: str | None) -> None:
    assert tls_fault(text, "X") == said
