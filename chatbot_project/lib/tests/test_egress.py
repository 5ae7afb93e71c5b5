import errno
import ipaddress
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from chatbot_project.lib.egress import BadURL, ForbiddenAddress, check_url, is_forbidden, is_private, socket_guard
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.transport import make_session
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest, RetryPolicy
from stress_tests.fake_model import FakeModelServer

METADATA = "169.254.169.254"


class ChangingResolver(AbstractResolver):
    """A name server that says something else each time it is asked, and counts how often it was."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        address = self.answers.pop(0)
        found = ResolveResult(hostname=host, host=address, port=port, proto=0, flags=0, family=ipv(address))
        return [found]

    async def close(self) -> None: ...


def ipv(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def connected(url: str, *, private: bool, resolver: AbstractResolver | None = None) -> bool:
    """Whether a connection was made. False where it was refused for its address."""
    session = make_session(1, private=private)
    if resolver is not None:
        session.connector._resolver = resolver
        session.connector._use_dns_cache = False
    try:
        async with session.get(url, allow_redirects=False, timeout=aiohttp.ClientTimeout(connect=5)):
            return True
    except aiohttp.InvalidUrlClientError:  # aiohttp itself refuses addresses that are written oddly
        return False
    except aiohttp.ClientConnectorError as error:
        return error.errno != errno.EACCES
    finally:
        await session.close()


@pytest.fixture
def port(fake_model: FakeModelServer) -> int:
    return int(fake_model.base_url.split(":")[2].split("/")[0])


@pytest.mark.parametrize(
    ("address", "forbidden", "private"),
    [
        (METADATA, True, True), ("::ffff:169.254.169.254", True, True), ("64:ff9b::a9fe:a9fe", True, True),
        ("2002:a9fe:a9fe::1", True, True), ("fe80::1", True, True), ("0.0.0.0", True, True), ("::", True, True),
        ("224.0.0.1", True, False), ("ff02::1", True, False), ("255.255.255.255", True, True),
        ("100.100.100.200", True, True), ("fd00:ec2::254", True, True),
        ("127.0.0.1", False, True), ("127.9.9.9", False, True), ("::1", False, True), ("::ffff:127.0.0.1", False, True),
        ("::ffff:7f00:1", False, True), ("64:ff9b::7f00:1", False, True), ("2002:7f00:1::1", False, True),
        ("10.1.2.3", False, True), ("192.168.1.1", False, True), ("172.16.0.1", False, True),
        ("100.64.0.1", False, True), ("fd12::1", False, True),
        ("8.8.8.8", False, False), ("2606:4700::1111", False, False), ("64:ff9b::808:808", False, False),
    ],
)  # fmt: skip
def test_addresses_are_told_apart(address: str, forbidden: bool, private: bool) -> None:
    assert is_forbidden(ipaddress.ip_address(address)) is forbidden
    if not address.startswith(("224", "ff02")):
        assert is_private(ipaddress.ip_address(address)) is private


@pytest.mark.parametrize("address", [METADATA, "::ffff:a9fe:a9fe", "0.0.0.0", "224.0.0.1", "fe80::1%lo"])
@pytest.mark.parametrize("private", [True, False])
def test_what_nobody_may_reach_is_refused_even_to_the_operator(address: str, private: bool) -> None:
    with pytest.raises(ForbiddenAddress):
        socket_guard(private=private)((ipv(address), socket.SOCK_STREAM, 6, "", (address, 80)))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:7f00:1]", "localhost", "0177.0.0.1", "2130706433", "0x7f.1"])
async def test_this_machine_is_refused_however_it_is_written_unless_the_operator_chose_it(host: str, port: int) -> None:
    assert not await connected(f"http://{host}:{port}/health", private=False)
    if host in ("127.0.0.1", "localhost"):
        assert await connected(f"http://{host}:{port}/health", private=True)


async def test_a_name_that_changes_its_address_is_judged_by_the_one_connected_to(port: int) -> None:
    rebinding = ChangingResolver("127.0.0.1", METADATA, "127.0.0.1")
    assert await connected(f"http://model.example:{port}/health", private=True, resolver=rebinding)
    assert not await connected(f"http://model.example:{port}/health", private=True, resolver=rebinding)
    assert not await connected(f"http://model.example:{port}/health", private=False, resolver=rebinding)
    assert rebinding.answers == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host", "//host", "http://", "http://user@host", "http://user:secret@host", "http://@host",
        "http://good.example@169.254.169.254/v1", "http://169.254.169.254/v1", "http://[::ffff:a9fe:a9fe]/",
        "http://[fe80::1]/", "http://0.0.0.0/", "http://0177.0.0.1/", "http://0x7f.1/", "http://2130706433/",
        "http://127.1/", "http://host/v1?x=1", "http://host/#x", "http://ho st/", "http://host\\@other/",
        "http://host\n/", "http://[::1", "http://host:99999/",
    ],
)  # fmt: skip
def test_urls_that_hide_where_they_lead_are_refused(url: str) -> None:
    with pytest.raises(BadURL) as refusal:
        check_url(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["https://api.example.org/v1", "http://127.0.0.1:11434/v1", "http://[::1]:8080", "http://10.0.0.7/v1"]
)
def test_plain_urls_pass(url: str) -> None:
    check_url(url)


async def test_a_model_behind_a_forbidden_address_is_unavailable_over_stream_and_sdk() -> None:
    request = ChatRequest([ChatMessage("user", "hi")])
    provider = Provider("a", f"http://{METADATA}/v1", "secret")
    async with LLMClient({"a": provider}, retries=RetryPolicy(attempts=1)) as llm:
        with pytest.raises(LLMError) as streamed:
            await llm.open_stream(["a/m"], request)
        with pytest.raises(LLMError) as whole:
            await llm.complete(["a/m"], request)
    assert streamed.value.code == whole.value.code == "llm_unavailable"
