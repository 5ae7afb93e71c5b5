"""Whether an FAQ helped: one word each, and the last one counts."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from accounts.tests.factories import make_guest, make_moderator, make_user
from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs import services
from faqs.models import FAQFeedback
from faqs.signals import faq_did_not_help
from faqs.tests.factories import make_faq
from faqs.tests.test_services import at_once

pytestmark = pytest.mark.django_db


def test_the_last_word_of_a_person_or_visitor_counts() -> None:
    faq, user = make_faq(), make_user()
    for helpful in (True, False):
        services.give_faq_feedback(faq=faq, user=user, visitor="ignored", helpful=helpful, comment=" Hm\r\n\x00 ")
        services.give_faq_feedback(faq=faq, user=None, visitor="a", helpful=helpful)
    services.give_faq_feedback(faq=faq, user=None, visitor="b", helpful=True)
    found = FAQFeedback.objects.values_list("user", "visitor", "helpful", "comment", "version")
    assert set(found) == {(user.pk, "", False, "Hm", 1), (None, "a", False, "", 1), (None, "b", True, "", 1)}


def test_feedback_is_about_the_version_that_was_shown() -> None:
    faq = make_faq()
    services.edit_faq(faq=faq, actor=None, answer="New.")
    assert services.give_faq_feedback(faq=faq, user=None, visitor="a", helpful=True).version == 2


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({"published": False}, make_moderator),
        ({"visibility": "users"}, make_guest),
        ({"visibility": "staff"}, make_user),
        ({"visibility": "users"}, lambda: None),
    ],
)
def test_what_somebody_cannot_see_they_cannot_judge(fields: dict[str, Any], who: Any) -> None:
    with pytest.raises(NotFound):
        services.give_faq_feedback(faq=make_faq(**fields), user=who(), visitor="a", helpful=True)
    assert not FAQFeedback.objects.exists()


def test_nobody_and_endless_comments_are_refused() -> None:
    faq = make_faq()
    with pytest.raises(ApplicationError) as refusal:
        services.give_faq_feedback(faq=faq, user=None, visitor="", helpful=True)
    assert refusal.value.code == "nobody"
    with pytest.raises(ValidationError) as invalid:
        services.give_faq_feedback(faq=faq, user=None, visitor="a", helpful=True, comment="x" * 1001)
    assert set(invalid.value.message_dict) == {"comment"}


def test_only_what_did_not_help_is_told(django_capture_on_commit_callbacks: Any) -> None:
    told: list[FAQFeedback] = []

    def listen(*, feedback: FAQFeedback, **kwargs: Any) -> None:
        told.append(feedback)

    faq_did_not_help.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            services.give_faq_feedback(faq=make_faq(), user=None, visitor="a", helpful=True)
            bad = services.give_faq_feedback(faq=make_faq(), user=None, visitor="a", helpful=False)
    finally:
        faq_did_not_help.disconnect(listen)
    assert told == [bad]


@pytest.mark.django_db(transaction=True)
def test_many_words_of_one_visitor_at_once_are_one() -> None:
    faq = make_faq()

    def give() -> FAQFeedback:
        return services.give_faq_feedback(faq=faq, user=None, visitor="a", helpful=True)

    results = at_once(*[give] * 8)
    assert [each for each in results if not isinstance(each, FAQFeedback)] == []
    assert FAQFeedback.objects.count() == 1
    connection.close()
