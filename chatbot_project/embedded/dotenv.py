"""Reads .env: NAME=value lines, comments, and quotes. No expansion, no commands: what is written is what is set."""

import re
from collections.abc import MutableMapping
from pathlib import Path

from chatbot_project.embedded.processes import EmbeddedError

LINE = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>[^'"\s#][^#]*?)? )
    \s*(?:\#.*)?""",
    re.VERBOSE,
)


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables in `text`. Raises ValueError naming the first line, counted from 1, that is none."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = LINE.fullmatch(stripped)
        if match is None:
            raise ValueError(f"line {number} is not NAME=value")
        values[match["name"]] = next((found for found in match.group("single", "double", "bare") if found), "")
    return values


def load_dotenv(path: Path, environment: MutableMapping[str, str]) -> None:
    """Set what `path` says and `environment` does not; nothing if there is no such file.

    Raises EmbeddedError on a line that cannot be read, without quoting it: it may hold a key.
    """
    try:
        values = parse_dotenv(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (ValueError, OSError) as error:
        raise EmbeddedError(f"{path} cannot be used: {error}.") from error
    for name, value in values.items():
        environment.setdefault(name, value)
