"""Settings from the environment: what does not parse stops the start with the variable's name, never its value."""

from collections.abc import Callable
from typing import Any

import pytest

from chatbot_project.lib import env

SECRET = "s3cr3t-value"


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda value: monkeypatch.setenv("X_TEST", value)


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_variable_is_an_unset_one(variable: Callable[[str], None], value: str) -> None:
    variable(value)
    assert env.text("X_TEST", "default") == "default"
    assert env.flag("X_TEST", True) is True
    assert env.whole("X_TEST", 7) == 7
    assert env.fraction("X_TEST", 0.5) == 0.5
    assert env.words("X_TEST", ["a"]) == ["a"]
    assert env.choice("X_TEST", "a", {"a", "b"}) == "a"
    assert env.json_object("X_TEST") == {}
    assert env.url("X_TEST", "http://x", {"http"}) == "http://x"


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (lambda: env.text("X_TEST"), "  a b ", "a b"),
        (lambda: env.flag("X_TEST", False), "YES", True),
        (lambda: env.flag("X_TEST", True), "off", False),
        (lambda: env.whole("X_TEST", 1, minimum=-5), "-5", -5),
        (lambda: env.whole("X_TEST", 1, maximum=9), " 9 ", 9),
        (lambda: env.fraction("X_TEST", 0.5), "0", 0.0),
        (lambda: env.fraction("X_TEST", 0.5), " 1.0 ", 1.0),
        (lambda: env.words("X_TEST"), "a, b,,c ,", ["a", "b", "c"]),
        (lambda: env.choice("X_TEST", "a", {"a", "b"}), "b", "b"),
        (lambda: env.json_object("X_TEST"), '{"a": {"b": 1}}', {"a": {"b": 1}}),
        (lambda: env.url("X_TEST", "", {"http", "https"}), "https://x.y/z", "https://x.y/z"),
    ],
)
def test_a_good_value_is_read(
    variable: Callable[[str], None], read: Callable[[], Any], value: str, expected: object
) -> None:
    variable(value)
    assert read() == expected


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (lambda: env.flag("X_TEST", False), [SECRET, "2", "tru", "y es"]),
        (lambda: env.whole("X_TEST", 1, minimum=0, maximum=9), [SECRET, "10", "-1", "1.5", "1e1", "0x1", "9" * 5000]),
        (lambda: env.fraction("X_TEST", 0.5), [SECRET, "1.01", "-0.1", "nan", "inf", "50%"]),
        (lambda: env.choice("X_TEST", "a", {"a", "b"}), [SECRET, "A"]),
        (lambda: env.json_object("X_TEST"), [SECRET, "[1]", "1", "null", '{"a":', '"x"']),
        (lambda: env.url("X_TEST", "", {"http"}), [SECRET, "ftp://" + SECRET, "//x", "http"]),
    ],
)
def test_a_bad_value_is_refused_by_name_and_not_repeated(
    variable: Callable[[str], None], read: Callable[[], Any], values: list[str]
) -> None:
    for value in values:
        variable(value)
        with pytest.raises(env.BadSetting, match="X_TEST") as refused:
            read()
        assert SECRET not in str(refused.value)
