"""What the database holds in the end, and people to begin with. Run in the product's environment; talks JSON.

``python -m stress_tests.chaos.rows`` prints ``{"rows": […], "rest": …}``: every message, and what the model says when
it is told to go on with a reply that broke off. ``… sessions`` prints ``{session key: person}``.
"""

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django.setup()

from accounts.models import BrowserSession  # noqa: E402
from conversations.models import Message  # noqa: E402
from conversations.replies.prompt import CONTINUE  # noqa: E402

REST = f"echo: {CONTINUE}"
_FIELDS = (
    "id", "conversation_id", "owner_id", "parent_id", "role", "status", "text", "client_id", "epoch", "finish_reason",
    "error_code", "finished_at",
)  # fmt: skip


def message_rows() -> list[dict[str, Any]]:
    """All messages as the checker takes them, in order of their making."""
    rows = []
    for values in Message.objects.order_by("id").values(*_FIELDS).iterator():
        row = {name.removesuffix("_id") if name != "client_id" else name: value for name, value in values.items()}
        row["finished"] = row.pop("finished_at") is not None
        for name in ("id", "conversation", "owner", "parent"):
            row[name] = str(row[name]) if row[name] else None
        rows.append(row)
    return rows


def sessions() -> dict[str, str]:
    """Whose session each is."""
    return {session.session_key: str(session.user_id) for session in BrowserSession.objects.all()}


if __name__ == "__main__":
    answer = sessions() if sys.argv[1:] == ["sessions"] else {"rows": message_rows(), "rest": REST}
    json.dump(answer, sys.stdout)
