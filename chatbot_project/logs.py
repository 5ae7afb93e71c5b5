"""Logs of every process: one event name and its fields per line; readable in a terminal, JSON elsewhere. The ids that
are bound (lib/correlation.py) stand in each.

What people and models write, addresses, tokens and keys never go into a log.
"""

import logging.config
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from django.conf import settings

from chatbot_project.lib.pii import redact
from chatbot_project.lib.redaction import without_tokens

_MAILED_LINK = re.compile(r"(/accounts/link/[\w-]+/)[^/\s'\"]+")
# A secret by its name, as dictionaries, task arguments among them, are written: 'password': '…'.
_NAMED_SECRET = re.compile(
    r"""(?i)(["'])((?:\w*[_-])?(?:password|secret|token|api_?key|authorization|cookie)s?)\1: ?(["'])(?:(?!\3).)*"""
)
# What PostgreSQL says of a row that it refused holds the row.
_DETAIL = re.compile(r"(DETAIL: +)(?s:.*?)(?=\n\n(?:The above|During handling)|\nCONTEXT: |\Z)")
_QUERY = re.compile(r"(\b[A-Z]+ '?/[^\s?'\"]*\?)[^\s'\"]+")  # of "GET /help/?q=…" and of a request's repr


def hide_queries(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave out what was asked for in a request's address: people search for what concerns them."""
    if "request" in event:
        event["request"] = _QUERY.sub(r"\1…", str(event["request"]))
    return event


# What a terminal or a log reader would act on: line ends forge entries, escapes move the cursor, bidi controls reorder.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LINES = re.compile(r"[\n\t]")
_OUR_ID = re.compile(r"[0-9a-f]{12}[47][0-9a-f]{19}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Names of events, of our modules and of what they say: nothing in them can be personal or secret, and they are most.
_NAME = re.compile(r"[a-z_]{0,24}(?:[.:][a-z_]{1,24}){0,4}")
_OURS = frozenset({"timestamp", "level", "logger", "request_id"})  # the last is judged where it comes in
_OF_SEVERAL_LINES = frozenset({"exception", "stack"})


def hide_personal_data(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave personal data and secrets out of everything that an entry says, traceback and task arguments included, and
    put what would end a line or command a terminal in writing. Ids of ours stay: they are what entries are found by.

    Secrets are tokens, API keys, tickets, the tokens of mailed links, and what is called a password or the like."""
    for name, value in event.items():
        if name not in _OURS:
            event[name] = _scrubbed(value, lines=name in _OF_SEVERAL_LINES)
    return event


def _scrubbed(value: Any, *, lines: bool) -> Any:
    if isinstance(value, str):
        if _OUR_ID.fullmatch(value) or _NAME.fullmatch(value):
            return value
        kept = _CONTROLS.sub(_spelt, redact(_without_secrets(value)))
        return kept if lines else _LINES.sub(_spelt, kept)
    if isinstance(value, dict):
        return {_scrubbed(key, lines=False): _scrubbed(entry, lines=lines) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_scrubbed(entry, lines=lines) for entry in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _scrubbed(str(value), lines=lines)


def _without_secrets(text: str) -> str:
    kept = without_tokens(_DETAIL.sub(r"\1…", text))
    if "/accounts/link/" in kept:
        kept = _MAILED_LINK.sub(r"\1…", kept)
    return _NAMED_SECRET.sub(r"\1\2\1: \3…", kept)


def _spelt(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def configure() -> None:
    """Set structlog and the standard library up alike. Called once, when Django is ready."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    hiding = [hide_queries, hide_personal_data]
    if sys.stderr.isatty():
        rendering: list[Any] = [structlog.processors.format_exc_info, *hiding, structlog.dev.ConsoleRenderer()]
    else:
        rendering = [
            structlog.processors.format_exc_info,
            *hiding,
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "lines": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [*shared, structlog.stdlib.ExtraAdder()],
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
            "loggers": {
                "django": {"level": settings.LOG_LEVEL},
                "django.request": {"level": "ERROR"},  # a refused request is an answer, and lib/handler.py notes it
                "uvicorn.access": {"level": "WARNING"},
                "uvicorn.error": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                "httpx2": {"level": "WARNING"},
                "fontTools": {"level": "WARNING"},  # tells of each table of a font
                "fpdf": {"level": "WARNING"},
            },
        }
    )
