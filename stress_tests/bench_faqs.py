"""What finding an FAQ costs: ``python -m stress_tests.bench_faqs [--quick] [--json]``.

On a PostgreSQL of its own in a temporary directory, with the embedded embedding model and made-up FAQs that resemble
each other: 10,000 phrasings of 400 FAQs, and 100,000 of 5,000. A question's time is the whole of ``find_answer``,
embedding included, in one thread. ``narrow audience`` may see one FAQ in a hundred.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres

from .bench_stack import KEPT_VARIABLES, ROOT

SIZES = ((400, 25, True), (5_000, 20, False))  # FAQs, phrasings of each, whether a matcher is trained
QUICK = ((100, 10, True),)


def measure(faqs: int, phrasings: int, with_matcher: bool) -> dict[str, Any]:
    """One size, on a fresh database. Raises subprocess.CalledProcessError."""
    # The embedded PostgreSQL lets its own user pass through the directories above its data.
    directory = Path(tempfile.mkdtemp(prefix="nono-bench-faqs-")).resolve()
    postgres = EmbeddedPostgres(VarPaths(directory), dies_with_parent=True)
    environment = {
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        "NONO_ENV": "local",
        "SECRET_KEY": secrets.token_hex(32),
        "VAR_DIR": str(directory),
        "DATABASE_URL": default_database_url(directory),
        "REDIS_URL": default_redis_url(directory),
        "LOG_LEVEL": "ERROR",
    }
    try:
        postgres.start()
        _python(environment, "manage.py", "migrate", "--verbosity", "0")
        wanted = {"faqs": faqs, "phrasings": phrasings, "with_matcher": with_matcher}
        result: dict[str, Any] = json.loads(_python(environment, "-m", "stress_tests.bench_faqs_run", given=wanted))
        return result
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _python(environment: dict[str, str], *arguments: str, given: Any = None) -> bytes:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, input=json.dumps(given).encode(),
        stdout=subprocess.PIPE, check=True,
    ).stdout  # fmt: skip


def _said(result: dict[str, Any]) -> str:
    lines = [
        f"{result['phrasings']:,} phrasings of {result['faqs']:,} FAQs",
        f"  loaded in {result['load_s']} s, embedded and indexed in {result['embed_and_index_s']} s",
        f"  recall@10 of the index {result['recall_at_10']}",
    ]
    for name in ("first_stage", "narrow_audience", "with_matcher"):
        if name in result:
            figures = result[name]
            lines.append(
                f"  {name.replace('_', ' '):16} P50 {figures['p50_ms']} ms, P95 {figures['p95_ms']} ms, "
                f"processor {figures['cpu_ms']} ms, "
                f"right first {figures['top1']:.1%}"
            )
    if "train_s" in result:
        lines.append(f"  matcher trained in {result['train_s']} s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small size only, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one object for each size, as a list")
    arguments = parser.parse_args()
    results = []
    for faqs, phrasings, with_matcher in QUICK if arguments.quick else SIZES:
        results.append(measure(faqs, phrasings, with_matcher))
        if not arguments.json:
            print(_said(results[-1]), flush=True)
    if arguments.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
