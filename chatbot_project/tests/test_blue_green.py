"""Blue-green (docs/upgrading.md): green has blue's settings, behind a proxy that ends TLS, and is looked at by its own
address under the name that people open."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from chatbot_project.tests.documents import running
from conversations.admission import is_admissible

NAME, GREEN = "chat.example.org", "green.example.org"


@pytest.fixture
def as_blue(settings: Any) -> Any:
    """Production's settings for ``NAME``."""
    settings.BASE_URL = f"https://{NAME}"
    settings.IS_HTTPS = True
    settings.CSRF_TRUSTED_ORIGINS = [settings.BASE_URL]
    settings.ALLOWED_HOSTS = [NAME]
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return settings


def handshake(name: str) -> dict[str, Any]:
    """Of a page of that name, as the proxy passes it on."""
    headers = [(b"host", name.encode()), (b"origin", f"https://{name}".encode())]
    return {"headers": headers, "query_string": b"", "scheme": "ws"}


def test_a_page_that_came_without_tls_opens_no_socket_where_tls_ends_at_a_proxy(as_blue: Any) -> None:
    headers = [(b"host", NAME.encode()), (b"origin", f"http://{NAME}".encode())]
    assert not is_admissible(handshake(NAME) | {"headers": headers})


def test_a_socket_opens_to_a_page_of_the_name_that_people_open_and_to_no_other(as_blue: Any) -> None:
    assert is_admissible(handshake(NAME))
    as_blue.ALLOWED_HOSTS = [NAME, GREEN]
    assert is_admissible(handshake(NAME))
    assert not is_admissible(handshake(GREEN))


def test_with_its_own_name_as_base_url_green_would_refuse_everybody(as_blue: Any) -> None:
    as_blue.BASE_URL = f"https://{GREEN}"
    as_blue.CSRF_TRUSTED_ORIGINS = [as_blue.BASE_URL]
    as_blue.ALLOWED_HOSTS = [NAME, GREEN]
    assert is_admissible(handshake(GREEN))
    assert not is_admissible(handshake(NAME))


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "status"), [(NAME, 200), (GREEN, 400)])
def test_a_page_answers_to_the_name_that_people_open_and_to_no_other(as_blue: Any, name: str, status: int) -> None:
    assert Client().get(reverse("accounts:sign_in"), headers=proxied(name)).status_code == status


@pytest.mark.django_db
def test_a_form_is_taken_from_a_page_of_that_name(as_blue: Any) -> None:
    browser, page = Client(enforce_csrf_checks=True), reverse("accounts:sign_in")
    browser.get(page, headers=proxied(NAME))
    form = {"email": "ada@example.org", "password": "wrong", "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    for origin, status in {f"https://{NAME}": 200, f"https://{GREEN}": 403}.items():
        assert browser.post(page, form, headers={**proxied(NAME), "Origin": origin}).status_code == status


def proxied(name: str) -> dict[str, str]:
    return {"Host": name, "X-Forwarded-Proto": "https"}


class Listening(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"], self.path))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def green() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Listening) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_guides_command_asks_greens_address_for_the_name_that_people_open(green: HTTPServer) -> None:
    with running("green") as left:
        words = left.take("docs/upgrading.md").words
    # Without TLS, and green's address is here.
    here = {
        f"{NAME}:443:{GREEN}:443": f"{NAME}:80:127.0.0.1:{green.server_port}",
        f"https://{NAME}/readyz": f"http://{NAME}/readyz",
    }
    assert set(here) <= set(words)
    command = [here.get(word, word) for word in words]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert (done.returncode, green.asked) == (0, [(NAME, "/readyz")]), done.stderr
