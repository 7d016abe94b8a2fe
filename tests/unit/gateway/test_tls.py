"""Own CAs and client certificates from the settings: what is wrong with a file is told with its setting."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bridge.adapters.mongo.store import MongoStore
from bridge.domain.errors import SetupError
from gateway.settings import read_settings
from gateway.tls import TlsFiles, tls_context, tls_files
from tests.certificates import PASSWORD, Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def test_an_own_ca_is_trusted_in_place_of_the_systems(certificates: Certificates) -> None:
    context = TlsFiles("X", certificates.ca_file).context()
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("name", ["camunda", "mongodb", "rabbitmq"])
def test_each_server_has_its_own_files(name: str, certificates: Certificates) -> None:
    assert tls_files(read_settings(), name).given == ()
    given = {f"{name}_ca_file": "a", f"{name}_cert_file": "b", f"{name}_key_file": "c", f"{name}_key_password": "d"}
    assert tls_files(read_settings(**given), name) == TlsFiles(name.upper(), "a", "b", "c", SecretStr("d"))


def test_nothing_is_made_where_nothing_is_set() -> None:
    assert tls_context(TlsFiles("X"), "http://host", "https") is None
    assert TlsFiles("X").driver_options() == {}


def test_files_for_an_address_without_tls_are_told(certificates: Certificates) -> None:
    with pytest.raises(SetupError, match="X_CA_FILE: the address must begin with amqps://, or there is no TLS"):
        tls_context(TlsFiles("X", certificates.ca_file), "amqp://u:s3cret@host", "amqps")


@pytest.mark.parametrize("key", ["key_file", "locked_key_file", None])
def test_a_client_certificate_is_taken(key: str | None, certificates: Certificates) -> None:
    locked = key is not None and key.startswith("locked")
    files = TlsFiles(
        "X",
        certificate=certificates.pair_file if key is None else certificates.cert_file,
        key=None if key is None else getattr(certificates, key),
        password=SecretStr(PASSWORD) if locked else None,
    )
    files.context()
    options = files.driver_options()
    assert set(options) == {"tls", "tlsCertificateKeyFile", *(["tlsCertificateKeyFilePassword"] if locked else [])}
    content = Path(options["tlsCertificateKeyFile"]).read_bytes()
    assert b"BEGIN CERTIFICATE" in content
    assert b"PRIVATE KEY" in content
    MongoStore("mongodb://localhost/", "x", options=options)._connect()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"ca": "/no/such/file"}, "X_CA_FILE: /no/such/file can't be read: No such file or directory"),
        ({"ca": "key_file"}, "X_CA_FILE: .*client.key has no certificate in PEM"),
        ({"ca": "der"}, "X_CA_FILE: .*ca.der has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"),
        ({"ca": "cut"}, "X_CA_FILE: .*cut.pem has a certificate that can't be read"),
        ({"certificate": "/no/file"}, "X_CERT_FILE: /no/file can't be read"),
        ({"certificate": "cert_file"}, "X_CERT_FILE: .*client.crt has no private key in PEM"),
        ({"certificate": "cert_file", "key": "/no/file"}, "X_KEY_FILE: /no/file can't be read"),
        ({"certificate": "cert_file", "key": "cert_file"}, "X_KEY_FILE: .*client.crt has no private key in PEM"),
        (
            {"certificate": "cert_file", "key": "other_key_file"},
            "X_KEY_FILE: the key in .*other.key doesn't fit the cert",
        ),
        (
            {"certificate": "cert_file", "key": "locked_key_file"},
            "X_KEY_FILE: .*locked.key is encrypted: set X_KEY_PASS",
        ),
        (
            {"certificate": "cert_file", "key": "locked_key_file", "password": SecretStr("wr0ng")},
            "X_KEY_FILE: X_KEY_PASSWORD doesn't open the key in .*locked.key",
        ),
        ({"key": "key_file"}, "X_KEY_FILE and X_KEY_PASSWORD need X_CERT_FILE"),
        ({"certificate": "cut", "key": "key_file"}, "X_CERT_FILE: the certificate or its key can't be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(given: dict[str, Any], fault: str, certificates: Certificates) -> None:
    made = {
        "der": lambda: certificates.keep("ca.der", ssl.PEM_cert_to_DER_cert(certificates.certificate.decode())),
        "cut": lambda: certificates.keep("cut.pem", certificates.certificate[:200] + b"\n-----END CERTIFICATE-----\n"),
    }
    paths: dict[str, Any] = {
        part: made[value]() if value in made else getattr(certificates, str(value), value)
        for part, value in given.items()
    }
    for use in (TlsFiles("X", **paths).context, TlsFiles("X", **paths).driver_options):
        with pytest.raises(SetupError, match=fault) as raised:
            use()
        assert "wr0ng" not in str(raised.value)
