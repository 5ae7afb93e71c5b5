"""Ids that are bound stand in lines, go along into threads and tasks, and do not mix."""

import asyncio
from typing import Any

import pytest
from celery import Task
from structlog.contextvars import get_contextvars

from chatbot_project import task_ids
from chatbot_project.lib.correlation import Correlated, bound, bound_ids, handed_over, is_acceptable, new_id
from chatbot_project.lib.db import run_db


async def test_a_database_thread_has_the_ids_of_its_caller_and_keeps_none() -> None:
    async def of(reply: str) -> dict[str, str]:
        with bound(reply=reply):
            return await run_db(bound_ids)

    assert await asyncio.gather(*(of(f"reply-{n}") for n in range(20))) == [{"reply": f"reply-{n}"} for n in range(20)]
    assert await run_db(bound_ids) == {}


@pytest.mark.parametrize("said", [None, 7, "", "short", "x" * 65, "with space", "line\nend-of-it", "bob@example.org",
                                  "4111-1111-1111-1111", "nono_sk_" + "x" * 43, "übergröße"])  # fmt: skip
def test_what_is_no_id_is_not_taken_for_one(said: object) -> None:
    assert not is_acceptable(said)
    assert handed_over({"request_id": said, "reply": new_id(), "else": "something"}).keys() == {"reply"}
    assert handed_over(said) == {}


def test_ids_of_ours_and_of_proxies_are_acceptable() -> None:
    for said in (
        new_id(),
        "7f3b6c2e9a1d4f58b0c3d2e1f4a5b6c7",
        "proxy-7f3b.42x",
        "upstream_req.abc-def",
    ):
        assert is_acceptable(said), said


async def sent_by(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """The ids that an application sees and that its answer tells."""
    seen: list[str] = []
    told: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(bound_ids()["request_id"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        told.append(message)

    await Correlated(application)({"type": "http", "headers": headers}, None, send)  # type: ignore[arg-type]
    ((name, value),) = told[0]["headers"]
    assert name == b"x-request-id"
    return seen[0], value.decode()


async def test_two_ids_in_a_request_are_none() -> None:
    seen, told = await sent_by([(b"x-request-id", b"proxy-7f3b.42x"), (b"x-request-id", b"proxy-7f3b.43x")])
    assert seen == told
    assert not told.startswith("proxy")
    assert bound_ids() == {}


def test_a_task_that_runs_within_another_gives_its_ids_back() -> None:
    class Sender:
        name = "outer"
        request = type("Request", (), {task_ids.HEADER: {"reply": "reply-of-the-task"}})()

    sender: Task = Sender()
    with bound(request_id="request-of-the-caller"):
        task_ids.bind(sender, "run-1")
        assert get_contextvars() == {
            "request_id": "request-of-the-caller", "reply": "reply-of-the-task", "task": "outer", "task_id": "run-1",
        }  # fmt: skip
        headers: dict[str, Any] = {}
        task_ids.take_along(headers)
        assert headers == {task_ids.HEADER: {"request_id": "request-of-the-caller", "reply": "reply-of-the-task"}}
        task_ids.let_go("run-1")
        assert get_contextvars() == {"request_id": "request-of-the-caller"}
