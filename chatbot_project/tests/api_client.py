"""How the tests of the API's shared parts ask, and what each error must look like."""

import json
from typing import Any

from django.test import Client

from chatbot_project.lib.api.errors import PROBLEM

URL = "/api/test"


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"{URL}/{path}", raw, content_type="application/json", headers=headers)


def is_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer["Content-Type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["detail"]
    assert body["title"]
    return body
