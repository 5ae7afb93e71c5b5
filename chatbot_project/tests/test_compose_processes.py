"""The processes of docker-compose.yml, run by its own commands without containers: people sign in through the proxy and
are answered, health checks hold, nothing is written outside volumes, and all end in order."""

import asyncio
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import pytest
from django.conf import settings

from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.postgres import binary_dir, server_user
from chatbot_project.tests.compose import Compose, interpolated
from conversations.tests.client import ChatClient
from conversations.tests.stack import wait_until
from stress_tests.fake_model import FakeModelServer

pytestmark = pytest.mark.faults
EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
MAKE_PERSON = (
    "from django.utils import timezone; from accounts.models import User;"
    f" User.objects.create_user('{EMAIL}', '{PASSWORD}', username='Ada', email_verified_at=timezone.now())"
)


class ProxiedClient(ChatClient):
    """A tab behind a proxy whose certificate comes from an authority of its own."""

    def __init__(self, url: str, key: str, trusted: ssl.SSLContext) -> None:
        super().__init__(url, key)
        self.trusted = trusted

    def opening(self) -> dict[str, Any]:
        return super().opening() | {"ssl": self.trusted}


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory, fake_model_session: FakeModelServer) -> Iterator[Compose]:
    with Compose(tmp_path_factory.mktemp("compose"), fake_model_session.base_url) as running:
        yield running


def test_variables_are_put_in_as_compose_does() -> None:
    assert interpolated(["${A:-x}${B}", {"c": "$$HOME ${A:?no}"}, 2], {"A": "1"}) == ["1", {"c": "$HOME 1"}, 2]
    assert interpolated("${B:-x}", {}) == "x"
    with pytest.raises(KeyError, match="make it"):
        interpolated("${B:?make it}", {})


def test_postgresql_takes_its_settings(compose: Compose) -> None:
    """Told, not started, which needs another user here: at one that it does not know, or cannot read, it says so."""
    program, *settings_of_it = shlex.split(compose.services["postgres"]["command"])
    user, data = server_user(), VarPaths(Path(settings.VAR_DIR)).postgres_data
    command = [binary_dir() / program, "-D", data, *settings_of_it, "-C", "max_connections"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **user.popen_arguments)
    assert (done.stdout.strip(), done.stderr) == ("200", "")


def test_everything_comes_up_in_its_order_and_is_well(compose: Compose) -> None:
    assert compose.order() == ["postgres", "redis", "migrate", "web", "proxy", "replies", "celery", "beat"]
    assert [len(compose.replicas[name]) for name in ("web", "replies", "celery", "beat")] == [2, 1, 1, 1]
    assert "The database is as this version needs it." in compose.replicas["migrate"][0].output()
    for replica in compose.all():
        if replica.service == "migrate" or (replica.service == "proxy" and not shutil.which("wget")):
            continue
        wait_until(lambda replica=replica: compose.is_healthy(replica), f"health of {replica.service}", 60)
    assert compose.database_health().returncode == 0
    found = asyncio.run(answers(compose, "/healthz", "/metrics", "/readyz"))
    assert [status for status, _text in found] == [200, 404, 200], found


async def answers(compose: Compose, *paths: str) -> list[tuple[int, str]]:
    """Status and text of pages, through the proxy."""
    async with browsing(compose) as browser:
        found = []
        for path in paths:
            async with browser.get(path) as answer:
                found.append((answer.status, await answer.text()))
        return found


def browsing(compose: Compose) -> aiohttp.ClientSession:
    """A browser that trusts the proxy's own authority, and no other."""
    return aiohttp.ClientSession(compose.url, connector=aiohttp.TCPConnector(ssl=trust(compose)))


def trust(compose: Compose) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(compose.authority))


def test_the_proxy_gives_each_request_an_id_of_its_own(compose: Compose) -> None:
    async def told(said: str) -> str:
        async with browsing(compose) as browser, browser.get("/healthz", headers={"X-Request-ID": said}) as answer:
            return answer.headers["X-Request-ID"]

    ids = {UUID(asyncio.run(told("of-the-client"))) for _request in range(2)}
    assert len(ids) == 2


