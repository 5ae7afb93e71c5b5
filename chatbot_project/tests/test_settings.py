"""What the settings say of servers that are gone without a word."""

import socket

import psycopg
import pytest

from chatbot_project.settings import _database

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
