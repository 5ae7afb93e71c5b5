"""The API's bounds on a real server: requests at once, bodies of any size."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx2
import pytest
from django.conf import settings

from accounts.tests.factories import make_user
from conversations.tests.client import session_key
from conversations.tests.stack import Stack
from stress_tests.fake_model import FakeModelServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[str]:
    with Stack(fake_model_session.base_url, workers=0, RATE_LIMIT_REQUESTS="10/h") as stack:
        yield stack.url


def test_of_a_hundred_requests_at_once_exactly_ten_are_admitted(server: str) -> None:
    cookies = {settings.SESSION_COOKIE_NAME: session_key(make_user())}
    with httpx2.Client(base_url=server, cookies=cookies, timeout=30) as client, ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: client.get("/api/v1/me"), range(100)))
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 90}
    left = sorted(int(answer.headers["RateLimit-Remaining"]) for answer in answers if answer.status_code == 200)
    assert left == list(range(10))
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "rate_limited"
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600


def test_a_body_larger_than_any_address_takes_is_not_even_received(server: str) -> None:
    place = urlsplit(server)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000000000\r\n\r\n{"
        )
        answer = b""
        while b"too_large" not in answer and (piece := connection.recv(4096)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])["status"] == 413
