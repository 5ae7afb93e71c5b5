"""Charts: what goes into the page, and that it is whole for few points, for none and for many."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.utils import translation

from analytics.charts import MOST_DOTS, Chart, Kind, Series, Tone, scale


def chart(kind: Kind, *values: list[float | None], title: str = "Questions") -> Chart:
    number = len(values[0])
    return Chart(
        key="questions",
        title=title,
        kind=kind,
        labels=[f"{day} Nov" for day in range(1, number + 1)],
        series=[
            Series(f"of {place}", each, tone) for place, (each, tone) in enumerate(zip(values, Tone, strict=False))
        ],
        shown=lambda value: f"{value:g} pieces",
    )


def drawn(of: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(of.svg)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("number", [1, 2, 7, 53, 365])
def test_a_picture_has_no_style_no_script_and_a_name(kind: Kind, number: int) -> None:
    picture = drawn(chart(kind, [day % 5 for day in range(1, number + 1)], [1] * number))
    tags = {part.tag for part in picture.iter()}
    assert tags <= {"svg", "title", "desc", "g", "path", "rect", "circle", "text"}
    assert not any(name.startswith("on") or name == "style" for part in picture.iter() for name in part.attrib)
    assert picture.get("role") == "img"
    names = {part.get("id"): part.text for part in picture if part.tag in ("title", "desc")}
    assert picture.get("aria-labelledby") == " ".join(names)
    assert names["questions-title"] == "Questions"
    assert "of 0: between" in names["questions-about"]


def test_names_are_escaped() -> None:
    picture = chart(Kind.BARS, [1, 2], title="<script>alert(1)</script> & more").svg
    assert "<script" not in picture
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in picture


def test_each_point_tells_its_day_and_value() -> None:
    told = [part.text for part in drawn(chart(Kind.BARS, [3, 0, 5])).iter("title")]
    assert told[1:] == ["1 Nov: 3 pieces of 0", "2 Nov: 0 pieces of 0", "3 Nov: 5 pieces of 0"]


def test_a_line_is_interrupted_where_nothing_is_known_and_a_lonely_point_shows() -> None:
    values: list[float | None] = [1.0] * MOST_DOTS + [None, 2.0, None, 1.0, 1.0]
    picture = drawn(chart(Kind.LINES, values))
    assert len(picture.findall(".//path[@class='line reactive nofill']")) == 2
    shown = picture.findall(".//circle[@class='dot dot-shown']")
    assert len(shown) == 1
    assert len(list(picture.iter("circle"))) == len(values) - 2


def test_one_point_is_seen() -> None:
    assert drawn(chart(Kind.LINES, [4.0])).findall(".//circle[@class='dot dot-shown']")
    (bar,) = drawn(chart(Kind.BARS, [4])).iter("rect")
    assert float(bar.get("width", "")) < 40  # not a wall
    assert float(bar.get("height", "")) > 100


@pytest.mark.parametrize("values", [[], [None, None], [0, 0]])
def test_nothing_is_no_picture(values: list[float | None]) -> None:
    assert chart(Kind.LINES, values).is_empty


def test_the_table_has_all_that_the_picture_shows() -> None:
    assert chart(Kind.LINES, [1, None], [2, 3]).rows == [
        ("1 Nov", "", ["1 pieces", "2 pieces"]),
        ("2 Nov", "", ["–", "3 pieces"]),
    ]


@pytest.mark.parametrize(
    ("highest", "whole", "marks"),
    [
        (1, True, [0, 1]),
        (3, True, [0, 1, 2, 3]),
        (7, True, [0, 2, 4, 6, 8]),
        (1234, True, [0, 500, 1000, 1500]),
        (0.37, False, [0, 0.1, 0.2, 0.3, 0.4]),
        (0, True, [0, 1]),
    ],
)
def test_an_axis_has_round_numbers_up_to_the_highest(highest: float, whole: bool, marks: list[float]) -> None:
    assert scale(highest, whole=whole) == pytest.approx(marks)


def test_an_axis_reaches_the_highest_and_has_few_marks() -> None:
    for highest in [part / 7 for part in range(1, 3000)]:
        marks = scale(highest, whole=highest > 50)
        assert marks[-1] >= highest * 0.998
        assert len(marks) <= 6


def test_labels_do_not_stand_on_each_other() -> None:
    picture = drawn(chart(Kind.BARS, [1] * 92))
    axis = picture.find(".//g[@class='axis x']")
    assert axis is not None
    places = [float(text.get("x", "")) for text in axis.iter("text")]
    assert len(places) <= 6
    assert min(right - left for left, right in pairwise(places)) > 60


def test_numbers_of_the_picture_are_short() -> None:
    assert not re.search(r' (?:x|y|cx|cy|width|height)="-?[0-9]+\.[0-9]{2,}"', chart(Kind.BARS, [1] * 30).svg)


def test_what_looks_the_same_is_drawn_once_and_what_does_not_anew() -> None:
    assert chart(Kind.BARS, [1, 2]).svg is chart(Kind.BARS, [1, 2]).svg
    others = [chart(Kind.LINES, [1, 2]), chart(Kind.BARS, [1, 3]), chart(Kind.BARS, [1, 2], title="Other")]
    assert len({each.svg for each in [chart(Kind.BARS, [1, 2]), *others]}) == 4
    with translation.override("de"):
        assert "zwischen" in chart(Kind.BARS, [1, 2]).svg
