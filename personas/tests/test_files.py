"""Persona files: what is dumped loads as it was, and a mistake is named by its place and changes nothing."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import AuditEvent
from chatbot_project.lib.llm.tokens import estimate_tokens
from faqs.models import Category
from personas import services
from personas.files import BadPersonaFile, read_personas, write_personas
from personas.loading import load_personas
from personas.models import Persona, PersonaVersion
from personas.tests.factories import CONTENT, make_draft, make_persona, republish

STARTERS = Path(settings.BASE_DIR, "personas/starters.yaml")


def load(text: str, tmp_path: Path, *options: str) -> str:
    file = tmp_path / "personas.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    out = StringIO()
    call_command("load_personas", str(file), *options, stdout=out)
    return out.getvalue()


def dump() -> str:
    out = StringIO()
    call_command("dump_personas", stdout=out)
    return out.getvalue()


# --- Round trip -------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_what_is_dumped_loads_and_dumps_the_same(tmp_path: Path) -> None:
    make_persona("b", 1, greeting="Two\n\nlines: # no comment\n- x", suggestions=["yes", "1", "- a", "null", "'", '"'])
    make_persona("a", 2, name="007", temperature=1, visibility="staff", suggestions=[])
    first = dump()
    out = load(first, tmp_path)
    assert out == "b: unchanged\na: unchanged\n"
    assert dump() == first
    for persona in Persona.objects.all():
        republish(persona, name="Changed", greeting="", suggestions=["new"])
    assert load(first, tmp_path) == "b: version 3 published\na: version 3 published\n"
    assert dump() == first


BIDI = "\u202a\u202b\u202c\u202d\u202e"
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters=BIDI), max_size=60
)
LINE = TEXT.map(str.strip)
LINES = st.lists(TEXT | st.sampled_from(["", "\t", "# x", "- y", "a: b", "'", '"', "|", "---", "..."]), max_size=6)
PROSE = LINES.map("\n".join)
CONTENTS = st.fixed_dictionaries(
    {
        "name": LINE.filter(lambda text: 0 < len(text) <= 60),
        "description": LINE,
        "emoji": st.sampled_from(["", "🤖", "👩‍⚕️", "1️⃣"]),
        "colour": st.sampled_from(["red", "teal"]),
        "greeting": PROSE,
        "suggestions": st.lists(LINE.filter(bool), max_size=4, unique=True),
        "system_prompt": PROSE.filter(lambda text: text.strip()),
        "model": st.sampled_from(["", "fake/meta/x:8b"]),
        "temperature": st.floats(0, 2) | st.integers(0, 2),
        "max_reply_tokens": st.integers(16, 131_072),
        "context_budget": st.integers(2000, 2_000_000),
        "visibility": st.sampled_from(["guests", "users", "staff"]),
        "faq_mode": st.sampled_from(["off", "context", "direct"]),
        "flag_from": st.sampled_from([0.0, 0.25, 0.5]),
        "block_from": st.sampled_from([0.5, 0.75, 1.0]),
        "personal_data": st.sampled_from(["outside", "always", "never"]),
        "unknown_offers": st.lists(st.sampled_from(["rephrase", "handover"]), unique=True),
        "contact": LINE,
    }
)


@pytest.mark.django_db
@given(st.dictionaries(st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True), CONTENTS, min_size=1, max_size=3))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({"yes": CONTENT}).via("a slug that YAML takes for something else")
@example({"1": CONTENT | {"greeting": " a\n\n b \nc\n"}}).via("odd space")
def test_any_personas_survive_the_way_through_a_file(personas: dict[str, Any]) -> None:
    settings.LLM_PROVIDERS["fake"] = object()
    try:
        # Nothing here is published, as published rows could not be removed between examples.
        written = []
        for position, (slug, content) in enumerate(personas.items()):
            version = services.fill(PersonaVersion(), content)
            persona = Persona(slug=slug, position=position)
            persona.published = version
            written.append(persona)
        text = write_personas(written)
        specs = read_personas(text.encode())
        assert [(spec.slug, spec.position) for spec in specs] == [(p.slug, p.position) for p in written]
        for spec, persona in zip(specs, written, strict=True):
            assert spec.content == persona.published.content
    finally:
        del settings.LLM_PROVIDERS["fake"]


@pytest.mark.django_db
def test_loading_twice_makes_no_new_version(tmp_path: Path) -> None:
    text = STARTERS.read_text()
    assert load(text, tmp_path).count("created") == 4
    versions = set(PersonaVersion.objects.values_list("pk", flat=True))
    assert load(text, tmp_path).count("unchanged") == 4
    assert set(PersonaVersion.objects.values_list("pk", flat=True)) == versions
    assert AuditEvent.objects.count() == 4


@pytest.mark.django_db
def test_loading_leaves_drafts_and_unnamed_personas_alone(tmp_path: Path) -> None:
    persona, other = make_persona("one"), make_persona("other")
    text = dump()
    republish(persona, name="Changed")
    services.edit_draft(persona=persona, actor=None, name="Unfinished")
    services.archive(persona=other, actor=None)
    only_one = text[: text.index("  - slug: other")]
    assert load(only_one, tmp_path) == "one: version 3 published\n"
    assert persona.versions.drafts().get().name == "Unfinished"
    other.refresh_from_db()
    assert other.archived_at is not None


@pytest.mark.django_db
def test_loading_restores_and_moves_what_the_file_offers(tmp_path: Path) -> None:
    persona = make_persona("one", position=4)
    text = dump()
    services.move_persona(persona=persona, position=8)
    services.archive(persona=persona, actor=None)
    assert load(text, tmp_path) == "one: unchanged\n"
    persona.refresh_from_db()
    assert (persona.archived_at, persona.position) == (None, 4)


@pytest.mark.django_db
def test_drafts_and_archived_personas_are_not_dumped() -> None:
    make_draft("draft")
    services.archive(persona=make_persona("archived"), actor=None)
    make_persona("published")
    assert [spec.slug for spec in read_personas(dump().encode())] == ["published"]


@pytest.mark.django_db
def test_dump_writes_to_a_file(tmp_path: Path) -> None:
    make_persona("one", emoji="🧑‍💻")
    call_command("dump_personas", str(tmp_path / "out.yaml"))
    assert (tmp_path / "out.yaml").read_text(encoding="utf-8") == dump()
    with pytest.raises(CommandError, match="Is a directory"):
        call_command("dump_personas", str(tmp_path))


@pytest.mark.django_db
def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    persona = make_persona("support", name="Old")
    out = load(STARTERS.read_text(), tmp_path, "--dry-run")
    assert "support: version 2 published\n" in out
    assert "code-tutor: created\n" in out
    assert out.endswith("this was a dry run.\n")
    assert list(Persona.objects.values_list("slug", flat=True)) == ["support"]
    assert persona.versions.count() == 1


# --- Bad files --------------------------------------------------------------------------------------------------------
GOOD = "personas:\n  - slug: good\n    name: Good\n    system_prompt: Be good.\n"
BAD = {
    "syntax": (GOOD + "  - slug: [\n", [(6, 1, "This is not YAML")]),
    "tab": (GOOD + "\t- slug: x\n", [(5, 1, "This is not YAML")]),
    "unclosed quote": (GOOD + "    greeting: 'x\n", [(6, 1, "This is not YAML")]),
    "empty": ("", [(1, 1, "empty")]),
    "only a comment": ("# nothing\n", [(1, 1, "empty")]),
    "two documents": (GOOD + "---\na: b\n", [(5, 1, "This is not YAML")]),
    "a list at the top": ("- slug: x\n", [(1, 1, "Expected keys")]),
    "no personas": ("{}", [(1, 1, "“personas” is missing")]),
    "personas no list": ("personas: x\n", [(1, 11, "must be a list")]),
    "a persona no mapping": ("personas:\n  - x\n", [(2, 5, "Expected keys")]),
    "unknown key at the top": ("people: []\npersonas: []\n", [(1, 1, "Unknown key “people”")]),
    "unknown key": (GOOD + "    colr: red\n", [(5, 5, "Unknown key “colr”")]),
    "a list as key": (GOOD + "    ? [a]\n    : b\n", [(5, 7, "Unknown key")]),
    "merge key": (GOOD + "    <<: {name: x}\n", [(5, 5, "Unknown key “<<”")]),
    "key twice": (GOOD + "    name: Again\n", [(5, 5, "“name” stands here twice")]),
    "slug twice": (GOOD + GOOD.partition("\n")[2], [(5, 11, "slug “good” stands here twice")]),
    "number as text": (GOOD + "    greeting: 42\n", [(5, 15, "“greeting” must be text")]),
    "yes as text": (GOOD + "    description: yes\n", [(5, 18, "“description” must be text")]),
    "nothing as text": (GOOD + "    description:\n", [(5, 17, "“description” must be text")]),
    "text as number": (GOOD + "    temperature: warm\n", [(5, 18, "“temperature” must be a number")]),
    "fraction as whole number": (GOOD + "    position: 1.5\n", [(5, 15, "“position” must be a whole number")]),
    "truth as number": (GOOD + "    context_budget: true\n", [(5, 21, "must be a whole number")]),
    "list as text": (GOOD + "    emoji: [a]\n", [(5, 12, "“emoji” must be text")]),
    "text as list": (GOOD + "    suggestions: a\n", [(5, 18, "must be a list of texts")]),
    "number in list": (GOOD + "    suggestions:\n      - a\n      - 7\n", [(7, 9, "“suggestions” must be text")]),
    "endless number": (GOOD + f"    position: {'9' * 5000}\n", [(5, 15, "too long")]),
    "large number": (GOOD + f"    position: {'9' * 30}\n", [(5, 15, "position: ")]),
    "not a number": (GOOD + "    temperature: .nan\n", [(5, 18, "temperature: Give a number")]),
    "infinite": (GOOD + "    temperature: .inf\n", [(5, 18, "temperature: ")]),
    "out of range": (GOOD + "    temperature: 3\n", [(5, 18, "temperature: Ensure this value")]),
    "unknown colour": (GOOD + "    colour: mauve\n", [(5, 13, "colour: ")]),
    "unknown provider": (GOOD + "    model: nowhere/x\n", [(5, 12, "model: There is no provider “nowhere”")]),
    "bad slug": ("personas:\n  - slug: two words\n    name: x\n    system_prompt: y\n", [(2, 11, "slug: ")]),
    "missing fields": ("personas:\n  - slug: x\n", [(2, 5, "name: "), (2, 5, "system_prompt: ")]),
    "missing slug": ("personas:\n  - name: x\n    system_prompt: y\n", [(2, 5, "slug: ")]),
    "prompt too long": (GOOD + "    context_budget: 256\n    greeting: &a x\n", [(6, 15, "Anchors and aliases")]),
    "alias": ("personas:\n  - &a {slug: x}\n  - *a\n", [(2, 5, "Anchors and aliases")]),
    "foreign tag": (GOOD + "    greeting: !!python/name:os.system x\n", [(5, 15, "“greeting” must be text")]),
    "control character": (GOOD + "    greeting: a\x07b\n", [(5, 16, "U+0007 is not allowed")]),
    "escaped control character": (GOOD + '    greeting: "a\\u001bb"\n', [(5, 15, "greeting: The character U+001B")]),
    "escaped surrogate": (GOOD + '    greeting: "\\ud800"\n', [(5, 15, "greeting: The character U+D800")]),
    "escaped nul": (GOOD + '    name2: "\\0"\n', [(5, 5, "Unknown key")]),
    "not UTF-8": (GOOD + "    greeting: a\ud800\n", [(5, 16, "not UTF-8")]),
    "too deep": ("personas: " + "[" * 100_000, [(1, 18, "nested too deep")]),
    "too long": ("#" * 1_048_577, [(1, 1, "longer than")]),
    "two mistakes": (
        GOOD + "    colr: red\n  - slug: x y\n    name: X\n    system_prompt: Z\n    temperature: 9\n",
        [(5, 5, "Unknown key “colr”"), (6, 11, "slug: "), (9, 18, "temperature: ")],
    ),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("text", "problems"), BAD.values(), ids=BAD)
def test_a_bad_file_names_its_places_and_changes_nothing(
    text: str, problems: list[tuple[int, int, str]], tmp_path: Path
) -> None:
    with pytest.raises(CommandError) as error:
        load(text, tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == len(problems), lines
    for said, (line, column, message) in zip(lines, problems, strict=True):
        assert said.startswith(f"{tmp_path}/personas.yaml:{line}:{column}: ")
        assert message in said
    assert not Persona.objects.exists()


@pytest.mark.django_db
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("load_personas", str(tmp_path / "none.yaml"))


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*GOOD.split(" "), ": ", "- ", "[", "{", "&a ", "*a", "\n"])).map("".join)
)
def test_any_file_is_read_or_refused_in_one_way(text: str) -> None:
    problems = None
    try:
        assert read_personas(text.encode("utf-8", "surrogatepass")) is not None
    except BadPersonaFile as error:
        problems = error.problems
    assert problems is None or problems
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems or ())


@pytest.mark.django_db
def test_a_failure_in_the_middle_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = read_personas(STARTERS.read_bytes())
    publish = services.publish_content
    calls: list[str] = []

    def publish_twice(**arguments: Any) -> Any:
        calls.append("")
        if len(calls) > 2:
            raise RuntimeError("third")
        return publish(**arguments)

    monkeypatch.setattr(services, "publish_content", publish_twice)
    with pytest.raises(RuntimeError):
        load_personas(specs=specs, actor=None)
    assert not Persona.objects.exists()


# --- Knowledge --------------------------------------------------------------------------------------------------------
KNOWING = """personas:
  - slug: a
    name: A
    system_prompt: Be.
    context_budget: 2000
    faq_mode: direct
    faq_categories:
      - cards
      - transfers
    unknown_offers: [rephrase, contact]
    contact: help@example.com
