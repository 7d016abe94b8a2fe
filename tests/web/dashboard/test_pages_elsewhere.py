"""The same pages under another path, and in the other language: no address leaves the path, no word stays English."""

from __future__ import annotations

import re

import pytest
from litestar.testing import AsyncTestClient

from bridge.domain.access import Role
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.records import Pause
from tests.web.auth.access_lab import ORIGIN, with_token
from tests.web.dashboard.operations_lab import OPERATION, OperationsLab, person

PREVIEW = "/dashboard/operations/preview"
PATHS = {
    "/dashboard/topics": ("Tópicos", "Espera mais longa", "Topics"),
    "/dashboard/topics/charge_card": ("Tempo de espera", "Configuração", "Consumers"),
    "/dashboard/topics/ship": ("Pausado por ada", "Retomar …", "Resume"),
    "/dashboard/workers": ("Dependências", "Dead letters", "Replicas"),
    "/dashboard/operations": ("Operações", "Processadas", "Outcomes"),
    f"/dashboard/operations/{OPERATION}": ("Nova tentativa de 1 tarefa", "Tarefa por tarefa", "Started"),
    f"{PREVIEW}?q=state:failed": ("Tentar novamente em massa", "Tentar novamente 2 tarefas", "Confirm<"),
    PREVIEW: ("Nenhuma tarefa escolhida", "Tarefas com falha", "selected"),
    "/dashboard/audit": ("Auditoria", "Exportar em CSV", "Nothing"),
}


@pytest.fixture
async def lab() -> OperationsLab:
    lab = OperationsLab()
    await lab.worker()
    await lab.fail_many(2)
    await lab.begin(OPERATION)
    await lab.dashboard_store.pause(Pause("ship", "ada", "manutenção", lab.clock.now()))
    await lab.store.keep_dead_letter(DeadLetter("d1", "ship", "rejected", "x", "t1", lab.clock.now()))
    return lab


@pytest.mark.parametrize("path", PATHS)
async def test_in_portuguese(lab: OperationsLab, path: str) -> None:
    html = await (await person(lab, Role.ADMIN, **{"accept-language": "pt-BR"})).get(path)
    first, second, english = PATHS[path]
    main = html[html.index("<main") : html.index("</main>")]
    assert 'lang="pt-BR"' in html
    assert first in main
    assert second in main
    assert english not in main


@pytest.mark.parametrize("path", PATHS)
async def test_under_any_sub_path(lab: OperationsLab, path: str) -> None:
    secret = await lab.access.session(Role.ADMIN)
    async with AsyncTestClient(lab.app(), base_url=ORIGIN, root_path="/gate", raise_server_exceptions=False) as client:
        client.cookies.set("__Host-session", secret)
        own = re.findall(r'(?:href|src|action|formaction)="(/[^"]*)"', (await client.get(path)).text)
    assert own
    assert [address for address in own if not address.startswith("/gate/")] == []


async def test_what_is_changed_leads_on_under_the_same_path(lab: OperationsLab) -> None:
    secret = await lab.access.session(Role.ADMIN)
    async with AsyncTestClient(lab.app(), base_url=ORIGIN, root_path="/gate", raise_server_exceptions=False) as client:
        client.headers["sec-fetch-site"] = "same-origin"
        client.follow_redirects = False
        client.cookies.set("__Host-session", secret)
        for path, fields, target in (
            (PREVIEW, {"q": "state:failed"}, f"{PREVIEW}?q=state%3Afailed"),
            ("/dashboard/topics/ship/resume", {}, "/dashboard/topics/ship"),
            (f"/dashboard/operations/{OPERATION}/pause", {}, f"/dashboard/operations/{OPERATION}"),
        ):
            answer = await client.post(path, data=with_token(secret, **fields))
            assert (answer.status_code, answer.headers["location"]) == (303, f"/gate{target}")
        answer = await client.get("/dashboard/audit?since=2026-01-30T09:00")
        assert answer.headers["location"].startswith("/gate/dashboard/audit?since=2026-01-30T09%3A00%3A00")
