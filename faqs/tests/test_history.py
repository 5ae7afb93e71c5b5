"""Earlier versions: compared, and brought back."""

from datetime import UTC, datetime

import pytest

from accounts.models import AuditEvent
from accounts.tests.factories import make_moderator
from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs import services
from faqs.history import FieldDiff, Line, diff_versions, restore_version
from faqs.models import FAQ, FAQVersion
from faqs.phrasings import phrasings_of
from faqs.state import knowledge_state
from faqs.tests.factories import make_category, make_faq
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db


def version(faq: FAQ, number: int) -> FAQVersion:
    return faq.versions.get(number=number)


def test_versions_are_compared_line_by_line_and_entry_by_entry() -> None:
    one, two = make_category("one", name="One"), make_category("two", name="Two")
    faq = make_faq("Why?", "a\nb\nc", phrasings=["x", "y"], category=one, tags=["t"])
    services.edit_faq(
        faq=faq, actor=None, answer="a\nB\nc", phrasings=["y", "z"], category=two,
        valid_from=datetime(2027, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert diff_versions(version(faq, 1), version(faq, 2)) == [
        FieldDiff("answer", [Line("same", "a"), Line("removed", "b"), Line("added", "B"), Line("same", "c")]),
        FieldDiff("category", [Line("removed", "One"), Line("added", "Two")]),
        FieldDiff("valid_from", [Line("added", "2027-01-01T00:00:00+00:00")]),
        FieldDiff("phrasings", [Line("removed", "x"), Line("same", "y"), Line("added", "z")]),
    ]
    assert diff_versions(version(faq, 2), version(faq, 2)) == []


def test_a_version_that_is_restored_is_a_new_one() -> None:
    moderator, category = make_moderator(), make_category()
    moment = datetime(2020, 1, 1, 12, 30, tzinfo=UTC)
    faq = make_faq("Why?", "So.", phrasings=["x", "y"], category=category, tags=["t"], valid_from=moment)
    services.edit_faq(
        faq=faq, actor=None, question="How?", answer="Thus.", phrasings=["z"], category=None, tags=[], valid_from=None
    )
    before = knowledge_state().revision
    restored = restore_version(faq=faq, version=version(faq, 1), actor=moderator, expected_version=2)
    assert (restored.version, restored.status, knowledge_state().revision) == (3, "published", before + 1)
    assert version(faq, 3).content == version(faq, 1).content
    assert (version(faq, 3).note, version(faq, 3).author) == ("Version 1 restored", moderator)
    restored.refresh_from_db()
    assert (restored.question, restored.answer, restored.category, restored.tags) == ("Why?", "So.", category, ["t"])
    assert (restored.valid_from, phrasings_of(restored)) == (moment, ["x", "y"])
    assert "'x':1" in faq.phrasings.get(text="x").search
    assert AuditEvent.objects.get(action="faq.restored").details == {"copy_of": 1}


def test_restoring_what_is_in_force_does_nothing() -> None:
    faq = make_faq()
    stale = FAQ.objects.get(pk=faq.pk)
    services.edit_faq(faq=faq, actor=None, answer="New.")
    assert restore_version(faq=stale, version=version(faq, 2), actor=None).version == 2
    assert not AuditEvent.objects.filter(action="faq.restored").exists()


def test_a_category_that_is_gone_is_not_restored() -> None:
    old, new = make_category(), make_category()
    faq = make_faq(answer="Old.", category=old)
    services.edit_faq(faq=faq, actor=None, answer="New.", category=new)
    old.delete()
    restored = restore_version(faq=faq, version=version(faq, 1), actor=None)
    assert (restored.answer, restored.category) == ("Old.", new)


def test_another_faqs_version_is_refused_and_so_is_an_old_page() -> None:
    faq, other = make_faq(), make_faq()
    with pytest.raises(NotFound):
        restore_version(faq=faq, version=version(other, 1), actor=None)
    services.edit_faq(faq=faq, actor=None, answer="New.")
    with pytest.raises(ApplicationError, match="Somebody else"):
        restore_version(faq=faq, version=version(faq, 1), actor=None, expected_version=1)


def test_a_language_that_a_translation_has_by_now_is_refused() -> None:
    faq, other = make_faq(language="de"), make_faq(language="de")
    services.edit_faq(faq=faq, actor=None, language="en")
    link_translation(faq=faq, other=other, actor=None)
    with pytest.raises(ApplicationError) as refusal:
        restore_version(faq=faq, version=version(faq, 1), actor=None)
    assert refusal.value.code == "translation_exists"
    faq.refresh_from_db()
    assert (faq.language, faq.version) == ("en", 2)
