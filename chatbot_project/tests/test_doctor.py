"""``manage.py doctor``: each check is seen to pass and to fail, on real parts; test_doctor_processes.py has those that
take the product's own processes."""

import asyncio
import io
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from chatbot_project.beat_heartbeat import BEAT_KEY
from chatbot_project.doctor import machine
from chatbot_project.doctor.registry import CHECKS, Check, Finding, Request, ok
from chatbot_project.doctor.running import examine
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.tests.doctor_servers import MailServer, http_server, serving
from faqs.embedding import make_embedder
from faqs.models import EmbeddingModel
from faqs.state import knowledge_state
from stress_tests.fake_model import EMBEDDINGS, FakeModelServer, Script, closed_port

Examined = dict[str, Finding]


def examined(*names: str, seconds: float = 10, send_mail: str = "") -> Examined:
    """What those checks, and those they need, found: by the check's name, and by ``name part``."""
    wanted = {*names, *(needed for name in names for needed in CHECKS[name].needs)}
    checks = [check for check in CHECKS.values() if check.name in wanted]
    found: Examined = {}
    for each in asyncio.run(examine(checks, Request(seconds, send_mail))):
        for finding in each.findings:
            found.setdefault(each.check.name, finding)
            found[f"{each.check.name} {finding.part}"] = finding
    return found


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def redis_settings(settings: Any) -> Iterator[Any]:
    """Redis' configuration, put back afterwards."""
    redis = blocking_redis()
    before = {name: redis.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    yield redis
    for name, value in before.items():
        redis.config_set(name, value)


# --- the command


def test_every_check_has_a_name_a_title_and_needs_only_what_comes_before_it() -> None:
    seen: set[str] = set()
    for name, check in CHECKS.items():
        assert check.name == name
        assert check.title[0].isupper()
        assert seen.issuperset(check.needs), name
        seen.add(name)
    assert len(CHECKS) >= 20


def test_what_failed_is_told_with_its_fix_and_by_the_exit_code(settings: Any) -> None:
    settings.BASE_URL = f"http://127.0.0.1:{closed_port()}"
    code, output = run("--only", "web")
    assert code == 1
    assert "failed" in output
    assert "→ Start it" in output
    assert "1 failed, in " in output


def test_machines_get_json(settings: Any) -> None:
    code, output = run("--only", "disk", "--json")
    told = json.loads(output)
    assert code == 0
    assert told["status"] in {"ok", "warning"}
    assert [(each["name"], each["title"]) for each in told["checks"]] == [("disk", "There is room on the disk")]


def test_warnings_are_failures_only_where_that_is_asked_for(settings: Any) -> None:
    settings.SECRET_KEY = "insecure-local-key"
    assert run("--only", "secrets")[0] == 0
    assert run("--only", "secrets", "--strict")[0] == 1


def test_a_name_that_is_none_is_refused_and_all_are_listed() -> None:
    with pytest.raises(CommandError, match="--list"):
        run("--only", "wether")
    assert run("--list")[1].count("\n") == len(CHECKS)


def test_no_secret_is_told_even_where_a_server_repeats_it(settings: Any, fake_model: FakeModelServer) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "canary-key")}
    settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "fake/fake", []
    settings.TITLE_MODEL = settings.SUMMARY_MODEL = ""
    settings.REDIS_URL = f"redis://:canary-redis@127.0.0.1:{closed_port()}/0"
    fake_model.enqueue(Script(status=400, error={"code": "canary-key"}))
    for arguments in ([], ["--json"]):
        output = run("--only", "models", "--only", "redis", *arguments)[1]
        assert "failed" in output
        assert "canary" not in output


def test_what_hangs_is_told_in_time_and_stops_nobody() -> None:
    async def hangs(request: Request) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def breaks(request: Request) -> Finding:
        raise RuntimeError("oh")

    async def works(request: Request) -> Finding:
        return ok("fine")

    checks = [
        Check("a", "A", hangs), Check("b", "B", breaks), Check("c", "C", works), Check("d", "D", works, ("a",)),
    ]  # fmt: skip
    told = [each.findings[0] for each in asyncio.run(examine(checks, Request(0.2)))]
    assert [finding.status for finding in told] == ["failed", "failed", "ok", "skipped"]
    assert "RuntimeError: oh" in told[1].found


