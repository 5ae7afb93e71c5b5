"""How fast conversations that are over are removed: ``python -m stress_tests.bench_retention [--messages N]``.

On a PostgreSQL of its own in a temporary directory: N messages (1,000,000) of 300 characters in conversations of 20, as
many again that are kept, and ``manage.py apply_retention`` as it is. Prints how long it took, from outside.
"""

import argparse
from time import monotonic

from .bench_database import own_database

TURNS = 10  # a question and a reply each

SEED = """
import sys
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from accounts.models import User
from conversations.tests.factories import make_persona
from stress_tests.retention_seed import fill
conversations, turns = int(sys.argv[1]), int(sys.argv[2])
owner = User.objects.create_user("bench@example.org")
version = make_persona().published_id
for days in (400, 10):
    with transaction.atomic():
        fill(owner=owner.pk, version=version, conversations=conversations, turns=turns,
             at=timezone.now() - timedelta(days=days), text="x" * 300)
"""


def measure(messages: int) -> float:
    """Seconds that removing so many messages took. Raises subprocess.CalledProcessError."""
    conversations = messages // (2 * TURNS)
    with own_database("retention", RETENTION_CONTENT_DAYS="365") as python:
        python(str(conversations), str(TURNS), given=SEED)
        before = monotonic()
        said = python("manage.py", "apply_retention")
        took = monotonic() - before
        print(said, end="")
        assert f"{conversations}  removed" in said
        assert f"{0:9}" in python("manage.py", "apply_retention", "--dry-run")
        return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    messages = parser.parse_args().messages
    took = measure(messages)
    print(f"{messages:,} messages removed in {took:.1f} s: {messages / took:,.0f} a second")


if __name__ == "__main__":
    main()
