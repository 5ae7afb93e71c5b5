"""Translations of one FAQ: a group, with each language once."""

from functools import partial

import pytest

from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs import services
from faqs.models import FAQ
from faqs.tests.factories import make_faq
from faqs.tests.test_services import at_once
from faqs.translations import link_translation, translations_of, unlink_translation

pytestmark = pytest.mark.django_db


def make(*languages: str) -> list[FAQ]:
    """FAQs that are translations of one another."""
    made = [make_faq(language=language) for language in languages]
    for other in made[1:]:
        link_translation(faq=made[0], other=other, actor=None)
    for faq in made:
        faq.refresh_from_db()
    return made


def test_groups_grow_together_and_let_go() -> None:
    english, german = make("en", "de")
    french, dutch = make("fr", "nl")
    linked = link_translation(faq=german, other=dutch, actor=None)
    assert list(translations_of(linked)) == [english, french, dutch]
    free = unlink_translation(faq=german, actor=None)
    assert list(translations_of(free)) == []
    english.refresh_from_db()
    assert list(translations_of(english)) == [french, dutch]


def test_archived_translations_are_not_counted() -> None:
    english, german = make("en", "de")
    services.archive_faqs(faqs=[german], actor=None)
    assert list(translations_of(english)) == []
    link_translation(faq=english, other=make_faq(language="de"), actor=None)


def test_each_language_stands_once_in_a_group() -> None:
    english, german = make("en", "de")
    _french, other = make("fr", "de")
    for pair in [(english, other), (german, other)]:
        with pytest.raises(ApplicationError) as refusal:
            link_translation(faq=pair[0], other=pair[1], actor=None)
        assert (refusal.value.code, refusal.value.status) == ("translation_exists", 409)
    with pytest.raises(ApplicationError):
        services.edit_faq(faq=english, actor=None, language="de")
    english.refresh_from_db()
    assert english.language == "en"


def test_what_is_gone_is_not_linked() -> None:
    gone = make_faq(language="de")
    services.delete_faq(faq=FAQ.objects.get(pk=gone.pk), actor=None)
    with pytest.raises(NotFound):
        link_translation(faq=make_faq(), other=gone, actor=None)


@pytest.mark.django_db(transaction=True)
def test_two_links_at_once_keep_one_of_each_language() -> None:
    for _ in range(8):
        english, one, two = make_faq(), make_faq(language="de"), make_faq(language="de")

        def link(faq: FAQ, other: FAQ) -> FAQ:
            return link_translation(faq=faq, other=other, actor=None)

        results = at_once(partial(link, english, one), partial(link, two, english))
        (refused,) = [each for each in results if isinstance(each, ApplicationError)]
        assert refused.code == "translation_exists"
        english.refresh_from_db()
        assert translations_of(english).count() == 1
