"""Drafts of translations: what they hold, who may have them made, and what never happens to them."""

from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from typing import Any

import pytest
from celery.exceptions import Retry
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from kombu.exceptions import OperationalError

from accounts.models import AuditEvent, User
from accounts.tests.factories import make_moderator
from chatbot_project.lib.errors import ApplicationError
from faqs import admin_translations, services, tasks, translation_tasks
from faqs.admin_translations import draft_translation_action, translation_actions
from faqs.models import FAQ
from faqs.phrasings import phrasings_of
from faqs.translation import draft_translation, translate_texts
from faqs.translators import TranslationError

from .factories import make_category, make_faq
from .fake_translation import KEY, FakeTranslation, Reply, shout

pytestmark = pytest.mark.django_db

ANSWER = "Open [the app](https://example.org/app).\n\n```sh\nbank lost --card\n```\n\n- Call `117`\n"


class Scripted:
    """A translator that answers with what a test says, and writes in capitals after that."""

    name = "scripted"

    def __init__(self, *answers: Callable[[str], str]) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def translate(self, fragments: Sequence[str], *, source: str, target: str) -> list[str]:
        self.asked.append(list(fragments))
        answer = self.answers.pop(0) if self.answers else shout
        return [answer(fragment) for fragment in fragments]


@pytest.fixture
def service(settings: Any) -> Iterator[FakeTranslation]:
    fake = FakeTranslation()
    settings.TRANSLATOR, settings.DEEPL_API_KEY, settings.DEEPL_URL = "deepl", KEY, fake.url
    yield fake
    fake.stop()


@pytest.fixture
def editor() -> User:
    return make_moderator()


def test_a_draft_says_the_same_in_the_other_language(service: FakeTranslation, editor: User) -> None:
    faq = make_faq(
        "I lost my card", ANSWER, phrasings=["card gone", "it is {gone}"], category=make_category("cards"),
        tags=["card"], visibility="users", owner=editor,
    )  # fmt: skip
    draft = draft_translation(faq=faq, language="DE ", actor=editor)
    assert (draft.question, draft.language, draft.status, draft.drafted_by) == (
        "I LOST MY CARD",
        "de",
        "draft",
        "deepl",
    )
    assert draft.answer == ("OPEN [THE APP](https://example.org/app).\n\n```sh\nbank lost --card\n```\n\n- CALL `117`")
    assert phrasings_of(draft) == ["CARD GONE", "IT IS {gone}"]
    assert (draft.category, draft.tags, draft.visibility, draft.owner) == (faq.category, ["card"], "users", editor)
    assert draft.translation_group == faq.translation_group
    assert draft.versions.get().note == "Translated from en, version 1"
    assert AuditEvent.objects.filter(action="faq.created", object_id=str(draft.pk), actor__person=editor).exists()
    faq.refresh_from_db()
    assert faq.status == FAQ.Status.PUBLISHED


def test_a_draft_is_not_answered_from_until_an_editor_publishes_it(service: FakeTranslation, editor: User) -> None:
    draft = draft_translation(faq=make_faq(), language="de", actor=None)
    assert draft not in FAQ.objects.in_force()
    services.publish_faqs(faqs=[draft], actor=editor)
    draft.refresh_from_db()
    assert draft.drafted_by == ""


def test_a_translator_that_loses_marks_is_asked_from_mark_to_mark() -> None:
    faq = make_faq("Lost?", "Open [the app](https://example.org) now, then `F1`.")
    careless = Scripted(lambda html: html.replace("<", "").replace(">", "").upper())
    draft = draft_translation(faq=faq, language="de", actor=None, translator=careless)
    assert draft.answer == "OPEN [THE APP](https://example.org) NOW, THEN `F1`."
    assert careless.asked[1] == ["Open", "the app", "now, then"]


def test_a_translator_that_adds_a_link_makes_no_draft() -> None:
    faq = make_faq("Lost?", "Open the app")

    def obedient(html: str) -> str:
        return "[win](https://evil.example)"

    with pytest.raises(TranslationError) as raised:
        draft_translation(faq=faq, language="de", actor=None, translator=Scripted(obedient, obedient))
    assert raised.value.code == "translator_malformed"
    assert FAQ.objects.count() == 1


