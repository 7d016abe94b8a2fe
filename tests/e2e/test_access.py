"""Who comes in to a gateway on real servers, by the commands and the environment as they are."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import aiohttp
import bson
from pymongo import AsyncMongoClient

from tests.e2e.gateways import ROOT, Lab

PASSWORD = "canary horse battery"
ADMIN = {"AUTH": "required", "GATEWAY_ADMIN_USER": "root", "GATEWAY_ADMIN_PASSWORD": PASSWORD}


async def command(lab: Lab, *arguments: str, given: str = "") -> tuple[int, str, str]:
    """Run `gateway …` to its end; return its exit code, its output and its errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        cwd=lab.folder,
        env={**os.environ, **lab.env, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def dump(lab: Lab) -> str:
    """Return everything that the database keeps, as text."""
    async with AsyncMongoClient[dict[str, Any]](lab.env["MONGODB_URI"]) as client:
        database = client[lab.env["MONGODB_DATABASE"]]
        kept = [await database[name].find({}).to_list() for name in await database.list_collection_names()]
    return json.dumps(kept, default=str) + str([bson.encode({"kept": rows}) for rows in kept])


async def status(url: str, key: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, headers={"X-Api-Key": key}) as answer:
        return answer.status


async def test_keys_by_the_command(lab: Lab) -> None:
    gateway = await lab.gateway("serve", "--roles", "web", **ADMIN)
    code, out, _ = await command(lab, "keys", "create", "courier", "--scope", "read", "--scope", "submit")
    key = out.strip()
    assert code == 0
    assert await status(f"{gateway.url}/tasks", "wag_x_y") == 401
    assert await status(f"{gateway.url}/tasks", key) == 200
    _, listed, _ = await command(lab, "keys", "list")
    prefix = key.split("_")[1]
    assert prefix in listed
    assert "read,submit" in listed
    assert "never used" not in listed
    assert key[-64:] not in listed + await dump(lab) + str(gateway.lines)
    assert (await command(lab, "keys", "revoke", prefix))[0] == 0
    assert await status(f"{gateway.url}/tasks", key) == 401
    assert (await command(lab, "keys", "revoke", prefix))[0] == 2
    kept = await dump(lab)
    for part in ("key.create", "key.revoke", f"key:{prefix}", "courier"):
        assert part in kept, "the audit has it"


async def test_people_by_the_environment_and_the_command(lab: Lab) -> None:
    gateway = await lab.gateway("serve", "--roles", "web", **ADMIN, INSECURE_COOKIES="true")
    assert await gateway.until("cookies_insecure")
    login, headers = f"{gateway.url}/dashboard/login", {"Origin": gateway.url}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        form = {"name": "root", "password": PASSWORD}
        async with session.post(login, data=form, headers=headers, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")
            secret = answer.cookies["session"].value
        async with session.get(f"{gateway.url}/dashboard") as answer:
            assert "root" in await answer.text()
        hidden = await dump(lab) + str(gateway.lines)
        assert PASSWORD not in hidden
        assert secret not in hidden
        code, out, err = await command(lab, "users", "add", "ada", "--role", "viewer", "--stdin", given=f"{PASSWORD}\n")
        assert (code, err) == (0, ""), err
        assert PASSWORD not in out
        assert (await command(lab, "users", "add", "ada", "--stdin", given=f"{PASSWORD}\n"))[0] == 2
        assert (await command(lab, "users", "add", "bob", "--stdin", given="short\n"))[0] == 2
        limited = ("users", "add", "ana", "--role", "operator", "--topic", "ship", "--topic", "mail", "--stdin")
        assert "operator of mail,ship" in (await command(lab, *limited, given=f"{PASSWORD}\n"))[1]
        assert (await command(lab, "users", "topics", "ana"))[0] == 2
        assert (await command(lab, "users", "topics", "root", "--topic", "ship"))[0] == 2
        assert "ana sees all topics" in (await command(lab, "users", "topics", "ana", "--all"))[1]
        assert (await command(lab, "users", "disable", "root"))[0] == 0
        async with session.get(f"{gateway.url}/dashboard", allow_redirects=False) as answer:
            assert answer.status == 303
        async with session.post(login, data=form, headers=headers) as answer:
            assert answer.status == 401
    _, listed, _ = await command(lab, "users", "list")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["ada", "viewer"],
        ["ana", "operator"],
        ["root", "admin"],
    ]
    assert "disabled" in listed.splitlines()[2]


async def test_an_admin_who_can_not_be_made_stops_the_start(lab: Lab) -> None:
    lab.env.update(ADMIN, GATEWAY_ADMIN_PASSWORD="short", PORT="0")
    code, _, err = await command(lab, "serve", "--roles", "web")
    assert code == 2
    assert "GATEWAY_ADMIN_PASSWORD" in err
    assert "12" in err
