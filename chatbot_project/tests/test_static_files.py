"""Static files as the web process serves them."""

import pytest
from django.test import Client

STYLE = "/static/css/base.css"


def test_a_file_is_served_whole_with_its_type(client: Client) -> None:
    answer = client.get(STYLE)
    assert answer.status_code == 200
    assert answer["Content-Type"] == 'text/css; charset="utf-8"'
    assert not answer.streaming
    assert len(answer.content) == int(answer["Content-Length"])


def test_an_unchanged_file_is_not_sent_again(client: Client) -> None:
    first = client.get(STYLE)
    again = client.get(STYLE, headers={"If-Modified-Since": first["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/static/../manage.py", "/static/%2e%2e/manage.py", "/static/nothing.css"])
def test_nothing_else_is_served(client: Client, db: None, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_range_is_served_as_asked(client: Client) -> None:
    answer = client.get(STYLE, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, len(answer.content)) == (206, 10)
