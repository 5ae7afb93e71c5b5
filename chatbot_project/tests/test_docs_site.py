"""The documents read as one: every page stands once among the contents that ``make docs`` shows."""

import re
from collections import Counter
from pathlib import Path

from django.conf import settings

DOCS = Path(settings.BASE_DIR) / "docs"
TREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


def contents(page: Path) -> list[Path]:
    """The pages that the contents of ``page`` name, in order."""
    lines = [line for tree in TREE.findall(page.read_text()) for line in tree.splitlines()]
    names = [line for line in lines if line and not line.startswith(":")]
    return [found for name in names for found in sorted(page.parent.glob(f"{name}.md"))]


def test_every_page_stands_once_among_the_contents() -> None:
    listed = Counter(contents(DOCS / "index.md") + contents(DOCS / "adr" / "index.md"))
    assert listed == Counter(set(DOCS.rglob("*.md")) - {DOCS / "index.md"})


def test_contents_begin_with_installing_and_end_with_extending() -> None:
    captions = re.findall(r":caption: (\w+)", (DOCS / "index.md").read_text())
    assert captions == ["Install", "Use", "Administer", "Integrate", "Operate", "Extend"]
