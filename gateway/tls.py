"""Own CAs and client certificates for the servers, from the files that the settings name."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bridge.domain.errors import SetupError
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of one server's settings, whose names begin with `name`.

    `ca` has the CAs that are trusted in place of the system's. `certificate` is the client's, with what is between it
    and its CA; `key` its key, which may stand in the same file (None).
    """

    name: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    password: SecretStr | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that are set."""
        values = {
            "CA_FILE": self.ca,
            "CERT_FILE": self.certificate,
            "KEY_FILE": self.key,
            "KEY_PASSWORD": self.password,
        }
        return tuple(f"{self.name}_{part}" for part, value in values.items() if value is not None)

    def context(self) -> ssl.SSLContext:
        """Return a client's context by these files. Raises `SetupError`, which names the setting to change."""
        if self.ca is None:
            context = ssl.create_default_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._trust(context, self.ca)
        if self.certificate is not None:
            self._identify(context, self.certificate)
        elif self.key is not None or self.password is not None:
            raise SetupError(f"{self.name}_KEY_FILE and {self.name}_KEY_PASSWORD need {self.name}_CERT_FILE")
        return context

    def driver_options(self) -> Mapping[str, Any]:
        """Return the files as options of MongoDB's driver, which reads them itself. Raises `SetupError`."""
        if not self.given:
            return {}
        self.context()
        options = {
            "tlsCAFile": self.ca,
            "tlsCertificateKeyFile": self._in_one_file(),
            "tlsCertificateKeyFilePassword": None if self.password is None else self.password.get_secret_value(),
        }
        return {"tls": True, **{name: value for name, value in options.items() if value is not None}}

    def _trust(self, context: ssl.SSLContext, path: str) -> None:
        _read(f"{self.name}_CA_FILE", path, "CERTIFICATE")
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise SetupError(f"{self.name}_CA_FILE: {path} has a certificate that can't be read: {error}") from error

    def _identify(self, context: ssl.SSLContext, path: str) -> None:
        setting = f"{self.name}_CERT_FILE"
        _read(setting, path, "CERTIFICATE")
        where, key_path = (setting, path) if self.key is None else (f"{self.name}_KEY_FILE", self.key)
        key = _read(where, key_path, "PRIVATE KEY")
        # An empty password keeps OpenSSL from asking for one on the terminal.
        password = "" if self.password is None else self.password.get_secret_value()
        try:
            context.load_cert_chain(path, self.key, password=lambda: password)
        except ssl.SSLError as error:
            raise SetupError(self._why_not(error, where, key_path, is_encrypted=b"ENCRYPTED" in key)) from error

    def _why_not(self, error: ssl.SSLError, where: str, key_path: str, *, is_encrypted: bool) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{where}: the key in {key_path} doesn't fit the certificate of {self.name}_CERT_FILE"
        if is_encrypted and self.password is None:
            return f"{where}: the key in {key_path} is encrypted: set {self.name}_KEY_PASSWORD"
        if is_encrypted:
            return f"{where}: {self.name}_KEY_PASSWORD doesn't open the key in {key_path}"
        return f"{self.name}_CERT_FILE: the certificate or its key can't be used: {error}"

    def _in_one_file(self) -> str | None:
        """Return a file with the certificate and its key, as MongoDB's driver wants them: in memory where they are two.

        It stays for as long as the process, as the driver may read it again.
        """
        if self.certificate is None or self.key is None or self.key == self.certificate:
            return self.certificate
        if not hasattr(os, "memfd_create"):
            raise SetupError(f"{self.name}_KEY_FILE: put the key into the file of {self.name}_CERT_FILE on this system")
        number = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        with os.fdopen(number, "wb", closefd=False) as file:
            file.write(Path(self.certificate).read_bytes().rstrip(b"\n") + b"\n" + Path(self.key).read_bytes())
        return f"/proc/self/fd/{number}"


def tls_files(settings: Settings, name: str) -> TlsFiles:
    """Return the files of one server: of `camunda`, `mongodb` or `rabbitmq`."""
    parts = ("ca_file", "cert_file", "key_file", "key_password")
    return TlsFiles(name.upper(), *(getattr(settings, f"{name}_{part}") for part in parts))


def tls_context(files: TlsFiles, address: str, scheme: str) -> ssl.SSLContext | None:
    """Return the context for a server at the address; None where nothing is set.

    Raises `SetupError`, also where files are set and the address has not the scheme that makes use of them.
    """
    if not files.given:
        return None
    if not address.startswith(f"{scheme}://"):
        raise SetupError(f"{', '.join(files.given)}: the address must begin with {scheme}://, or there is no TLS")
    return files.context()


def _read(setting: str, path: str, kind: str) -> bytes:
    """Return the content of a PEM file that must have something of a kind. Raises `SetupError`."""
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise SetupError(f"{setting}: {path} can't be read: {getattr(error, 'strerror', None) or error}") from error
    if not any(line.startswith(b"-----BEGIN ") and kind.encode() in line for line in content.splitlines()):
        raise SetupError(f"{setting}: {path} has no {kind.lower()} in PEM, which begins with -----BEGIN {kind}-----")
    return content
