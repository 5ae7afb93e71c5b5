"""Typed readers of environment variables. A value that does not parse stops the start with the variable's name."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class BadSetting(Exception):
    """An environment variable holds something that cannot be used. The text names the variable, never its value."""


def text(name: str, default: str = "") -> str:
    """The variable, stripped; ``default`` where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool) -> bool:
    """A switch: 1/true/yes/on or 0/false/no/off in any case."""
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise BadSetting(f"{name} must be one of 1, true, yes, on, 0, false, no, off.")


def whole(name: str, default: int, *, minimum: int = 0, maximum: int = 2**31) -> int:
    """A whole number within ``minimum`` and ``maximum``, both included."""
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise BadSetting(f"{name} must be a whole number.") from None
    if not minimum <= value <= maximum:
        raise BadSetting(f"{name} must lie between {minimum} and {maximum}.")
    return value


def fraction(name: str, default: float) -> float:
    """A number from 0 to 1, both included."""
    raw = text(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise BadSetting(f"{name} must be a number.") from None
    if not 0 <= value <= 1:
        raise BadSetting(f"{name} must lie between 0 and 1.")
    return value


def words(name: str, default: list[str] | None = None) -> list[str]:
    """A list written with commas; blanks are dropped."""
    raw = text(name)
    if not raw:
        return list(default or [])
    return [word.strip() for word in raw.split(",") if word.strip()]


_PER = {"s": 1, "min": 60, "h": 3600, "day": 86400}


def rates(name: str, default: str) -> tuple[tuple[int, int], ...]:
    """How often within how long, as ``60/min, 1000/h`` (s, min, h or day): pairs of a count and seconds, none for
    ``off``."""
    raw = text(name, default)
    if raw.lower() == "off":
        return ()
    found: list[tuple[int, int]] = []
    for part in raw.split(","):
        match = re.fullmatch(r"\s*([1-9][0-9]{0,5})\s*/\s*(s|min|h|day)\s*", part, re.ASCII)
        if match is None:
            raise BadSetting(f"{name} must be rates such as 60/min, 1000/h (s, min, h or day), or off.")
        found.append((int(match[1]), _PER[match[2]]))
    return tuple(found)


def choice(name: str, default: str, allowed: set[str]) -> str:
    """One of ``allowed``."""
    value = text(name, default)
    if value not in allowed:
        raise BadSetting(f"{name} must be one of {', '.join(sorted(allowed))}.")
    return value


def time_zone(name: str, default: str) -> str:
    """The name of a time zone: "Europe/Berlin"."""
    raw = text(name, default)
    try:
        return ZoneInfo(raw).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSetting(f"{name} must be a time zone such as Europe/Berlin.") from error


def json_object(name: str) -> Mapping[str, Any]:
    """A JSON object; empty where the variable is unset."""
    raw = text(name)
    if not raw:
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        raise BadSetting(f"{name} must be a JSON object.") from None
    if not isinstance(value, dict):
        raise BadSetting(f"{name} must be a JSON object.")
    return value


def url(name: str, default: str, schemes: set[str]) -> str:
    """A URL with one of ``schemes``."""
    value = text(name, default)
    if value and urlsplit(value).scheme not in schemes:
        raise BadSetting(
            f"{name} must be a URL that starts with one of {', '.join(sorted(s + '://' for s in schemes))}."
        )
    return value
