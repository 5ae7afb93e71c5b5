"""What people read of their own data is in their language; what programs read is the same for all."""

import io
import json
import zipfile

import pytest
from django.test import Client
from django.utils import translation

from accounts.models import DataRequest, User
from accounts.privacy import exports, registry
from accounts.privacy.archive import parts
from accounts.privacy.labels import LABELS
from accounts.privacy.tasks import make_export
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import make_user
from conversations.tests.factories import make_conversation, make_persona

pytestmark = pytest.mark.django_db


def copy_of(person: User) -> zipfile.ZipFile:
    request = exports.request_export(user=person)
    make_export(str(request.pk))
    data = exports.take_export(user=person, request_id=request.pk)
    assert data is not None
    return zipfile.ZipFile(io.BytesIO(b"".join(data)))


def german() -> User:
    person = make_user("ada@example.org", "correct horse battery", language="de")
    make_conversation(person, persona=make_persona())
    return person


def test_a_copy_is_read_in_the_persons_language_whatever_the_workers_is() -> None:
    file = copy_of(german())
    assert translation.get_language() == "en"
    index = file.read("index.html").decode()
    assert '<html lang="de">' in index
    assert "Ihre Daten" in index
    page = file.read("pages/messages-1.html").decode()
    assert '<html lang="de">' in page
    assert "Fragen und Antworten" in page
    for english in ("created", "question", "completed", ">user<", "true"):
        assert english not in page, english
    account = file.read("pages/account-1.html").decode()
    assert "<dt>Gast</dt><dd>nein</dd>" in account


def test_what_programs_read_is_the_same_in_all_languages() -> None:
    file = copy_of(german())
    told = json.loads(file.read("data/messages.json"))
    assert told["about"] == "Questions and replies of all branches"
    assert {row["status"] for row in told["rows"]} == {"sent", "completed"}
    assert {"created_at", "status", "role"} <= {*told["rows"][0]}


def test_in_english_it_is_english() -> None:
    person = make_user()
    make_conversation(person, persona=make_persona())
    page = copy_of(person).read("pages/messages-1.html").decode()
    assert '<html lang="en">' in page
    assert "<dt>status</dt><dd>completed</dd>" in page


def test_who_chose_no_language_reads_it_as_they_read_the_page_where_they_asked() -> None:
    person = make_user()
    client = Client(headers={"Accept-Language": "de"})
    client.force_login(person)
    client.post("/privacy/export/")
    request = DataRequest.objects.get()
    make_export(str(request.pk))
    data = exports.take_export(user=person, request_id=request.pk)
    assert data is not None
    assert "Ihre Daten" in zipfile.ZipFile(io.BytesIO(b"".join(data))).read("index.html").decode()


def test_every_field_of_a_copy_has_a_name_for_people() -> None:
    assert {field for part in parts() for field in part.fields} == {*LABELS}


def test_every_description_that_people_read_is_translated() -> None:
    told = [each.about for each in registry.personal_data()] + [each.about for each in registry.sections()]
    with translation.override("de"):
        english = [about for about in told if translation.gettext(about) == about]
    assert english == []


def test_the_plan_of_an_erasure_is_in_the_persons_language() -> None:
    person = german()
    client = Client(headers={"Accept-Language": "de"})
    client.force_login(person)
    page = client.get("/privacy/erase/").content.decode()
    assert "Fragen und Antworten" in page
    assert "Questions and replies" not in page
    assert not DataRequest.objects.exists()
    answer = ApiClient.of(person).call("get", "privacy/erasure", None, **{"Accept-Language": "de"})
    assert "Fragen und Antworten" in json.dumps(answer.json(), ensure_ascii=False)
