"""``release_notes.py v1.2.3``: what CHANGELOG.md says of that version. Fails where it may not be released.

Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class NotReleasable(Exception):
    """Why the version cannot be released."""


def notes(tag: str, changelog: str, pyproject: str) -> str:
    """The section of the version, without its heading. Raises NotReleasable."""
    version = tag.removeprefix("v")
    if (written := tomllib.loads(pyproject)["project"]["version"]) != version:
        raise NotReleasable(f"The tag is {tag}, and pyproject.toml says {written}.")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if heading.split()[0] != version:
            continue
        if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d{{2}}-\d{{2}}\)", heading):
            raise NotReleasable(f"CHANGELOG.md has no day for {version}: {heading!r}.")
        if not text.strip():
            raise NotReleasable(f"CHANGELOG.md says nothing of {version}.")
        return text.strip() + "\n"
    raise NotReleasable(f"CHANGELOG.md does not know {version}.")


def main(tag: str) -> int:
    """The exit code."""
    try:
        found = notes(tag, (ROOT / "CHANGELOG.md").read_text(), (ROOT / "pyproject.toml").read_text())
    except NotReleasable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