# --- database


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_whole() -> None:
    found = examined("database", "migrations", "pgvector", "time-zone")
    assert {finding.status for finding in found.values()} == {"ok"}, found


def test_a_database_that_is_away_is_named_and_what_needs_it_is_skipped(settings: Any) -> None:
    found = examined("migrations", "pgvector", seconds=1)  # pytest-django lets no connection through
    assert [found[name].status for name in ("database", "migrations", "pgvector")] == ["failed", "skipped", "skipped"]


@pytest.mark.django_db(transaction=True)
def test_migrations_that_are_missing_or_of_a_newer_version_are_told() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("chatbot_project", "0999_of_tomorrow")
    try:
        assert (found := examined("migrations")["migrations"]).status == "warning"
        assert "0999_of_tomorrow" in found.found
        recorder.record_unapplied("analytics", "0001_rollups")
        assert (found := examined("migrations")["migrations"]).status == "failed"
        assert found.fix == "Run: manage.py migrate"
    finally:
        recorder.record_unapplied("chatbot_project", "0999_of_tomorrow")
        recorder.record_applied("analytics", "0001_rollups")


@pytest.fixture
def embedding(settings: Any, fake_model: FakeModelServer, transactional_db: None) -> Iterator[EmbeddingModel]:
    """Vectors of 256 dimensions in force, made by the fake model server."""
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "key")}
    settings.EMBEDDING_MODEL = "fake/fake"
    make_embedder.cache_clear()
    state = knowledge_state()
    state.model = EmbeddingModel.objects.create(name="fake/fake", dimensions=256)
    state.save()
    yield state.model
    make_embedder.cache_clear()


def test_an_embedding_model_that_fits(embedding: EmbeddingModel) -> None:
    found = examined("embedding")["embedding"]
    assert (found.status, found.found[:25]) == ("ok", "256 dimensions, as stored")


def test_vectors_of_another_length_than_the_stored_ones_are_told(
    embedding: EmbeddingModel, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(dimensions=128), path=EMBEDDINGS)
    found = examined("embedding")["embedding"]
    assert found.status == "failed"
    assert "gives 128 dimensions, the stored vectors have 256" in found.found


def test_an_embedding_endpoint_that_fails_and_a_model_that_was_not_switched_to(
    embedding: EmbeddingModel, fake_model: FakeModelServer, settings: Any
) -> None:
    fake_model.enqueue(Script(status=404), path=EMBEDDINGS)
    settings.EMBEDDING_MODEL = "embedded/wordllama"
    found = examined("embedding")
    assert found["embedding fake/fake"].status == "failed"
    assert found["embedding embedded/wordllama"].status == "ok"
    assert "manage.py embed_faqs --model embedded/wordllama" in found["embedding switch"].fix


# --- Redis


def test_redis_and_the_channel_layer_carry_what_they_are_given(redis_settings: Any) -> None:
    redis_settings.config_set("maxmemory-policy", "noeviction")
    found = examined("redis", "redis-memory", "channels")
    assert {finding.status for finding in found.values()} == {"ok"}, found


@pytest.mark.parametrize(("most", "status"), [("0", "warning"), ("200mb", "failed")])
def test_a_redis_that_throws_away_what_it_was_given_is_told(redis_settings: Any, most: str, status: str) -> None:
    redis_settings.config_set("maxmemory", most)
    redis_settings.config_set("maxmemory-policy", "allkeys-lru")
    found = examined("redis-memory")["redis-memory"]
    assert found.status == status
    assert "noeviction" in found.fix


