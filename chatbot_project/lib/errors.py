"""The one error that crosses layers, and the one shape in which a client sees it."""

from typing import Any


class ApplicationError(Exception):
    """A refusal or failure that a client may be told about.

    ``code`` is stable and for programs, ``detail`` is one sentence for people, ``status`` is the HTTP status.
    HTTP answers and WebSocket ``error`` events carry the same ``{"code", "detail"}``. ``retry_after`` are the seconds
    to wait where waiting helps.
    """

    def __init__(self, code: str, detail: str, status: int = 400, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """The shape shared by HTTP bodies and WebSocket events."""
        return {"code": self.code, "detail": self.detail}


class NotFound(ApplicationError):
    """The object does not exist, or is another person's: the two answers are equal on purpose."""

    def __init__(self, detail: str = "There is no such thing here.") -> None:
        super().__init__("not_found", detail, status=404)
