from personas.diffs import FieldDiff, Line, diff_content


def test_equal_content_has_no_difference() -> None:
    assert diff_content({"a": "x", "b": [1]}, {"a": "x", "b": [1]}) == []


def test_only_fields_that_differ_are_shown_line_by_line() -> None:
    old = {"name": "A", "prompt": "one\ntwo\nthree", "suggestions": ["x", "y"], "temperature": 0.5, "emoji": ""}
    new = {"name": "A", "prompt": "one\n2\nthree\n", "suggestions": ["y"], "temperature": 0.7, "emoji": "🙂"}
    assert diff_content(old, new) == [
        FieldDiff(
            "prompt",
            [
                Line("same", "one"), Line("removed", "two"), Line("added", "2"), Line("same", "three"),
                Line("added", ""),
            ],
        ),
        FieldDiff("suggestions", [Line("removed", "x"), Line("same", "y")]),
        FieldDiff("temperature", [Line("removed", "0.5"), Line("added", "0.7")]),
        FieldDiff("emoji", [Line("added", "🙂")]),
    ]  # fmt: skip
