"""Who may do what with the knowledge."""

import pytest

from accounts.models import User
from accounts.roles import Role


@pytest.mark.parametrize("model", ["faq", "category", "gap"])
@pytest.mark.parametrize("action", ["view", "change"])
def test_moderators_keep_the_knowledge_and_others_do_not(action: str, model: str) -> None:
    permission = f"faqs.{action}_{model}"
    assert [role for role in Role if User(role=role).has_perm(permission)] == [Role.MODERATOR, Role.ADMIN]


@pytest.mark.parametrize(
    ("permission", "moderator"),
    [
        ("faqs.add_faq", True),
        ("faqs.publish_faq", True),
        ("faqs.delete_faq", False),
        ("faqs.add_category", True),
        ("faqs.delete_category", True),
        ("faqs.view_faqversion", True),
        ("faqs.change_faqversion", False),
        ("faqs.view_faqfeedback", True),
        ("faqs.delete_faqfeedback", False),
        ("faqs.delete_gap", False),
        ("faqs.change_embeddingmodel", False),
        ("faqs.change_knowledgestate", False),
    ],
)
def test_only_admins_remove_for_good(permission: str, moderator: bool) -> None:
    assert User(role=Role.MODERATOR).has_perm(permission) is moderator
    assert User(role=Role.ADMIN).has_perm(permission)
    assert not User(role=Role.USER).has_perm(permission)
