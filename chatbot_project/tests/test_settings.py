"""What the settings say of servers that are gone without a word."""

import os
import socket
import subprocess
import sys

import psycopg
import pytest

from chatbot_project.settings import BASE_DIR, _database

LIBPQ = ("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")


def test_a_database_whose_host_is_gone_is_given_up_within_half_a_minute_unless_its_address_says_otherwise() -> None:
    options = _database("postgresql://db.example/nono?tcp_user_timeout=0")["OPTIONS"]
    assert isinstance(options, dict)
    assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] <= 30
    assert options["tcp_user_timeout"] == "0"


def test_libpq_takes_these_options_and_gives_up_a_server_that_never_answers() -> None:
    options = _database("postgresql://127.0.0.1/nono?connect_timeout=2")["OPTIONS"]
    assert isinstance(options, dict)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = {name: options[name] for name in LIBPQ}
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(host="127.0.0.1", port=silent.getsockname()[1], user="nono", **given)


def test_user_and_password_of_the_mail_server_are_percent_encoded() -> None:
    shown = "from chatbot_project import settings as s; print(s.EMAIL_HOST, s.EMAIL_HOST_USER, s.EMAIL_HOST_PASSWORD)"
    url = "smtp+tls://bob%40example.org:a%2Fb%23c%3F@mail.example.org:587"
    done = subprocess.run(
        [sys.executable, "-c", shown], cwd=BASE_DIR, env={**os.environ, "EMAIL_URL": url}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["mail.example.org", "bob@example.org", "a/b#c?"]
