"""What tests of retention share: an admin, a policy of a month, old conversations, and a run."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from accounts.retention import policies
from accounts.tests.factories import make_admin
from conversations.models import Conversation

from .factories import make_conversation


@pytest.fixture
def admin() -> User:
    return make_admin()


@pytest.fixture
def a_month(admin: User) -> None:
    """Conversations are kept for 30 days."""
    policies.set_policy(actor=admin, data_class="content", days=30, reason="as agreed")


def aged(user: User, days: float, **fields: Any) -> Conversation:
    conversation = make_conversation(user, turns=2)
    then = timezone.now() - timedelta(days=days)
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=then, created_at=then, **fields)
    return conversation


def run(**options: Any) -> str:
    out = StringIO()
    call_command("apply_retention", stdout=out, **options)
    return out.getvalue()


def left() -> set[Any]:
    return set(Conversation.objects.values_list("pk", flat=True))
