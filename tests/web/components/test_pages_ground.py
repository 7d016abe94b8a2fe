"""The frame of every page: addresses, files, preferences, words after a change, sessions, and what no page may have."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from bridge.domain.access import Role
from tests.web.auth.access_lab import ORIGIN, PASSWORD, AccessLab, browser, with_token
from web.app import create_app
from web.components.assets import FOLDER as STATIC
from web.components.assets import Assets
from web.components.nav import SECTIONS
from web.components.page import PageConfig
from web.components.preferences import Preferences, chosen, zones
from web.dashboard.mount import dashboard_router
from web.dashboard.settings import device_of
from web.dashboard.styleguide import HOSTILE


@pytest.fixture
def lab() -> AccessLab:
    return AccessLab()


@pytest.fixture
def app(lab: AccessLab, stub: Any) -> Litestar:
    page_config = PageConfig("Produção", "1.2.3", debug=True)
    return create_app(
        stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies, page_config, ending=asyncio.Event())]
    )


@pytest.fixture
async def secret(lab: AccessLab) -> str:
    return await lab.session(Role.OPERATOR, "ada")


@pytest.fixture
async def client(app: Litestar, secret: str) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with browser(app, secret) as client:
        yield client


# -- the frame


async def test_the_rail_leads_to_what_one_may_see(app: Litestar, lab: AccessLab) -> None:
    for role, audited in ((Role.VIEWER, False), (Role.ADMIN, True)):
        async with browser(app, await lab.session(role)) as client:
            page = (await client.get("/dashboard/settings")).text
        assert (">Audit<" in page) is audited
        assert page.count('aria-current="page"') == 1
        assert len(re.findall(r"data-chord=", page)) == len(SECTIONS) - (not audited)


async def test_the_environment_is_on_every_page(client: Any) -> None:
    for path in ("/dashboard", "/dashboard/settings", "/dashboard/nothing"):
        assert "Produção" in (await client.get(path)).text


@pytest.mark.parametrize(
    ("name", "badge"),
    [("production", "production"), ("PRD-2", "production"), ("Homologação", "staging"), ("x", "other")],
)
def test_production_is_the_loudest(name: str, badge: str) -> None:
    assert PageConfig(name).badge == badge


async def test_the_style_guide_is_there_only_with_debug(lab: AccessLab, stub: Any, secret: str) -> None:
    for debug, status in ((True, 200), (False, 404)):
        router = dashboard_router(lab.dependencies, PageConfig(debug=debug), ending=asyncio.Event())
        async with browser(create_app(stub.dependencies(lab.dependencies), [router]), secret) as visitor:
            assert (await visitor.get("/dashboard/styleguide")).status_code == status


async def test_every_script_of_a_page_has_its_nonce(client: Any) -> None:
    response = await client.get("/dashboard/styleguide")
    (nonce,) = re.findall(r"'nonce-([\w-]+)'", response.headers["content-security-policy"])
    scripts = re.findall(r"<script([^>]*)>", response.text)
    assert len(scripts) == 5
    assert all(f'nonce="{nonce}"' in script and " src=" in script for script in scripts)
    assert 'integrity="sha384-' in scripts[-1]
    assert 'crossorigin="anonymous"' in scripts[-1]


async def test_hostile_text_is_escaped(client: Any) -> None:
    page = (await client.get("/dashboard/styleguide", params={"state": HOSTILE})).text
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


# -- under a path of its own


async def test_under_any_sub_path(app: Litestar, secret: str) -> None:
    async with AsyncTestClient(app, base_url=ORIGIN, root_path="/gate", raise_server_exceptions=False) as client:
        client.headers["sec-fetch-site"] = "same-origin"
        client.follow_redirects = False
        client.cookies.set("__Host-session", secret)
        page = (await client.get("/dashboard/styleguide", params={"state": "failed", "topic": "a"})).text
        own = re.findall(r'(?:href|src|action|data-events)="(/[^"]*)"', page)
        assert own
        assert [address for address in own if not address.startswith("/gate/")] == []
        answer = await client.post("/dashboard/settings", data=with_token(secret, theme="dark"))
        assert answer.headers["location"] == "/gate/dashboard/settings"


async def test_an_address_has_the_whole_state(client: Any) -> None:
    page = (await client.get("/dashboard/styleguide?topic=a&topic=b&q=x%26y&after=c")).text
    assert "/dashboard/styleguide?topic=a&amp;topic=b&amp;q=x%26y&amp;after=c&amp;state=failed" in page
    assert "/dashboard/styleguide?q=x%26y&amp;after=c" in page, "without the topics"
    assert re.search(r'type="hidden" name="topic" value="b"', page)


# -- files


async def test_files_are_kept_for_ever_under_their_content(client: Any, app: Litestar) -> None:
    page = (await client.get("/dashboard/settings")).text
    addresses = set(re.findall(r'/dashboard/static/[^"]+', page))
    assert {"app.css", "app.js", "icon.svg", "keys.js", "live.js", "rows.js"} <= {
        each.rsplit("/", 1)[1] for each in addresses
    }
    for address in addresses:
        answer = await client.get(address, headers={"accept-encoding": "gzip"})
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content == (STATIC / address.rsplit("/", 1)[1]).read_bytes()
    assert (await client.get("/dashboard/static/old/app.css")).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "kind"), [("app.css", "text/css"), ("app.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
)
async def test_the_kinds_of_files(client: Any, name: str, kind: str) -> None:
    answer = await client.get(f"/dashboard/static/x/{name}", headers={"accept-encoding": "identity"})
    assert answer.headers["content-type"].startswith(kind)
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("name", ["nothing.css", "..%2fbase.html", "%2e%2e", "app.css.map"])
async def test_no_other_file_is_served(client: Any, name: str) -> None:
    assert (await client.get(f"/dashboard/static/x/{name}")).status_code == 404


def test_the_mark_follows_from_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a {}")
    (tmp_path / "notes.txt").write_text("no asset")
    kept, fresh = Assets(tmp_path), Assets(tmp_path, fresh=True)
    before = kept.url("/r", "a.css")
    (tmp_path / "a.css").write_text("b {}")
    assert kept.url("/r", "a.css") == before
    assert fresh.url("/r", "a.css") != before
    assert kept.get("notes.txt") is None
    found = kept.get("a.css")
    assert found is not None
    assert gzip.decompress(found.zipped) == found.content


# -- preferences


async def test_settings_are_kept_in_the_browser(client: Any, secret: str) -> None:
    fields = {"language": "pt-BR", "zone": "America/Manaus", "theme": "dark", "density": "roomy", "shortcuts": "off"}
    answer = await client.post("/dashboard/settings", data=with_token(secret, **fields))
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/settings")
    cookies = answer.headers.get_list("set-cookie")
    (kept,) = [cookie for cookie in cookies if cookie.startswith("__Host-preferences=")]
    assert all(term in kept for term in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    page = (await client.get("/dashboard/settings")).text
    html = re.search(r"<html[^>]*>", page)
    assert html is not None
    assert html[0] == (
        '<html lang="pt-BR" data-theme="dark" data-density="roomy" data-shortcuts="off" data-zone="America/Manaus">'
    )
    assert "-04:00" in page
    assert "Suas configurações foram salvas." in page
    assert "foram salvas" not in (await client.get("/dashboard/settings")).text, "it is said once"


async def test_one_choice_leaves_the_others(client: Any, secret: str) -> None:
    await client.post("/dashboard/settings", data=with_token(secret, language="pt-BR", zone="Asia/Tokyo"))
    answer = await client.post(
        "/dashboard/settings", data=with_token(secret, theme="light", next="/dashboard/tasks?q=x")
    )
    assert answer.headers["location"] == "/dashboard/tasks?q=x"
    assert 'lang="pt-BR" data-theme="light"' in (await client.get("/dashboard/settings")).text
    answer = await client.post("/dashboard/settings", data=with_token(secret, theme="dark", next="//evil.example"))
    assert answer.headers["location"] == "/dashboard"


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "xx"},
        {"zone": "../../etc/passwd"},
        {"zone": "posixrules"},
        {"theme": "x"},
        {"shortcuts": ""},
        {"a": "b"},
    ],
)
def test_what_there_is_not_changes_nothing(fields: dict[str, str]) -> None:
    before = Preferences("pt-BR", "Asia/Tokyo", "dark", "roomy", shortcuts=False)
    assert chosen(fields, before) == before


def test_an_empty_choice_is_the_browsers_own() -> None:
    assert chosen({"language": "", "zone": ""}, Preferences("pt-BR", "Asia/Tokyo")) == Preferences()
    assert "America/Sao_Paulo" in zones()


@pytest.mark.parametrize(("cookie", "zone"), [("America/Sao_Paulo", "America/Sao_Paulo"), ("../x", "UTC"), ("", "UTC")])
async def test_the_zone_of_the_machine_counts_where_none_is_chosen(client: Any, cookie: str, zone: str) -> None:
    client.cookies.set("zone", cookie)
    assert f'data-zone="{zone}" data-zone-guessed' in (await client.get("/dashboard/settings")).text


async def test_a_hostile_cookie_is_no_setting(client: Any) -> None:
    client.cookies.set("__Host-preferences", "theme=%22%3E%3Cscript%3E&language=%22&density=" + "x" * 5000)
    response = await client.get("/dashboard/settings")
    assert response.status_code == 200
    assert 'data-theme="auto"' in response.text


# -- a word after a change


async def test_only_the_session_itself_can_say_something(app: Litestar, lab: AccessLab, secret: str) -> None:
    async with browser(app, secret) as visitor:
        answer = await visitor.post("/dashboard/settings", data=with_token(secret))
    (flash,) = [c.split(";")[0].split("=", 1)[1] for c in answer.headers.get_list("set-cookie") if "flash=" in c]
    other = await lab.session(Role.ADMIN, "mallory")
    for session, value, said in (
        (secret, flash, True),
        (other, flash, False),
        (secret, flash[:-4] + "AAAA", False),
        (secret, "x.y", False),
        (secret, f"{flash.split('.')[0]}.WyJkb25lIiwiZXZpbCIse31d", False),
    ):
        async with browser(app, session) as visitor:
            visitor.cookies.set("__Host-flash", value)
            assert ("Settings saved." in (await visitor.get("/dashboard/settings")).text) is said
    async with browser(app, secret) as visitor:
        visitor.cookies.set("__Host-flash", flash)
        refetched = await visitor.get("/dashboard/settings", headers={"x-live": "1"})
        assert "set-cookie" not in refetched.headers, "a refetch uses nothing up"


# -- sessions


async def test_sessions_are_shown_and_ended(client: Any, lab: AccessLab, secret: str) -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/120.0"
    other = await lab.session_service.login("ada", PASSWORD, address="10.9.8.7", agent=agent)
    foreign = await lab.session(Role.ADMIN, "mallory")
    page = (await client.get("/dashboard/settings")).text
    assert "10.9.8.7" in page
    assert "Edge · Windows" in page
    assert secret not in page
    ids = re.findall(r'name="id" value="(\w{64})"', page)
    assert len(ids) == 2
    stolen = (await lab.session_service.sessions("mallory"))[0].id
    await client.post("/dashboard/settings/sessions", data=with_token(secret, id=stolen))
    assert await lab.session_service.by_session(foreign) is not None, "nobody ends another's session"
    await client.post("/dashboard/settings/sessions", data=with_token(secret, id=other.session.id))
    assert await lab.session_service.by_session(other.secret) is None
    await lab.session_service.login("ada", PASSWORD, address="10.9.8.8", agent="")
    await client.post("/dashboard/settings/sessions", data=with_token(secret, others="yes"))
    assert len(await lab.session_service.sessions("ada")) == 1
    assert await lab.session_service.by_session(secret) is not None


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox · Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari · iPhone"),
        ("curl/8.5.0", "curl"),
        ("", ""),
        ("something else", "something else"),
    ],
)
def test_a_browser_by_its_name(agent: str, device: str) -> None:
    assert device_of(agent) == device
