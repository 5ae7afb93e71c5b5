"""Whatever could hold personal data says what it holds: a model, a Redis key or a file that is new fails here."""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.management import CommandError, call_command
from django.db import models
from django.utils import timezone

from accounts.models import RetentionPolicy, User
from accounts.privacy import registry
from accounts.privacy.registry import Erasure, Nothing, PersonalData, Retention
from accounts.retention.policies import POLICIES
from accounts.retention.sweeps import all_sweeps
from chatbot_project.embedded.paths import VarPaths

APPS = ("accounts", "faqs", "personas", "conversations", "analytics", "chatbot_project")
TEXT = (models.CharField, models.TextField, models.JSONField, ArrayField)
LABELS = [each.label for each in registry.personal_data()]

#: Modules that write files, and where those are declared.
WRITERS = {
    "chatbot_project/embedded/postgres.py": "postgres",
    "chatbot_project/embedded/redis.py": "redis",
    "chatbot_project/embedded/children.py": "log",
    "chatbot_project/embedded/services.py": "run",
    "chatbot_project/embedded/supervisor.py": "run",
    "accounts/privacy/erasure_log.py": "erasures.jsonl",
    "chatbot_project/backup/making.py": "backups",
    "accounts/privacy/erasing.py": "log",
    "accounts/privacy/archive.py": None,  # within the ZIP that it makes in memory
    "faqs/embedding_line.py": None,  # opens connections, no files
    "chatbot_project/api_docs.py": None,  # reads static files
    "accounts/audit/checkpoints.py": "audit",
    "chatbot_project/doctor/machine.py": None,  # one byte, gone at once: whether it can
    "chatbot_project/doctor/mail.py": None,  # opens a connection
    # What an operator has written by hand, where they say.
    "faqs/management/commands/export_faqs.py": None,
    "personas/management/commands/dump_personas.py": None,
    "accounts/management/commands/privacy_docs.py": None,
    "accounts/management/commands/export_audit.py": None,
    "chatbot_project/management/commands/metrics_docs.py": None,
    "conversations/management/commands/protocol_docs.py": None,
    "analytics/management/commands/report.py": None,
    "analytics/reports/pdf.py": None,  # fonts, while a report is written
}


def declared(label: str) -> PersonalData:
    return next(each for each in registry.personal_data() if each.label == label)


def product_modules() -> list[Path]:
    found = [path for app in APPS for path in (settings.BASE_DIR / app).rglob("*.py")]
    return [path for path in found if "tests" not in path.parts and "migrations" not in path.parts]


def test_every_model_says_what_it_holds_of_people() -> None:
    assert list(registry.undeclared_models()) == []


def test_a_model_that_says_nothing_is_found(monkeypatch) -> None:
    others = {model: entry for model, entry in registry._personal.items() if model is not User}
    monkeypatch.setattr(registry, "_personal", others)
    assert list(registry.undeclared_models()) == [User]


def test_what_is_declared_twice_or_leaves_a_question_open_is_refused() -> None:
    entry = declared("accounts.User")
    with pytest.raises(ValueError, match="twice"):
        registry.declare(Nothing(User, "no"))
    fields = {name: getattr(entry, name) for name in PersonalData.__dataclass_fields__}
    with pytest.raises(ValueError, match="exported"):
        registry.declare(PersonalData(**{**fields, "section": ""}))
    with pytest.raises(ValueError, match="anonymous"):
        registry.declare(PersonalData(**{**fields, "erasure": Erasure.ANONYMISE}))


@pytest.mark.parametrize("label", LABELS)
def test_every_text_field_is_peoples_own_words_or_not(label: str) -> None:
    entry = declared(label)
    texts = {
        field.name
        for field in entry.model._meta.concrete_fields
        if isinstance(field, TEXT) and not field.choices and not field.is_relation
    }
    assert texts == {*entry.written, *entry.fixed}
    assert not {*entry.written} & {*entry.fixed}


@pytest.mark.parametrize("label", LABELS)
def test_what_is_exported_and_counted_from_are_fields(label: str) -> None:
    entry = declared(label)
    names = {field.name for field in entry.model._meta.concrete_fields}
    assert {*entry.exported} <= names
    assert entry.retention.since in {"", *names}
    assert {*entry.retention.policies} <= {*POLICIES}
    assert not {"password", "digest", "session_key", "session_data"} & {*entry.exported}


def test_every_reference_to_a_person_is_accounted_for() -> None:
    nothing = {each.model for each in registry.without_personal_data()}
    for model in apps.get_models(include_auto_created=True):
        leads = {field.name for field in model._meta.concrete_fields if field.related_model is User}
        if model._meta.proxy:
            continue
        if model in nothing:
            assert not leads, f"{model._meta.label} leads to a person"
            continue
        entry = declared(model._meta.label)
        if isinstance(entry.of, str):
            leads.discard(entry.of)
        else:
            leads -= {"user", "sign_up"}
        assert leads == {*entry.references} or (model._meta.label == "conversations.Message" and leads == set())


@pytest.mark.django_db
@pytest.mark.parametrize("label", LABELS)
def test_rows_of_a_person_are_found_without_an_error(label: str) -> None:
    person = User.objects.create_user("someone@example.org")
    rows = declared(label).rows_of(person)
    assert rows.count() == (1 if label in ("accounts.User", "accounts.AuditIdentity") else 0)