def test_a_web_process_that_has_ended_is_passed_over_however_busy_the_other_is(compose: Compose) -> None:
    async def found_while_uploads_stand_open() -> list[int]:
        host = urlsplit(compose.url)
        half = f"POST /x HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: 9\r\n\r\nhalf"
        writers = []
        for _upload in range(4):
            _reader, writer = await asyncio.open_connection(
                "127.0.0.1", host.port, ssl=trust(compose), server_hostname=host.hostname
            )
            writer.write(half.encode())
            await writer.drain()
            writers.append(writer)
        await asyncio.sleep(0.5)  # they have reached the one that is left
        try:
            return [status for status, _text in await answers(compose, *["/healthz"] * 6)]
        finally:
            for writer in writers:
                writer.transport.abort()

    first, *_others = compose.replicas["web"]
    first.terminate()
    assert first.wait(30) == 0
    assert asyncio.run(found_while_uploads_stand_open()) == [200] * 6


def test_somebody_signs_in_through_the_proxy_and_is_answered_whole(compose: Compose) -> None:
    compose.run("migrate", "python", "manage.py", "shell", "-c", MAKE_PERSON)
    asyncio.run(sign_in_and_ask(compose))


async def sign_in_and_ask(compose: Compose) -> None:
    await ask(compose, await signed_in(compose))


async def signed_in(compose: Compose) -> str:
    """The session that the page gives for address and password."""
    page = "/accounts/sign-in/"
    async with browsing(compose) as browser:
        async with browser.get(page) as answer:
            token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', await answer.text())[0]
        form = {"email": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token}
        headers = {"Referer": compose.url + page, "Origin": compose.url}
        async with browser.post(page, data=form, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            cookie = answer.cookies["sessionid"]
            assert cookie["secure"]
            return cookie.value


async def ask(compose: Compose, key: str) -> None:
    """Ask, and then see the web processes off: the tab is told where to go, by a code."""
    async with ProxiedClient(compose.url, key, trust(compose)) as tab:
        accepted = await tab.ask("Does it reach me through the proxy?", persona="writing-coach")
        reply = await tab.ended(accepted["reply"]["id"], seconds=60)
        assert reply.status == "reply.completed"
        assert reply.streamed == reply.text != ""
        conversation = accepted["conversation"]["id"]
        await tab.until(lambda: tab.conversations.get(conversation, {}).get("title"), "a title, by Celery", 60)
        for replica in compose.replicas["web"]:
            replica.terminate()
        await tab.until(lambda: tab.close_code, "the end of the socket", 40)
        assert tab.close_code == 1012
        assert any(event["type"] == "server.draining" for event in tab.heard)


def test_a_link_that_is_opened_while_nothing_answers_stands_in_no_log_of_the_proxy(compose: Compose) -> None:
    """Its secret would be good still. The web processes were told to end in the test before."""
    compose.stop("web")
    (found,) = asyncio.run(answers(compose, "/accounts/link/reset/a-secret/?ticket=a-secret"))
    assert (found[0], "asks again" in found[1]) == (502, True)
    (proxy,) = compose.replicas["proxy"]
    assert "a-secret" not in proxy.output()


def test_a_backup_is_made_and_can_be_restored(compose: Compose) -> None:
    said = compose.run("migrate", "python", "manage.py", "backup", "--verify")
    assert f"{compose.data / 'backups'}/nono-" in said
    assert "It can be restored." in said


def test_all_end_in_order_when_they_are_told(compose: Compose) -> None:
    for name in reversed(compose.order()):
        if name not in ("postgres", "migrate"):
            codes = compose.stop(name)
            assert codes == [0] * len(codes), (name, compose.replicas[name][0].output()[-2000:])


def test_nothing_was_written_but_into_volumes(compose: Compose) -> None:
    """The containers' root is read-only: what lands elsewhere below VAR_DIR would have failed."""
    there = {path.name for path in compose.data.iterdir()}
    assert there == {volume.name for volume in compose.volumes} == {"audit", "backups", "erasures"}
    assert not list(Path(compose.folder).glob("*.pid"))
