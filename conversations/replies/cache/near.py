"""Which questions in other words may be answered alike. Pure.

Vectors of sentences see neither order nor "not" nor whether it is 5 or 50, so that a cosine alone must never decide.
What decides first is that both have the same words, but for those that carry nothing; a cosine may only say no.
"""

import re

# By language: what may be there or not, and what may stand elsewhere. Every other word must be in both, in this order.
_IDLE = {
    "en": "a an the please hi hello hey thanks ok okay",
    "de": "bitte hallo hi hey danke mal",  # articles say there who does what to whom
}
_MOVABLE = {
    "en": "do does did can could would will should may might shall to is are was were be been have has had i we me it "
    "its",
    "de": "ist sind war waren wird werden wurde hat haben hatte kann können könnte muss müssen soll sollen darf dürfen "
    "ich wir mir mich es man zu",
}
_SETS = {language: (frozenset(_IDLE[language].split()), frozenset(_MOVABLE[language].split())) for language in _IDLE}
_SHORT = {
    "en": (
        (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
        (re.compile(r"n't\b"), " not"),
        (re.compile(r"\b(what|where|how|who|when|that|there|it)'s\b"), r"\1 is"),
        (re.compile(r"\bi'm\b"), "i am"),
        (re.compile(r"\b(i|we|you|they)'ve\b"), r"\1 have"),
        (re.compile(r"\b(i|we|you|they|it)'ll\b"), r"\1 will"),
    )
}
# A number with its sign and marks, a word, or any other sign by itself.
_PARTS = re.compile(r"[-+]?\d(?:[\d.,:/-]*\d)?|[^\W\d_]+(?:['.-][^\W\d_]+)*|[^\w\s.,;:!?…'\"()¿¡]")


def outline(question: str, language: str) -> str:
    """What a question in ``language`` must have in common with another one for both to be answered alike: its words
    without those that carry nothing, the first of them, and the order of those that say what it is about; "" where it
    has none.

    ``question`` is normalised. Numbers, signs, names and negations are words like any other. In a language without a
    list of idle words nothing may differ but marks.
    """
    text = question.replace("’", "'")
    for short, whole in _SHORT.get(language, ()):
        text = short.sub(whole, text)
    idle, movable = _SETS.get(language, (frozenset(), frozenset()))
    told = [word for word in _PARTS.findall(text) if word not in idle]
    ordered = [word for word in told if word not in movable]
    # The first word tells "is it not working?" from "it is not working".
    return "\n".join([told[0], " ".join(sorted(told)), " ".join(ordered)]) if ordered else ""