def test_people_are_erased_last_and_an_app_after_those_that_build_on_it() -> None:
    order = [each.model._meta.app_label for each in registry.erasure_order()]
    assert order[0] == "analytics"
    assert order.index("analytics") < order.index("conversations") < order.index("faqs")
    assert order.index("faqs") < order.index("accounts")
    assert registry.erasure_order()[-1].model is User


def test_every_redis_key_in_the_code_is_declared() -> None:
    """By its beginning: ``"limit:"`` of ``f"limit:{…}"`` in any module that has to do with Redis."""
    patterns = [each.pattern for each in registry.redis_keys()]
    found = 0
    for path in product_modules():
        text = path.read_text()
        if (
            not re.search(r"\bredis\b|\bcache\b|token_budget", text)
            or "privacy" in path.name
            or path.parent.name == "privacy"
        ):
            continue
        for key in key_beginnings(ast.parse(text)):
            found += 1
            known = any(fnmatchcase(key, pattern) or pattern.startswith(key) for pattern in patterns)
            known = known or any(pattern.startswith(f":1:{key}") for pattern in patterns)
            assert known, f"{path}: {key!r} is in no declared family of Redis keys"
    assert found > 12


def key_beginnings(tree: ast.AST) -> set[str]:
    looks_like_one = re.compile(r"[a-z][a-z0-9_.-]*:[a-z0-9_.:-]*\Z")
    counted = {
        argument
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Bucket", "Budget")
        for argument in node.args
    }  # stand behind "limit:" and "rate:"
    heads = set()
    for node in ast.walk(tree):
        if node in counted:
            continue
        if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
            heads.add(node.values[0].value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("nono:"):
            heads.add(node.value)
    return {head for head in heads if looks_like_one.match(head)} - NO_KEYS


#: Beginnings of texts that look like a key and are none, with where they stand.
NO_KEYS = {
    "persona:",  # conversations/openai_api: the name of a model
    "mailto:",  # conversations/views.py: an address
}


def test_every_place_of_files_is_declared() -> None:
    places = {each.place for each in registry.files()}
    paths = VarPaths(Path("/var/nono"))
    for name, member in vars(VarPaths).items():
        if isinstance(member, property) and name not in (
            "sockets",
            "postgres_socket_dir",
            "postgres_socket",
            "redis_socket",
        ):
            assert getattr(paths, name).relative_to("/var/nono").parts[0] in places, f"{name} is declared nowhere"


def test_every_module_that_writes_files_says_where() -> None:
    writes = re.compile(
        r"\.open\(|\bopen\(|write_text|write_bytes|mkstemp|NamedTemporaryFile|default_storage|models.FileField"
    )
    known = {settings.BASE_DIR / name for name in WRITERS}
    places = {each.place for each in registry.files()} | {None}
    assert {*WRITERS.values()} <= places
    reads = re.compile(r"\.open\((\"rb\"|encoding|newline)|open\(found, \"rb\"\)")
    for path in product_modules():
        for line in path.read_text().splitlines():
            if writes.search(line) and not reads.search(line) and "self._open(" not in line and "def _open" not in line:
                assert path in known, f"{path} writes files: {line.strip()}"


#: Times that no policy sets: they are those of a mechanism, and shorter than a day or a bound beside the policy.
OF_A_MECHANISM = re.compile(
    r"Two weeks after the last change \(SESSION_COOKIE_AGE\)|then gone within six hours|a week after the last use"
    r"|Until an hour after the copy was fetched"
)
A_TIME = re.compile(r"\b(hours?|days?|weeks?|months?|years?|\w+_DAYS|\d+)\b")


@pytest.mark.parametrize("label", LABELS)
def test_what_is_kept_for_a_number_of_days_has_a_policy(label: str) -> None:
    retention = declared(label).retention
    speaks_of_time = bool(A_TIME.search(OF_A_MECHANISM.sub("", retention.rule)))
    assert speaks_of_time == bool(retention.policies), f"{label} is kept by days and names no policy, or the reverse"


def test_a_number_of_days_without_a_policy_is_found() -> None:
    for rule in ("Ninety days.", "A week.", "Until GUEST_DAYS are over.", "3 of them."):
        assert A_TIME.search(OF_A_MECHANISM.sub("", Retention(rule).rule)), rule


def test_every_policy_is_somebodys_can_be_set_and_is_carried_out() -> None:
    named = {name for each in registry.personal_data() for name in each.retention.policies}
    swept = {sweep.policy for sweep in all_sweeps()}
    assert {*POLICIES} == {*RetentionPolicy.Class.values} == named == swept
    for policy in POLICIES.values():
        assert isinstance(getattr(settings, policy.setting), int)
        assert f"#{policy.setting}=" in (settings.BASE_DIR / ".env.example").read_text()


@pytest.mark.django_db
def test_what_a_sweep_removes_is_declared_with_its_policy() -> None:
    for sweep in all_sweeps():
        entry = declared(sweep.expired(timezone.now()).model._meta.label)
        assert sweep.policy in entry.retention.policies, sweep.key


def test_the_record_of_processing_is_up_to_date() -> None:
    call_command("privacy_docs", check=True)


def test_the_record_of_processing_that_is_out_of_date_is_told(monkeypatch) -> None:
    monkeypatch.setattr("accounts.management.commands.privacy_docs.record_page", lambda: "another")
    with pytest.raises(CommandError, match="out of date"):
        call_command("privacy_docs", check=True)