@pytest.mark.parametrize(
    ("language", "code"), [("en", "translation_exists"), ("german", "language_invalid"), ("", "language_invalid")]
)
def test_a_language_that_cannot_be_is_refused_before_anybody_is_asked(language: str, code: str) -> None:
    translator = Scripted()
    with pytest.raises(ApplicationError) as raised:
        draft_translation(faq=make_faq(), language=language, actor=None, translator=translator)
    assert raised.value.code == code
    assert translator.asked == []


def test_there_is_one_draft_a_language_until_it_is_archived() -> None:
    faq = make_faq()
    first = draft_translation(faq=faq, language="de", actor=None, translator=Scripted())
    with pytest.raises(ApplicationError) as raised:
        draft_translation(faq=faq, language="de", actor=None, translator=Scripted())
    assert raised.value.code == "translation_exists"
    services.archive_faqs(faqs=[first], actor=None)
    assert draft_translation(faq=faq, language="de", actor=None, translator=Scripted()).language == "de"


def test_a_draft_made_meanwhile_wins_and_the_second_leaves_nothing() -> None:
    faq = make_faq()

    def overtaken(html: str) -> str:
        if FAQ.objects.count() == 1:
            draft_translation(faq=faq, language="de", actor=None, translator=Scripted())
        return html

    with pytest.raises(ApplicationError) as raised:
        draft_translation(faq=faq, language="de", actor=None, translator=Scripted(overtaken))
    assert raised.value.code == "translation_exists"
    assert FAQ.objects.count() == 2


def test_an_archived_faq_is_not_translated() -> None:
    faq = make_faq()
    services.archive_faqs(faqs=[faq], actor=None)
    faq.refresh_from_db()
    with pytest.raises(ApplicationError) as raised:
        draft_translation(faq=faq, language="de", actor=None, translator=Scripted())
    assert raised.value.code == "not_translatable"


def test_phrasings_that_grow_too_long_are_left_out_and_a_question_is_refused() -> None:
    faq = make_faq("Short?", phrasings=["stays", "grows"])
    grown = Scripted(lambda html: html.replace("grows", "grown " * 100))
    assert phrasings_of(draft_translation(faq=faq, language="de", actor=None, translator=grown)) == ["stays"]
    long = Scripted(lambda html: html.replace("Short", "Long " * 120))
    with pytest.raises(TranslationError):
        draft_translation(faq=faq, language="fr", actor=None, translator=long)
    assert not FAQ.objects.filter(language="fr").exists()


def test_plain_texts_keep_their_addresses() -> None:
    assert translate_texts(Scripted(), ["see https://a.example/x", "12"], source="en", target="de") == [
        "SEE https://a.example/x", "12",
    ]  # fmt: skip


# --- In Celery
def test_the_task_drafts_once_however_often_it_runs(service: FakeTranslation, editor: User) -> None:
    faq = make_faq("Lost?")
    for _time in (1, 2):
        translation_tasks.draft_translation(str(faq.pk), "de", str(editor.pk))
    draft = FAQ.objects.get(language="de")
    assert draft.versions.get().author == editor
    translation_tasks.draft_translation("018f0000-0000-7000-8000-000000000000", "de")