def test_a_redis_that_is_away_is_named_and_what_needs_it_is_skipped(settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    found = examined("redis-memory", "channels", "beat")
    assert found.pop("redis").status == found.pop("redis ").status == "failed"
    assert {finding.status for finding in found.values()} == {"skipped"}


# --- background


@pytest.mark.django_db(transaction=True)
def test_nobody_at_work_is_told_with_what_to_start() -> None:
    blocking_redis().flushdb()
    found = examined("replies", "celery", "beat", seconds=4)
    assert [found[name].status for name in ("replies", "celery", "beat")] == ["failed"] * 3
    assert "manage.py runreplies" in found["replies"].fix
    assert "celery -A chatbot_project worker" in found["celery"].fix
    assert "celery -A chatbot_project beat" in found["beat"].fix


def test_a_beat_that_went_silent_is_told_with_how_long_ago() -> None:
    blocking_redis().set(BEAT_KEY, "2026-01-01T00:00:00+00:00", ex=60)
    found = examined("beat")["beat"]
    blocking_redis().delete(BEAT_KEY)
    assert found.status == "failed"
    assert "s ago; one is due" in found.found


# --- web


OURS = (200, {"Content-Type": "application/json"}, b'{"status": "ok"}')
PAGE = "/accounts/sign-in/"


@pytest.mark.parametrize(
    ("answers", "found", "fix"),
    [
        ({}, "not ours", "BASE_URL"),
        ({"/healthz": (200, {}, b"<html>Welcome to nginx")}, "a page that is not ours", "port"),
        ({"/healthz": (502, {}, b"<html>")}, "the proxy does not reach", "runweb"),
        ({"/healthz": (400, {}, b"")}, "400", "ALLOWED_HOSTS"),
        ({"/healthz": (301, {"Location": "https://other.test/"}, b"")}, "redirect", "BASE_URL"),
        ({"/healthz": OURS, PAGE: (301, {"Location": "{base}" + PAGE}, b"")}, "to itself", "TRUSTED_PROXY_HOPS=1"),
        ({"/healthz": OURS, PAGE: (500, {}, b"")}, "answers 500", "log"),
    ],
)
def test_a_web_server_or_proxy_that_is_not_right_is_told(settings: Any, answers: Any, found: str, fix: str) -> None:
    with http_server(answers) as settings.BASE_URL:
        told = examined("web")["web"]
    assert told.status == "failed"
    assert found in told.found
    assert fix in told.fix


def test_a_proxy_that_passes_no_upgrade_on_and_a_missing_stylesheet_are_told(settings: Any) -> None:
    with http_server({"/healthz": OURS, PAGE: (200, {}, b"page")}) as settings.BASE_URL:
        told = examined("websocket", "static")
    assert told["web"].status == "ok"
    assert (told["websocket"].status, told["static"].status) == ("failed", "failed")
    assert "proxy_set_header Upgrade" in told["websocket"].fix
    assert "collectstatic" in told["static"].fix


def test_a_refused_upgrade_names_host_and_origin(settings: Any) -> None:
    answers = {"/healthz": OURS, PAGE: (200, {}, b"page"), "/ws/chat/": (403, {}, b"")}
    with http_server(answers) as settings.BASE_URL:
        assert "ALLOWED_HOSTS" in examined("websocket")["websocket"].fix


# --- models


@pytest.fixture
def configured(settings: Any, fake_model: FakeModelServer) -> Callable[..., Finding]:
    """Examine the model ``fake/fake`` at a base URL; gives what was found."""

    def at(base_url: str = "", **others: Provider) -> Finding:
        settings.LLM_PROVIDERS = {"fake": Provider("fake", base_url or fake_model.base_url, "key"), **others}
        settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "fake/fake", []
        settings.TITLE_MODEL = settings.SUMMARY_MODEL = ""
        found = examined("models", seconds=5)
        return found.get("models fake/fake", found["models"])

    return at


def test_a_model_that_answers_is_asked_for_few_tokens_once(
    configured: Callable[..., Finding], fake_model: FakeModelServer
) -> None:
    assert configured().status == "ok"
    asked = [request for request in fake_model.requests if request.path.endswith("/completions")]
    assert [request.body["max_tokens"] for request in asked] == [16]


@pytest.mark.parametrize("suffix", ["", "/v1/chat/completions"])
def test_a_base_url_that_is_not_quite_right_is_answered_with_the_right_one(
    configured: Callable[..., Finding], fake_model: FakeModelServer, suffix: str
) -> None:
    found = configured(fake_model.base_url.removesuffix("/v1") + suffix)
    assert found.status == "failed"
    assert found.fix == f"Set the base URL in LLM_PROVIDERS to {fake_model.base_url}"


def test_a_server_that_answers_html_is_told(configured: Callable[..., Finding], fake_model: FakeModelServer) -> None:
    fake_model.default = Script(html=True)
    found = configured()
    assert found.status == "failed"
    assert "does not speak OpenAI's protocol" in found.fix


@pytest.mark.parametrize(
    ("script", "status", "fix"),
    [
        (Script(status=401), "failed", "Correct the API key of fake"),
        (Script(status=404), "failed", "manage.py models list"),
        (Script(status=429), "warning", "limits"),
        (Script(status=500), "failed", "See that it runs"),
        (Script(keep_alives_only=True), "failed", "--timeout"),
    ],
)
def test_what_a_model_answers_instead_of_text_is_told_with_what_to_do(
    configured: Callable[..., Finding], fake_model: FakeModelServer, script: Script, status: str, fix: str
) -> None:
    fake_model.default = script
    found = configured()
    assert found.status == status
    assert fix in found.fix


def test_a_provider_that_no_setting_uses_is_listed_and_costs_nothing(
    configured: Callable[..., Finding], fake_model: FakeModelServer
) -> None:
    configured(spare=Provider("spare", fake_model.base_url))
    found = examined("models")
    assert found["models spare"].found == "Lists 2 models; no setting names one of them."


def test_a_model_server_that_is_away_or_none_at_all(configured: Callable[..., Finding], settings: Any) -> None:
    assert "See that it runs" in configured(f"http://127.0.0.1:{closed_port()}/v1").fix
    settings.LLM_PROVIDERS = {}
    assert examined("models")["models"].status == "failed"


# --- mail


@pytest.fixture
def mail(settings: Any) -> Any:
    """Settings of a mail server that somebody signs in to."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "127.0.0.1", "me", "canary-password"
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    return settings


def test_a_mail_server_is_signed_in_to_and_sent_nothing(mail: Any, trusted: ssl.SSLContext) -> None:
    server = MailServer(tls=trusted)
    with serving(server) as mail.EMAIL_PORT:
        mail.EMAIL_HOST, mail.EMAIL_USE_TLS = "localhost", True
        found = examined("mail")["mail"]
    assert (found.status, server.letters) == ("ok", [])
    assert "STARTTLS, signed in; nothing was sent" in found.found
    assert server.commands == ["EHLO", "STARTTLS", "EHLO", "AUTH", "NOOP", "QUIT"]


def test_a_mail_is_sent_where_that_is_asked_for(mail: Any, settings: Any) -> None:
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    server = MailServer()
    with serving(server) as mail.EMAIL_PORT:
        found = examined("mail", send_mail="ops@example.org")["mail"]
    assert "a mail went to ops@example.org" in found.found
    assert "To: ops@example.org" in server.letters[0]


def test_what_a_mail_server_refuses_is_told_without_its_words(mail: Any, trusted: ssl.SSLContext) -> None:
    with serving(MailServer(accepts=False)) as mail.EMAIL_PORT:
        found = examined("mail")["mail"]
        assert (found.status, found.found.endswith("does not accept user and password (535).")) == ("failed", True)
        mail.EMAIL_USE_TLS = True
        assert "does not offer" in examined("mail")["mail"].found
    with serving(MailServer(tls=trusted)) as mail.EMAIL_PORT:
        assert "by TLS" in examined("mail")["mail"].found  # the certificate is of another name
    mail.EMAIL_PORT = closed_port()
    assert "cannot be reached" in examined("mail")["mail"].found


def test_a_password_that_goes_in_the_clear_is_warned_of_and_no_mail_server_is_none(mail: Any) -> None:
    with serving(MailServer()) as mail.EMAIL_PORT:
        assert examined("mail")["mail"].status == "warning"
    mail.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert examined("mail")["mail"].status == "skipped"
    mail.IS_LOCAL = False
    assert examined("mail")["mail"].status == "failed"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server of the name ``localhost`` shows, with a certificate that this process trusts."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


# --- the machine


@pytest.mark.django_db(transaction=True)
def test_clocks_that_agree_and_one_that_does_not(settings: Any) -> None:
    settings.LLM_PROVIDERS = {}
    assert examined("clock")["clock"].status == "ok"
    with http_server({}, (200, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, b"{}")) as url:
        settings.LLM_PROVIDERS = {"late": Provider("late", url)}
        found = examined("clock")["clock"]
    assert found.status == "failed"
    assert "late -" in found.found
    assert "NTP" in found.fix


def test_a_clock_is_not_blamed_for_what_lies_within_a_request_or_a_step() -> None:
    now = time.time()
    assert machine.skew_of(now, now - 1, now + 1) == 0
    assert machine.skew_of(now - 1.5, now - 1, now, step=1.0) == 0
    assert machine.skew_of(now + 5, now - 1, now) == pytest.approx(5)
    assert machine.skew_of(now - 5, now - 1, now) == pytest.approx(-4)


def test_a_folder_that_is_missing_or_cannot_be_written_to_is_told(settings: Any, tmp_path: Path) -> None:
    assert examined("disk")["disk"].status in {"ok", "warning"}
    settings.VAR_DIR = tmp_path / "none"
    assert examined("disk")["disk"].status == "failed"
    settings.VAR_DIR = Path("/proc")
    assert "cannot be written to" in examined("disk")["disk"].found


def test_a_disk_that_is_nearly_full_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SCARCE", float("inf"))
    assert examined("disk")["disk"].status == "warning"
    monkeypatch.setattr(machine, "NO_BYTES", float("inf"))
    assert examined("disk")["disk"].status == "failed"


@pytest.mark.django_db(transaction=True)
def test_a_time_zone_that_postgresql_does_not_know_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*arguments: object, **named: object) -> None:
        return None

    assert examined("time-zone")["time-zone"].status == "ok"
    monkeypatch.setattr(machine, "in_database", unknown)
    assert "tzdata" in examined("time-zone")["time-zone"].fix


# --- settings


STRONG = "qL8xV2nR5tYw7zB3mK9pD4sF6gH1jC0aXeUiOoPlMkNj5bVcZ"


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("SECRET_KEY", "insecure-local-key", "SECRET_KEY"),
        ("SECRET_KEY", "a" * 60, "SECRET_KEY"),
        ("JWT_SIGNING_KEYS", ["short"], "JWT_SIGNING_KEYS"),
        ("METRICS_TOKEN", "short", "METRICS_TOKEN"),
    ],
)
def test_a_secret_that_can_be_guessed_is_named_and_not_shown(settings: Any, name: str, value: Any, part: str) -> None:
    setattr(settings, name, value)
    assert examined("secrets")[f"secrets {part}"].status == "warning"
    settings.IS_LOCAL = False
    found = examined("secrets")[f"secrets {part}"]
    assert found.status == "failed"
    assert 'short"' not in found.found


def test_good_secrets_pass_and_one_of_two_purposes_is_warned_of(settings: Any) -> None:
    assert examined("secrets")["secrets"].status == "ok"
    settings.JWT_SIGNING_KEYS = settings.AUDIT_SIGNING_KEYS = [STRONG]
    assert "two purposes" in examined("secrets")["secrets shared"].found
    settings.AUDIT_SIGNING_KEYS, settings.DATABASE_URL = [], "postgresql://nono:weak@db.internal/nono"
    settings.METRICS_PORT, settings.METRICS_BIND = 9460, "0.0.0.0"
    found = examined("secrets")
    assert {"secrets DATABASE_URL", "secrets METRICS_BIND"} < set(found)


def test_settings_of_production_are_held_against_the_deployment_checks(settings: Any) -> None:
    assert examined("production")["production"].status == "skipped"
    settings.BASE_URL = "http://chat.example.org"
    assert "Add chat.example.org" in examined("production")["production"].fix
    settings.IS_LOCAL, settings.DEBUG = False, True
    found = examined("production")
    assert (found["production nono.E006"].status, found["production nono.E007"].fix) == ("failed", "Unset DEBUG.")


def test_the_page_describes_every_check_and_no_other(settings: Any) -> None:
    page = (settings.BASE_DIR / "docs" / "doctor.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(CHECKS)
