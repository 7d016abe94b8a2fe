"""A real OpenID Connect provider (node-oidc-provider, which is certified), and a browser at its pages."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
from joserfc.jwk import RSAKey

from sandbox.build import cache
from sandbox.tools import Tool, install
from tests.ports import free_port

VERSION: Final = "8.8.1"
CLIENT, SECRET = "gateway", "a secret of the client's, at least 32 characters"
PUBLIC: Final = "https://testserver.local"
ACCOUNTS: Final[Mapping[str, Mapping[str, object]]] = {
    "sub-ana": {"preferred_username": "Ana", "groups": ["staff", "gateway-operators"], "topics": ["charge_card"]},
    "sub-root": {"preferred_username": "chief", "groups": ["gateway-admins", "gateway-operators"]},
    "sub-guest": {"preferred_username": "guest", "groups": ["staff"]},
}
_SCRIPT: Final = Path(__file__).with_name("provider.mjs")


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


NODE: Final = Tool("node", "nodejs", lambda: _on_path("node"))
NPM: Final = Tool("npm", "npm", lambda: _on_path("npm"))


def prepare() -> Path:
    """Return the folder that has the provider, fetched once; npm checks what it gets by the registry's hashes."""
    install((NODE, NPM), print)
    folder = cache() / "npm" / f"oidc-provider@{VERSION}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
        command = [str(NPM.require()), "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run([*command, f"oidc-provider@{VERSION}"], cwd=folder, check=True, capture_output=True, timeout=300)
        (folder / "complete").touch()
    return folder


def new_key() -> dict[str, Any]:
    """Return a key of the provider's, as its file has it."""
    return dict(
        RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, private=True, auto_kid=True).as_dict(private=True)
    )


class Provider:
    """The provider's process; `accounts` are who can log in, by any password, and what is claimed of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.accounts: dict[str, Mapping[str, object]] = dict(ACCOUNTS)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, key: Mapping[str, Any] | None = None) -> None:
        """Start it with a key of its own, or another; returns when it answers."""
        home = prepare()
        script = home / "provider.mjs"
        script.write_bytes(_SCRIPT.read_bytes())
        client = {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "redirect_uris": [f"{PUBLIC}/dashboard/login/callback"],
            "post_logout_redirect_uris": [f"{PUBLIC}/dashboard/login"],
            "grant_types": ["authorization_code", "client_credentials"],
        }
        config = {
            "issuer": self.issuer, "port": self.port, "accounts": self.accounts, "clients": [client],
            "jwks": {"keys": [key or new_key()]},
        }  # fmt: skip
        file = self._folder / "provider.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        self._process = await asyncio.create_subprocess_exec(
            str(NODE.require()),
            str(script),
            str(file),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            assert await self._process.stdout.readline() == b"ready\n"

    async def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class ProviderBrowser:
    """A browser at the provider's own pages: it logs in, consents, and logs out, as a person does there."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(timeout=30)

    async def log_in(self, url: str, account: str) -> str:
        """Go to where the gateway sends browsers, and log in; return where the provider sends them back to."""
        answer = await self._client.get(url)
        for _ in range(12):
            if answer.is_redirect:
                target = str(answer.next_request.url) if answer.next_request else ""
                if target.startswith(PUBLIC):
                    return target
                answer = await self._client.get(target)
                continue
            answer.raise_for_status()
            answer = await self._submit(answer, login=account, password="any")
        raise AssertionError(f"the provider leads nowhere: {answer.text[:500]}")

    async def log_out(self, url: str) -> str:
        """Go to where the gateway sends browsers at the end, and confirm; return where that leads."""
        answer = await self._client.get(url)
        answer.raise_for_status()
        answer = await self._submit(answer, logout="yes")
        return answer.headers["location"]

    async def _submit(self, page: httpx2.Response, **typed: str) -> httpx2.Response:
        """Send the page's form, with what is typed into those of its fields that it has."""
        form = re.search(r"<form.*?</form>", page.text, re.S)
        assert form is not None, page.text[:500]
        action = re.search(r'action="([^"]*)"', form[0])
        fields = {}
        for tag in re.findall(r"<(?:input|button)[^>]*>", form[0]):
            name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            if name is not None:
                fields[name[1]] = typed.get(name[1], "" if value is None else value[1])
        assert action is not None
        return await self._client.post(page.url.join(action[1]), data=fields)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()
