"""What a model is asked: pure, so every rule is a property of any conversation."""

from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.llm.tokens import estimate_tokens
from chatbot_project.lib.pii import Pseudonyms
from conversations.replies.prompt import (
    CONTINUE,
    INSTRUCTIONS_HEAD,
    MESSAGE_OVERHEAD,
    SUMMARY_HEAD,
    Turn,
    build_prompt,
    cost_of_instructions,
)


def talk(*texts: str) -> list[Turn]:
    """Questions and replies in turn, the last one a question."""
    return [Turn("user" if (len(texts) - place) % 2 else "assistant", text) for place, text in enumerate(texts)]


talks = st.lists(st.text(min_size=1, max_size=400), min_size=1, max_size=21).map(lambda texts: talk(*texts))


def test_the_persona_comes_first_and_the_question_last() -> None:
    prompt = build_prompt(system_prompt="Be kind.", turns=talk("Hi", "Hello", "How are you?"), budget=1000)
    assert [(m.role, m.content) for m in prompt.messages] == [
        ("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "How are you?"),
    ]  # fmt: skip
    assert prompt.first_kept == 0


@given(turns=talks, budget=st.integers(0, 1500), continued=st.text(max_size=50))
def test_what_is_kept_is_the_newest_part_that_fits(turns: list[Turn], budget: int, continued: str) -> None:
    prompt = build_prompt(system_prompt="Be kind.", turns=turns, budget=budget, continued=continued)
    kept = [Turn(m.role, m.content) for m in prompt.messages[1:]]
    if continued:
        assert [turn.text for turn in kept[-2:]] == [continued, CONTINUE]
        kept = kept[:-2]
    assert kept == turns[prompt.first_kept :]
    assert kept[-1] == turns[-1], "the question always goes"
    assert kept[0].role == "user", "a window never begins with a reply"
    cost = sum(estimate_tokens(m.content) + MESSAGE_OVERHEAD for m in prompt.messages)
    assert prompt.tokens == cost
    assert cost <= budget or prompt.first_kept == len(turns) - 1


@given(turns=talks, budget=st.integers(0, 1500))
def test_no_more_would_have_fitted(turns: list[Turn], budget: int) -> None:
    prompt = build_prompt(system_prompt="Be kind.", turns=turns, budget=budget)
    if prompt.first_kept >= 2:
        two_more = turns[prompt.first_kept - 2 : prompt.first_kept]
        more = sum(estimate_tokens(turn.text) + MESSAGE_OVERHEAD for turn in two_more)
        assert prompt.tokens + more > budget


@given(st.text(max_size=2000))
def test_a_question_over_the_budget_still_goes(question: str) -> None:
    prompt = build_prompt(system_prompt="x" * 400, turns=talk("before", "reply", question or "?"), budget=10)
    assert [m.content for m in prompt.messages[1:]] == [question or "?"]


def test_the_summary_stands_for_what_no_longer_fits() -> None:
    turns = talk("a" * 400, "b" * 400, "c" * 400, "d" * 400, "last")
    prompt = build_prompt(system_prompt="S", turns=turns, budget=150, summary="They met.", summarised=2)
    assert prompt.messages[0].content == f"S\n\n{SUMMARY_HEAD}They met."
    assert prompt.first_kept > 0


def test_where_all_fits_there_is_no_summary() -> None:
    prompt = build_prompt(system_prompt="S", turns=talk("a", "b", "c"), budget=900, summary="They met.", summarised=2)
    assert prompt.messages[0].content == "S"


def test_an_empty_reply_is_left_out() -> None:
    prompt = build_prompt(system_prompt="S", turns=talk("a", "", "c"), budget=900)
    assert [m.content for m in prompt.messages] == ["S", "a", "c"]


def test_a_programs_instructions_stand_below_all_else_that_the_system_says() -> None:
    turns = talk("a" * 400, "b" * 400, "c" * 400, "d" * 400, "last")
    prompt = build_prompt(
        system_prompt="S", turns=turns, budget=260, summary="They met.", summarised=2, instructions="Rhyme."
    )
    assert prompt.messages[0].content == f"S\n\n{SUMMARY_HEAD}They met.\n\n{INSTRUCTIONS_HEAD}Rhyme."
    assert "what stands above holds" in INSTRUCTIONS_HEAD


@given(turns=talks, budget=st.integers(0, 1500), instructions=st.text(min_size=1, max_size=2000))
def test_a_programs_instructions_always_go_and_take_from_the_budget(
    turns: list[Turn], budget: int, instructions: str
) -> None:
    prompt = build_prompt(system_prompt="S", turns=turns, budget=budget, instructions=instructions)
    assert prompt.messages[0].content.endswith(instructions)
    assert prompt.messages[-1].content == turns[-1].text
    cost = sum(estimate_tokens(m.content) + MESSAGE_OVERHEAD for m in prompt.messages)
    assert prompt.tokens == cost
    assert cost <= budget or prompt.first_kept == len(turns) - 1
    without = build_prompt(system_prompt="S", turns=turns, budget=budget)
    assert prompt.first_kept >= without.first_kept


def test_instructions_cost_what_they_add() -> None:
    assert cost_of_instructions("") == 0
    assert cost_of_instructions("Rhyme.") >= estimate_tokens(INSTRUCTIONS_HEAD + "Rhyme.")


def test_models_see_placeholders_in_all_but_the_personas_own_prompt() -> None:
    names = Pseudonyms()
    turns = [
        Turn("user", "I am bob@example.org"),
        Turn("assistant", "Hello bob@example.org"),
        Turn("user", "+49 171 1234567"),
    ]
    prompt = build_prompt(
        system_prompt="Write to help@example.com.",
        turns=turns,
        budget=1000,
        continued="Call +49 171 1234567 or",
        instructions="The user is jo@example.org.",
        pseudonyms=names,
    )
    system, *rest = [message.content for message in prompt.messages]
    assert rest == ["I am [E-MAIL 1]", "Hello [E-MAIL 1]", "[PHONE 1]", "Call [PHONE 1] or", CONTINUE]
    assert system.startswith("Write to help@example.com.\n\n")
    assert system.index(names.note) < system.index(INSTRUCTIONS_HEAD)
    assert system.endswith("The user is [E-MAIL 2].")


def test_the_summary_of_what_no_longer_fits_has_placeholders_too() -> None:
    names = Pseudonyms()
    prompt = build_prompt(
        system_prompt="S",
        turns=[Turn("user", "word " * 400), Turn("assistant", "b"), Turn("user", "me: bob@example.org")],
        budget=120,
        summary="bob@example.org asked",
        summarised=2,
        pseudonyms=names,
    )
    assert prompt.messages[0].content == f"S\n\n{SUMMARY_HEAD}[E-MAIL 1] asked\n\n{names.note}"
    assert prompt.messages[-1].content == "me: [E-MAIL 1]"


def test_without_personal_data_the_prompt_is_the_same() -> None:
    turns = [Turn("user", "Hello?")]
    plain = build_prompt(system_prompt="S", turns=turns, budget=1000, instructions="Be brief.")
    assert (
        build_prompt(system_prompt="S", turns=turns, budget=1000, instructions="Be brief.", pseudonyms=Pseudonyms())
        == plain
    )
