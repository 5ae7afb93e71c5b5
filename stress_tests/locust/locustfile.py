"""People over HTTP and WebSocket, for locust: readers of pages and of the API, programs that ask, tabs that chat.

``python -m stress_tests.locust`` starts a stack and runs this on it without locust's page. By hand, on a server of this
machine that is running: ``NONO_STRESS_PEOPLE=people.json python -m locust -f stress_tests/locust/locustfile.py --host
http://127.0.0.1:8000``. Any other host is refused.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import websocket
from locust import HttpUser, User, between, events, task
from locust.exception import StopUser
from locust.stats import CSV_STATS_INTERVAL_SEC

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from stress_tests.locust.people import PATIENCE_SECONDS, Person, Turn, question, read_people, refusal_of
from stress_tests.loopback import loopback_url

people: Iterator[Person] | None = None
numbers = itertools.count(1)


@events.init_command_line_parser.add_listener
def _own_page(parser: Any, **_: Any) -> None:
    parser.set_defaults(web_host="127.0.0.1")


@events.init.add_listener
def _bounded(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    refusal = refusal_of(options) or (_why_not(options.host) if options.host else "")
    if refusal:
        raise SystemExit(f"Refused: {refusal}.")


@events.quitting.add_listener
def _tell_all(**_: Any) -> None:
    """Failures and errors in tasks are written once so often: those of the last moment, too, before the files close."""
    gevent.sleep(2 * CSV_STATS_INTERVAL_SEC)


def _why_not(host: str | None) -> str:
    try:
        loopback_url(host or "")
    except argparse.ArgumentTypeError as error:
        return str(error)
    return ""


def _somebody(user: User) -> Person:
    """The next of the people, for a user whose host is this machine: locust's page may have named another."""
    global people
    if refusal := _why_not(user.host):
        user.environment.runner.quit()
        raise StopUser(f"Refused: {refusal}.")
    if people is None:
        people = read_people()
    return next(people)


class Reader(HttpUser):
    """Somebody who looks around: pages by their session, the API by their token."""

    weight = 3
    wait_time = between(1, 3)

    def on_start(self) -> None:
        person = _somebody(self)
        self.client.cookies.set("sessionid", person.cookie)
        self.token = {"Authorization": f"Bearer {person.token}"}

    @task(3)
    def home(self) -> None:
        self.client.get("/", name="page: home", timeout=PATIENCE_SECONDS)

    @task
    def help_pages(self) -> None:
        self.client.get("/help/", name="page: help", timeout=PATIENCE_SECONDS)

    @task(3)
    def conversations(self) -> None:
        name = "API: conversations"
        self.client.get("/api/v1/conversations", headers=self.token, name=name, timeout=PATIENCE_SECONDS)

    @task
    def personas(self) -> None:
        name = "API: personas"
        self.client.get("/api/v1/personas", headers=self.token, name=name, timeout=PATIENCE_SECONDS)


class Program(HttpUser):
    """A program that asks over HTTP and reads what it was told again."""

    weight = 1
    wait_time = between(2, 6)

    def on_start(self) -> None:
        self.person = _somebody(self)
        self.token = {"Authorization": f"Bearer {self.person.token}"}
        self.conversation: str | None = None

    @task
    def ask(self) -> None:
        body = {"text": question(next(numbers)), "persona": self.person.persona}
        if self.conversation is not None:
            body = {"text": body["text"], "conversation": self.conversation}
        with self.client.post(
            "/api/v1/chat/send", json=body, headers=self.token, name="API: ask", catch_response=True,
            timeout=PATIENCE_SECONDS,
        ) as answer:  # fmt: skip
            if answer.status_code != 200:
                if answer.status_code:  # without one locust tells what went wrong
                    answer.failure(f"status {answer.status_code}")
                return
            said = answer.json()
            if said["reply"]["status"] != "completed":
                answer.failure(f"reply {said['reply']['status']}")
            self.conversation = said["conversation"]["id"]
        path = f"/api/v1/conversations/{self.conversation}/messages"
        self.client.get(path, headers=self.token, name="API: messages", timeout=PATIENCE_SECONDS)


class Tab(User):
    """A tab of the chat: one socket, one conversation."""

    weight = 4
    wait_time = between(2, 6)

    def on_start(self) -> None:
        self.person = _somebody(self)
        self.conversation: str | None = None
        began = time.perf_counter()
        address = self.host.replace("http://", "ws://", 1) + "/ws/chat/"
        try:
            self.socket = websocket.create_connection(
                address, cookie=f"sessionid={self.person.cookie}", origin=self.host, timeout=PATIENCE_SECONDS
            )
            first = json.loads(self.socket.recv())
            fault = "" if first["type"] == "ready" else f"first event {first['type']}"
        except (OSError, websocket.WebSocketException, ValueError) as error:
            fault = f"{type(error).__name__}: {error}"
        self._fire("open", 1000 * (time.perf_counter() - began), fault)

    def on_stop(self) -> None:
        self.socket.close()

    @task
    def chat(self) -> None:
        number = next(numbers)
        turn, deadline = Turn(f"locust-{number}", time.perf_counter), time.perf_counter() + PATIENCE_SECONDS
        command: dict[str, Any] = {
            "type": "message.send", "client_id": turn.client_id, "text": question(number),
            "conversation": self.conversation,
        }  # fmt: skip
        if self.conversation is None:
            command["persona"] = self.person.persona
        try:
            self.socket.send(json.dumps(command))
            while not turn.is_over:
                turn.take(self._next_event(deadline))
        except (OSError, websocket.WebSocketException, ValueError) as error:
            turn.end(f"{type(error).__name__}: {error}")
        self.conversation = turn.conversation or self.conversation
        for what, milliseconds in turn.times.items():
            self._fire(what, milliseconds, turn.fault if what == "ended" else "")

    def _next_event(self, deadline: float) -> Any:
        """Raises OSError, WebSocketException or ValueError where none comes by then."""
        left = deadline - time.perf_counter()
        if left <= 0:
            raise TimeoutError(f"no ending within {PATIENCE_SECONDS} s")
        self.socket.settimeout(left)
        return json.loads(self.socket.recv())

    def _fire(self, what: str, milliseconds: float, fault: str) -> None:
        self.environment.events.request.fire(
            request_type="WS", name=f"chat: {what}", response_time=milliseconds, response_length=0,
            exception=RuntimeError(fault) if fault else None, context={},
        )  # fmt: skip
