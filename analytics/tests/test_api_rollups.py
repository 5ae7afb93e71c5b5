"""``GET analytics/metrics``, ``figures``, ``series``, ``cohorts``: what rollups have, as JSON and as CSV."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_moderator, make_user
from analytics import rollups
from analytics.metrics import METRICS, values
from analytics.models import Cohort, Grain, RollupState
from analytics.period import Period
from analytics.tests.history import History, make_history
from analytics.totals import By, Filters, before, read_groups, read_totals
from conversations.models import Conversation, Message
from conversations.tests.factories import make_persona
from personas.models import Persona

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 10, tzinfo=UTC)
SPAN = "from=2026-03-09&to=2026-03-16"
PERIOD = Period(date(2026, 3, 9), date(2026, 3, 16), ZoneInfo("UTC"))
PATHS = ("metrics", "figures", "series", "cohorts", "faqs")


@pytest.fixture
def personas(db: None) -> list[Persona]:
    return [make_persona(slug="support", name="Support"), make_persona(slug="other", name="-Other")]


@pytest.fixture
def history(personas: list[Persona]) -> History:
    """Of many people, so that every persona, channel and language has enough of them."""
    made = make_history(1, [make_user() for _ in range(30)], personas, START, 4.5, size=120)
    rollups.rebuild()
    return made


@pytest.fixture
def client(moderator: User) -> ApiClient:
    return ApiClient.of(moderator)


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def plain(value: Any) -> Any:
    return None if value is None else pytest.approx(float(value))


# --- who may


@pytest.mark.parametrize("path", PATHS)
def test_moderators_and_admins_only(moderator: User, admin: User, owner: User, guest: User, path: str) -> None:
    assert refusal(ApiClient().get(f"analytics/{path}")) == (401, "signed_out")
    for person in (owner, guest):
        assert refusal(ApiClient.of(person).get(f"analytics/{path}")) == (403, "forbidden")
        assert refusal(ApiClient.of(person).get(f"analytics/{path}?format=csv")) == (403, "forbidden")
    assert refusal(ApiClient.with_key(owner, *Scope).get(f"analytics/{path}")) == (403, "forbidden")
    assert refusal(ApiClient.with_key(moderator, Scope.READ).get(f"analytics/{path}")) == (403, "scope_missing")
    for client in (ApiClient.of(moderator), ApiClient.of(admin), ApiClient.with_key(admin, Scope.STAFF)):
        body = client.get(f"analytics/{path}").json()
        assert (body["timezone"], body["counted_until"]) == ("UTC", None)


# --- metrics


def test_every_figure_is_told_in_the_callers_language(moderator: User) -> None:
    items = ApiClient.of(moderator).get("analytics/metrics").json()["items"]
    assert [item["name"] for item in items] == list(METRICS)
    german = ApiClient.of(make_moderator(language="de")).get("analytics/metrics").json()["items"]
    with translation.override("de"):
        assert [item["label"] for item in german] == [str(metric.label) for metric in METRICS.values()]
    assert items[0]["label"] != german[0]["label"]


# --- figures


def test_figures_are_those_of_rollups(client: ApiClient, history: History) -> None:
    body = client.get(f"analytics/figures?{SPAN}").json()
    wanted = values(read_totals(PERIOD))
    assert {item["name"]: item["value"] for item in body["items"]} == {name: plain(v) for name, v in wanted.items()}
    assert not any(item["suppressed"] for item in body["items"])
    asked = sum(m.role == "user" and m.created_at < PERIOD.bounds[-1] for m in history.messages)
    assert next(item["value"] for item in body["items"] if item["name"] == "questions") == asked
    assert (body["from"], body["to"], body["timezone"]) == ("2026-03-09", "2026-03-16", "UTC")
    until = RollupState.objects.get().counted_until
    assert datetime.fromisoformat(body["counted_until"]) == until


def test_some_figures_beside_those_of_the_days_before(client: ApiClient, history: History) -> None:
    query = "metrics=questions,satisfaction&from=2026-03-13&to=2026-03-14&compare=before"
    body = client.get(f"analytics/figures?{query}").json()
    period = Period(date(2026, 3, 13), date(2026, 3, 14), ZoneInfo("UTC"))
    assert body["before"] == {"from": "2026-03-11", "to": "2026-03-12"}
    assert [(item["name"], item["value"], item["before"]) for item in body["items"]] == [
        (name, plain(values(read_totals(period))[name]), plain(values(read_totals(before(period)))[name]))
        for name in ("questions", "satisfaction")
    ]
    assert client.get(f"analytics/figures?{SPAN}").json()["before"] is None


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ("persona=support", lambda persona: Filters(persona=persona.pk)),
        ("persona=support&version=1", lambda persona: Filters(persona=persona.pk, version=persona.published_id)),
        ("model=acme/big", lambda persona: Filters(model="acme/big")),
        ("language=de", lambda persona: Filters(language="de")),
        ("language=unknown", lambda persona: Filters(language="")),
        ("channel=openai", lambda persona: Filters(channel="openai")),
    ],
)
def test_filters_narrow(client: ApiClient, history: History, personas: list[Persona], query: str, filters: Any) -> None:
    wanted = read_totals(PERIOD, filters(personas[0]))
    body = client.get(f"analytics/figures?{SPAN}&metrics=replies,questions,blocked&{query}").json()
    replies, questions, blocked = (item["value"] for item in body["items"])
    assert replies == wanted.replies > 0
    assert questions == (None if "model" in query else wanted.questions), "a question has no model"
    assert blocked is None, "not counted by any filter"


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("figures", "metrics=", "metrics"),
        ("figures", "metrics=questions,nonsense", "metrics"),
        ("figures", "compare=after", "compare"),
        ("figures", "persona=nobody", "persona"),
        ("figures", "persona=a%20b", "persona"),
        ("figures", "version=1", "version"),
        ("figures", "persona=support&version=7", "version"),
        ("figures", "persona=support&version=0", "version"),
        ("figures", f"model={'x' * 201}", "model"),
        ("figures", "language=DE!", "language"),
        ("figures", "channel=pigeon", "channel"),
        ("figures", "from=2026-01-02&to=2026-01-01", "from"),
        ("figures", "from=2023-12-31&to=2024-12-31", "from"),
        ("figures", "format=xml", "format"),
        ("series", "by=moon", "by"),
        ("series", "metrics=active_weekly", "metrics"),
        ("series", "by=hour&from=2026-01-01&to=2026-02-01", "from"),
        ("cohorts", "by=day", "by"),
        ("faqs", "show=best", "show"),
        ("faqs", "cursor=x", "cursor"),
        ("faqs", "limit=0", "limit"),
        ("cohorts", "to=yesterday", "to"),
        ("metrics", "format=pdf", "format"),
    ],
)
def test_what_cannot_be_asked_for_is_named(
    client: ApiClient, personas: list[Persona], path: str, query: str, field: str
) -> None:
    for way in (query, query if "format" in query else f"{query}&format=csv"):
        answer = client.get(f"analytics/{path}?{way}")
        assert refusal(answer) == (400, "invalid")
        assert list(answer.json()["fields"]) == [field]
        assert answer.headers["Content-Type"] == "application/problem+json"


# --- series


@pytest.mark.parametrize("by", [By.DAY, By.WEEK, By.MONTH, By.PERSONA, By.MODEL, By.LANGUAGE, By.CHANNEL])
def test_a_series_is_what_the_groups_are(client: ApiClient, history: History, by: By) -> None:
    body = client.get(f"analytics/series?{SPAN}&by={by}&metrics=replies,first_token_p95").json()
    groups = read_groups(PERIOD, by)
    told = [item["values"]["replies"] for item in body["items"] if item["values"]["replies"]]
    assert sorted(told) == sorted(totals.replies for totals in groups.values() if totals.replies)
    assert sum(told) == read_totals(PERIOD).replies
    assert body["by"] == by.value


def test_by_hour_of_the_week_there_are_questions_alone(client: ApiClient, history: History) -> None:
    body = client.get(f"analytics/series?{SPAN}&by=hour_of_week").json()
    assert body["metrics"] == ["questions"]
    refused = client.get(f"analytics/series?{SPAN}&by=hour_of_week&metrics=replies")
    assert refused.status_code == 400
    assert list(refused.json()["fields"]) == ["metrics"]


def test_over_time_every_point_is_there_in_order(client: ApiClient, history: History) -> None:
    def keys(by: str, span: str = SPAN) -> list[str]:
        items = client.get(f"analytics/series?{span}&by={by}&metrics=questions").json()["items"]
        return [item["key"] for item in items]

    assert keys("day") == [str(day) for day in PERIOD.days]
    assert keys("week") == ["2026-03-09", "2026-03-16"]
    assert keys("month", "from=2025-12-31&to=2026-02-01") == ["2025-12-01", "2026-01-01", "2026-02-01"]
    assert keys("hour_of_week") == [str(hour) for hour in range(168)]
    assert len(keys("hour")) == 8 * 24
    assert keys("hour")[1] == "2026-03-09T01:00:00+00:00"
    assert keys("persona") == ["other", "support"]
    assert keys("version") == ["other/1", "support/1"]
    assert keys("language") == ["unknown", "de", "en"]


def test_an_hour_that_the_clocks_leave_out_is_none(client: ApiClient, settings: Any) -> None:
    settings.REPORT_TIME_ZONE = "Europe/Berlin"
    day = "from=2026-03-29&to=2026-03-29"
    items = client.get(f"analytics/series?{day}&by=hour&metrics=questions").json()["items"]
    assert [item["key"] for item in items][1:3] == ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]
    assert len(items) == 23


def test_what_is_not_counted_by_model_is_null_there(client: ApiClient, history: History) -> None:
    items = client.get(f"analytics/series?{SPAN}&by=model&metrics=questions,replies").json()["items"]
    assert {item["values"]["questions"] for item in items} == {None}
    assert all(item["values"]["replies"] for item in items)


# --- few people


def ask(person: User, persona: Persona) -> None:
    common = {"owner": person, "created_at": START}
    conversation = Conversation.objects.create(persona_version=persona.published, title="x", updated_at=START, **common)
    Message.objects.create(conversation=conversation, role="user", status="sent", text="?", **common)


def test_what_may_be_of_few_is_marked_and_not_told(client: ApiClient, personas: list[Persona]) -> None:
    third = make_persona(slug="third")
    people = [make_user() for _ in range(7)]
    for person in people:
        ask(person, personas[0])
    for person in people[:5]:
        ask(person, third)
    ask(people[0], personas[1])
    rollups.rebuild()
    body = client.get(f"analytics/series?{SPAN}&by=persona&metrics=questions").json()
    told = {item["key"]: (item["suppressed"], item["values"]["questions"]) for item in body["items"]}
    assert told == {"support": (False, 7), "other": (True, None), "third": (True, None)}
    (item,) = client.get(f"analytics/figures?{SPAN}&metrics=questions&persona=other").json()["items"]
    assert (item["value"], item["suppressed"]) == (None, True)
    (line,) = table(client.get(f"analytics/figures?{SPAN}&metrics=questions&persona=other&format=csv"))
    assert (line["value"], line["suppressed"]) == ("", "true")
    (item,) = client.get(f"analytics/figures?{SPAN}&metrics=satisfaction&persona=support").json()["items"]
    assert (item["value"], item["suppressed"]) == (None, False), "there is none, which is something else"
    days = client.get(f"analytics/series?{SPAN}&by=day&metrics=questions&persona=other").json()["items"]
    assert {(item["suppressed"], item["values"]["questions"]) for item in days} == {(True, None), (False, 0)}


def test_cohorts_hide_what_is_of_few(client: ApiClient) -> None:
    weeks = [datetime(2026, 3, 2, tzinfo=UTC) + timedelta(weeks=number) for number in range(3)]
    for began, start, people in ((0, 0, 20), (0, 1, 8), (1, 1, 30), (1, 2, 3)):
        Cohort.objects.create(grain=Grain.WEEK, began=weeks[began], start=weeks[start], people=people)
    body = client.get("analytics/cohorts?from=2026-03-04&to=2026-03-17").json()
    told = {
        (item["began"], each["start"]): (each["people"], each["suppressed"])
        for item in body["items"]
        for each in item["items"]
    }
    assert told == {
        ("2026-03-02", "2026-03-02"): (20, False),
        ("2026-03-02", "2026-03-09"): (8, False),
        ("2026-03-02", "2026-03-16"): (0, False),
        ("2026-03-09", "2026-03-09"): (30, False),
        ("2026-03-09", "2026-03-16"): (None, True),
    }
    lines = table(client.get("analytics/cohorts?from=2026-03-04&to=2026-03-17&format=csv"))
    assert [line["people"] for line in lines] == ["20", "8", "0", "30", ""]


# --- CSV


def test_the_same_comes_as_csv_by_the_query_or_by_what_is_accepted(client: ApiClient, history: History) -> None:
    path = f"analytics/series?{SPAN}&by=persona&metrics=questions,satisfaction"
    asked, accepted = client.get(f"{path}&format=csv"), client.get(path, Accept="text/csv")
    assert asked.content == accepted.content
    assert asked.headers["Content-Disposition"] == 'attachment; filename="series-persona.csv"'
    assert "Accept" in accepted.headers["Vary"]
    items = client.get(path).json()["items"]
    lines = table(asked)
    assert list(lines[0]) == ["key", "label", "suppressed", "questions", "satisfaction"]
    assert [float(line["questions"]) for line in lines] == [item["values"]["questions"] for item in items]
    assert lines[0]["label"] == "'-Other", "a spreadsheet calculates nothing of it"
    plain_json = client.get(f"{path}&format=json", Accept="text/csv")
    assert plain_json.headers["Content-Type"] == "application/json"
    assert refusal(client.get(path, Accept="image/png")) == (406, "not_acceptable")
    for other in ("metrics", f"figures?{SPAN}"):
        assert table(client.get(f"analytics/{other}", Accept="text/csv"))


# --- cost


def test_a_year_takes_as_few_queries_as_a_day(
    client: ApiClient, history: History, django_assert_max_num_queries: Any
) -> None:
    for path, most in (
        ("figures?compare=before", 18),
        ("figures?persona=support", 16),
        ("series?by=week", 7),
        ("series?by=persona", 9),
        ("series?by=version", 14),
        ("cohorts?by=month", 4),
        ("metrics?format=json", 3),
    ):
        for span in ("from=2026-03-10&to=2026-03-10", "from=2025-04-01&to=2026-03-31"):
            with django_assert_max_num_queries(most):
                assert client.get(f"analytics/{path}&{span}").status_code == 200
