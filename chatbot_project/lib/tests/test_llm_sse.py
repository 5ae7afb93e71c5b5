"""From a stream's bytes to text, without a network."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.llm.errors import (
    LLMError,
    LLMMalformed,
    LLMRateLimited,
    LLMRefused,
    LLMTooLarge,
    LLMUnavailable,
)
from chatbot_project.lib.llm.sse import StreamParser
from chatbot_project.lib.llm.types import Bounds


def make_parser(**bounds):
    return StreamParser("fake/model", Bounds(**bounds))


def chunk(content=None, *, finish_reason=None, **more):
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}], **more}


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def reply(*texts):
    """A whole, proper stream."""
    return b"".join(event(chunk(text)) for text in texts) + event(chunk(finish_reason="stop")) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("counts", [(7, -1), (-1, 2), (7, 2**31), (2**40, 2), (7, None)])
def test_counts_that_cannot_be_are_none(counts):
    usage = dict(zip(("prompt_tokens", "completion_tokens"), counts, strict=True))
    parser = make_parser()
    parser.feed(event(chunk("a")) + event(chunk(finish_reason="st\0p")) + event({"choices": [], "usage": usage}))
    assert (parser.usage, parser.finish_reason) == (None, "st\N{REPLACEMENT CHARACTER}p")


def test_text_finish_reason_usage_and_done_are_read():
    parser = make_parser()
    usage = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
    stream = event(chunk("Hel")) + event(chunk("lo")) + event(chunk(finish_reason="stop")) + usage + b"data: [DONE]\n\n"
    assert parser.feed(stream) == "Hello"
    assert (parser.finish_reason, parser.usage, parser.done) == ("stop", (7, 2), True)


@st.composite
def streams_in_pieces(draw):
    """Any texts, with any line ends, comments and escapes, cut anywhere, also within a character and a line end."""
    texts = draw(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)))
    line_end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    ascii_only = draw(st.booleans())
    stream = b""
    for text in texts:
        stream += draw(st.sampled_from([b"", b": keep-alive\n\n", b"event: message\n", b"id: 4\nretry: 10\n", b"\n"]))
        payload = json.dumps(chunk(text), ensure_ascii=ascii_only).encode()
        stream += draw(st.sampled_from([b"data: ", b"data:"])) + payload + b"\n\n"
    stream += event(chunk(finish_reason="stop")) + b"data: [DONE]\n\n"
    stream = stream.replace(b"\n", line_end)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return "".join(texts), pieces


@given(streams_in_pieces())
def test_any_chunking_and_any_line_ends_give_the_same_text(case):
    text, pieces = case
    parser = make_parser()
    assert "".join(map(parser.feed, pieces)) + parser.end() == text
    assert parser.finish_reason == "stop"
    assert parser.done


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_raise_anything_but_a_model_error(data, size):
    parser = make_parser(line=100)
    try:
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])
        parser.end()
    except LLMError:
        assert parser.failure is not None


def test_an_event_of_several_data_lines_is_one():
    payload = json.dumps(chunk("both lines"), indent=1).encode()
    assert make_parser().feed(b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n") == "both lines"


def test_a_last_event_without_its_blank_line_counts():
    parser = make_parser()
    parser.feed(event(chunk("x")) + event(chunk(finish_reason="length"))[:-2])
    assert parser.end() == ""
    assert parser.finish_reason == "length"


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (event({"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]}), ""),
        (event({"choices": [{"delta": {"reasoning_content": "hm", "content": ""}}]}) + event(chunk("x")), "x"),
        (event({"choices": [{"delta": {}}], "usage": None, "error": None, "timings": {"a": [1]}}), ""),
        (event({"choices": None}) + event({"choices": []}) + event({"object": "x"}), ""),
        (event({"choices": [{"index": 0, "finish_reason": ""}]}), ""),
        (b"\xef\xbb\xbf\n\n" + event(chunk("x")), "x"),
        (b"data\n\ndata: \n\n:\n\n" + event(chunk("x")), "x"),
    ],
)
def test_quirks_of_servers_are_no_faults(stream, text):
    parser = make_parser()
    assert parser.feed(stream) == text
    assert parser.finish_reason is None


def test_reasoning_is_progress_but_no_text():
    parser = make_parser()
    assert parser.feed(event({"choices": [{"delta": {"reasoning_content": "hm"}}]})) == ""
    assert parser.progress == 1
    parser.feed(b": keep-alive\n\n" + event({"choices": []}) + event(chunk("")))
    assert parser.progress == 1


def test_what_follows_the_finish_reason_is_no_text():
    parser = make_parser()
    assert parser.feed(event(chunk("a")) + event(chunk(finish_reason="stop")) + event(chunk("b"))) == "a"


def test_nul_and_lone_surrogates_become_replacement_characters():
    parser = make_parser()
    stream = b'data: {"choices":[{"delta":{"content":"a\\u0000b\\ud800c\\udc00"}}]}\n\n'
    assert parser.feed(stream) == "a\ufffdb\ufffdc\ufffd"


def test_a_character_whose_surrogates_come_in_two_events_is_whole():
    parser = make_parser()
    first, second = (
        b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % half for half in (b"x\\ud83d", b"\\ude00y")
    )
    assert parser.feed(first) + parser.feed(second) == "x😀y"
    assert parser.feed(first) + parser.end() == "x\ufffd"


def test_broken_utf8_becomes_replacement_characters():
    assert make_parser().feed(b'data: {"choices":[{"delta":{"content":"a\xff"}}]}\n\n') == "a\ufffd"


@pytest.mark.parametrize(
    "stream",
    [
        b'data: {"choices": [{"delta": {"conte\n\n',
        b"data: hello\n\n",
        b"<!doctype html>\n<html></html>\n\n",
        b'data: {"choices": [{"delta": {"content": ["x"]}}]}\n\n',
        b'data: {"choices": 3}\n\n',
        b'data: {"x": ' + b"[" * 100_000 + b"\n\n",
    ],
)
def test_what_is_no_chunk_is_malformed(stream):
    with pytest.raises(LLMMalformed):
        make_parser().feed(stream)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom", "type": "server_error", "code": 500}, LLMUnavailable),
        ({"message": "boom", "code": "429"}, LLMRateLimited),
        ({"message": "boom", "type": "rate_limit_exceeded"}, LLMRateLimited),
        ({"message": "boom", "code": 400}, LLMRefused),
        ({"message": "boom", "code": "content_filter"}, LLMRefused),
        ("boom", LLMUnavailable),
        ({}, LLMUnavailable),
    ],
)
def test_an_error_in_the_stream_is_told_by_its_kind_and_never_quoted(error, kind):
    with pytest.raises(kind) as caught:
        make_parser().feed(event({"error": error}))
    assert "boom" not in caught.value.detail


@pytest.mark.parametrize(
    "stream", [b'event: error\ndata: {"message":"x"}\n\n', b'error: {"code":500,"message":"x"}\n\n']
)
def test_an_error_event_of_another_shape_is_an_error(stream):
    with pytest.raises(LLMUnavailable):
        make_parser().feed(stream)


def test_text_before_a_fault_is_given_first_then_the_fault_every_time():
    parser = make_parser()
    assert parser.feed(event(chunk("kept")) + b"data: {\n\n" + event(chunk("lost"))) == "kept"
    for _ in range(2):
        with pytest.raises(LLMMalformed):
            parser.feed(event(chunk("lost")))


def test_a_line_and_a_reply_have_bounds():
    with pytest.raises(LLMTooLarge):
        make_parser(line=100).feed(b"data: " + b"x" * 101)
    parser = make_parser(reply=10)
    assert parser.feed(event(chunk("123456789"))) == "123456789"
    assert parser.feed(event(chunk("ab"))) == "a"
    with pytest.raises(LLMTooLarge):
        parser.feed(event(chunk("c")))


def test_what_passes_the_bound_with_its_proper_end_is_cut_off_all_the_same():
    parser = make_parser(reply=10)
    assert parser.feed(reply("123456789", "ab")) == "123456789a"
    assert (parser.finish_reason, parser.done) == (None, False)
    with pytest.raises(LLMTooLarge):
        parser.end()


def test_a_proper_reply_ends_whatever_follows_done():
    parser = make_parser()
    assert parser.feed(reply("a", "b")) == "ab"
    assert parser.end() == ""