def test_the_task_comes_again_when_the_service_has_time(
    service: FakeTranslation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def retry(**kwargs: Any) -> Retry:
        asked.append(kwargs)
        return Retry()

    monkeypatch.setattr(translation_tasks.draft_translation, "retry", retry)
    service.replies.append(Reply(429, {"Retry-After": "90"}))
    with pytest.raises(Retry):
        translation_tasks.draft_translation(str(make_faq().pk), "de")
    service.replies.append(Reply(429, {"Retry-After": "7200"}))
    with pytest.raises(Retry):
        translation_tasks.draft_translation(str(make_faq().pk), "de")
    assert [each["countdown"] for each in asked] == [90, 600]
    service.replies.append(Reply(403))
    translation_tasks.draft_translation(str(make_faq().pk), "de")
    assert len(asked) == 2, "a key that is refused is not tried again"


def test_a_worker_finds_the_task_where_it_looks() -> None:
    assert tasks.draft_translation is translation_tasks.draft_translation
    assert tasks.draft_translation.name == "faqs.tasks.draft_translation"


# --- From the command line
def run(*arguments: str) -> str:
    out = StringIO()
    call_command("translate_faqs", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_drafts_what_is_published_and_lacks_the_language(service: FakeTranslation) -> None:
    below = make_category("cards-lost", parent=make_category("cards"))
    make_faq("Lost?", category=below)
    make_faq("Elsewhere?")
    make_faq("Draft?", published=False)
    dry = run("--to", "de", "--category", "cards", "--dry-run")
    assert "Lost?" in dry
    assert "1 to translate by deepl" in dry
    assert FAQ.objects.filter(language="de").count() == 0
    assert "1 drafted, 0 failed" in run("--to", "de", "--category", "cards")
    assert "1 drafted, 0 failed" in run("--to", "de")
    assert set(FAQ.objects.filter(language="de").values_list("question", "status")) == {
        ("LOST?", "draft"), ("ELSEWHERE?", "draft"),
    }  # fmt: skip
    assert "0 drafted" in run("--to", "de")


def test_the_command_translates_each_group_once_from_the_sites_language(service: FakeTranslation) -> None:
    french = make_faq("Perdue ?", language="fr")
    english = draft_translation(faq=french, language="en", actor=None, translator=Scripted())
    services.publish_faqs(faqs=[english], actor=None)
    run("--to", "de")
    assert [body["source_lang"] for _path, body in service.requests] == ["EN"]


def test_one_that_fails_does_not_stop_the_others_but_a_used_up_quota_does(service: FakeTranslation) -> None:
    for number in range(3):
        make_faq(f"Page {number}?")
    service.replies.append(Reply(200, body={}))
    with pytest.raises(CommandError, match="Not everything"):
        run("--to", "de")
    assert FAQ.objects.filter(language="de").count() == 2
    service.replies.append(Reply(456))
    with pytest.raises(CommandError, match="Stopped"):
        run("--to", "fr")
    assert len(service.requests) == 4


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--to", "german"], "language code"), (["--to", "de", "--category", "nope"], "nope")]
)
def test_the_command_names_what_it_cannot_use(service: FakeTranslation, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)


def test_the_command_needs_a_translator(settings: Any) -> None:
    settings.TRANSLATOR, settings.DEEPL_API_KEY = "deepl", ""
    with pytest.raises(CommandError, match="No translation service"):
        run("--to", "de")


# --- In the admin
@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def apply_async(arguments: tuple[str, ...], **options: Any) -> None:
        calls.append(arguments)

    monkeypatch.setattr(admin_translations.draft_translation, "apply_async", apply_async)
    return calls


def act(editor: User, language: str = "de") -> list[str]:
    request = RequestFactory().post("/")
    request.user, request.session = editor, {}
    request._messages = FallbackStorage(request)
    draft_translation_action(language)(None, request, FAQ.objects.all())
    return [str(message) for message in request._messages]


def test_the_admins_action_queues_what_lacks_the_language(
    service: FakeTranslation, editor: User, queued: list[tuple[str, ...]]
) -> None:
    faq = make_faq()
    draft_translation(faq=make_faq(), language="de", actor=None)
    services.archive_faqs(faqs=[make_faq()], actor=None)
    assert act(editor) == ["1 translation is being drafted; it appears in the list as a draft."]
    assert queued == [(str(faq.pk), "de", str(editor.pk))]


def test_the_admins_action_says_where_nothing_can_be_queued(
    settings: Any, service: FakeTranslation, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_faq()

    def away(*arguments: Any, **options: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(admin_translations.draft_translation, "apply_async", away)
    assert "not available" in act(editor)[0]
    settings.DEEPL_API_KEY = ""
    assert "No translation service" in act(editor)[0]


def test_there_is_an_action_for_each_language_of_the_site_for_those_who_may_add() -> None:
    actions = translation_actions()
    assert [action.__name__ for action in actions] == ["draft_translation_en", "draft_translation_de"]
    assert {tuple(action.allowed_permissions) for action in actions} == {("add",)}
    assert str(actions[1].short_description) == "Draft translations: German"
