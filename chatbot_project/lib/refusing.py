"""Refusals at the door, before there is a request of Django's: in the shape that is due at the address."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from django.utils.translation import gettext as _

from chatbot_project.lib.api.edge import PREFIXES
from chatbot_project.lib.api.errors import PROBLEM, count_error, problem
from chatbot_project.lib.api.openai_errors import PREFIX, openai_body
from chatbot_project.lib.errors import ApplicationError

Send = Callable[[Any], Awaitable[None]]
Refusal = Callable[[], ApplicationError]
#: A browser's page of a refusal, for an Accept-Language. It counts the error.
Page = Callable[[Refusal, str], bytes]

RETRY_SECONDS = (5, 10)  # spread, so that not all come back together


async def refuse(scope: Any, send: Send, refusal: Refusal, page: Page | None) -> None:
    """Answer with ``refusal``. What is left of the request is not received: the connection ends."""
    error = refusal()
    told = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if page is not None and "text/html" in told.get(b"accept", "") and not scope["path"].startswith(PREFIXES):
        kind = "text/html; charset=utf-8"
        body = await asyncio.to_thread(page, refusal, told.get(b"accept-language", ""))
    else:
        count_error(error)
        is_openai = scope["path"].startswith(PREFIX)
        kind = "application/json" if is_openai else PROBLEM
        body = openai_body(error) if is_openai else json.dumps(problem(error)).encode()
    headers = [(b"content-type", kind.encode()), (b"connection", b"close")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def too_many() -> ApplicationError:
    """So many requests are here that one more would wait for too long, or take what is not there."""
    retry_after = random.randint(*RETRY_SECONDS)  # noqa: S311  spreads those who come back, no secret
    detail = _("Too many ask at the same time. Try again in a few seconds.")
    return ApplicationError("overloaded", detail, status=503, retry_after=retry_after)


def too_late() -> ApplicationError:
    """The body was not all there in time."""
    return ApplicationError("request_timeout", _("The request took too long to arrive. Send it again."), status=408)