"""


@pytest.mark.django_db
def test_what_a_persona_does_with_the_faq_loads_and_dumps_the_same(tmp_path: Path) -> None:
    for slug in ("cards", "transfers"):
        Category.objects.create(name=slug, slug=slug)
    load(KNOWING, tmp_path)
    version = PersonaVersion.objects.get()
    assert (version.faq_mode, version.faq_categories) == ("direct", ["cards", "transfers"])
    assert (version.unknown_offers, version.contact) == (["rephrase", "contact"], "help@example.com")
    assert load(dump(), tmp_path) == "a: unchanged\n"


@pytest.mark.django_db
def test_a_category_that_does_not_exist_is_named_with_its_place_in_the_file(tmp_path: Path) -> None:
    Category.objects.create(name="Cards", slug="cards")
    with pytest.raises(CommandError, match=r"personas\.yaml:8:7: faq_categories: .*“transfers”"):
        load(KNOWING, tmp_path)
    assert not Persona.objects.exists()


@pytest.mark.django_db
def test_off_need_not_be_put_in_quotes(tmp_path: Path) -> None:
    load(KNOWING.replace("direct", "off").replace("      - cards\n      - transfers\n", "      []\n"), tmp_path)
    assert PersonaVersion.objects.get().faq_mode == "off"


# --- The personas of a new installation -------------------------------------------------------------------------------
def test_starters_fit_a_small_model_and_everyone() -> None:
    specs = {spec.slug: spec.content for spec in read_personas(STARTERS.read_bytes())}
    assert list(specs) == ["support", "mental-health-nurse", "writing-coach", "code-tutor"]
    for content in specs.values():
        assert content["visibility"] == "guests"
        assert content["model"] == ""
        assert 3 <= len(content["suggestions"]) <= 4
        assert content["greeting"]
        assert content["emoji"]
        assert estimate_tokens(content["system_prompt"]) < 400
        assert content["context_budget"] + content["max_reply_tokens"] <= 4096


def test_the_nurse_names_emergency_numbers_and_limits() -> None:
    nurse = next(s.content for s in read_personas(STARTERS.read_bytes()) if s.slug == "mental-health-nurse")
    for text in (nurse["greeting"], nurse["system_prompt"]):
        for part in ("local emergency number", "112", "911", "988", "doctor", "diagnosis"):
            assert part in text
