"""Answers that take long: awaited in the event loop, after the view and the middlewares are done with the request.

A view runs in a thread and may hold a connection of the database's pool. One that has to wait for something (a reply
that a worker is writing) returns a ``LateResponse`` instead: the handler (lib/handler.py) gives both back and awaits
the answer, so that waiting costs neither.
"""

from collections.abc import Awaitable, Callable

import structlog
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from chatbot_project.lib.api.errors import as_application_error, problem_response
from chatbot_project.lib.errors import ApplicationError

log = structlog.get_logger(__name__)

#: Seconds. What proxies let be silent are ten minutes (deploy/, docs/deploy-cloud.md): an answer comes before that.
LONGEST_WAIT = 570


class LateResponse(HttpResponse):
    """Stands for the answer that ``make()`` gives. Headers and cookies that are set on it meanwhile go out with that
    answer, whose own headers have the last word. ``tell`` makes an answer of an error."""

    def __init__(
        self,
        make: Callable[[], Awaitable[HttpResponseBase]],
        tell: Callable[[ApplicationError], HttpResponseBase] = problem_response,
    ) -> None:
        super().__init__()
        del self.headers["Content-Type"]
        self._make, self._tell = make, tell

    async def answer(self) -> HttpResponseBase:
        """The answer itself. What ``make`` raises is told as an error; a fault of ours is logged."""
        try:
            response = await self._make()
        except Exception as error:
            response = self._tell(told_error(error))
        self.headers.pop("Content-Length", None)  # of nothing: a middleware has counted what stands for the answer
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        response.cookies.update(self.cookies)
        if isinstance(response, HttpResponse):
            response.headers["Content-Length"] = str(len(response.content))
        return response


def told_error(error: Exception) -> ApplicationError:
    """What a client is told of ``error``, which came up outside of any view. A fault of ours is logged."""
    known = as_application_error(error)
    if known is None:
        log.error("late_answer.broke", exc_info=error)
        detail = _("Something went wrong on our side. It has been noted.")
        known = ApplicationError("internal_error", detail, status=500)
    return known
