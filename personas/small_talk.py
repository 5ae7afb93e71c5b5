"""Greetings, thanks and the like, which no FAQ answers and nobody should be told to rephrase. Pure."""

import re

MAX_WORDS = 8

# Whole messages, once their marks are gone: any number of these, one after the other. A question that begins with a
# greeting is none of them.
_PHRASES = {
    "en": """
        hi|hiya|hello|hey|yo|howdy|greetings|welcome|there|again|good (?:morning|day|afternoon|evening|night)
        how are you(?: (?:doing|today))*|how is it going|hows it going|whats up|nice to meet you
        (?:many |so )?thanks(?: (?:a lot|so much|again|very much))?|thx|ty|cheers
        thank you(?: (?:so much|very much|again|for your help|for the help))?|much appreciated
        (?:that|this|it) (?:helped|helps|worked|works)(?: (?:a lot|me))?
        (?:thats |that is |this is )?(?:great|perfect|cool|nice|awesome|wonderful|excellent|good|fine|helpful)
        ok|okay|alright|sure|got it|i see|understood|yes|no|yeah|yep|nope|please|sorry|no problem|never ?mind
        bye|goodbye|bye bye|see you(?: later)?|take care|have a (?:nice|good|great) (?:day|evening|weekend)
        who are you|what are you|are you (?:a )?(?:human|bot|robot|real|there)
        what can you do|what do you do|can you help me|help
    """,
    "de": """
        hallo|hi|hey|moin(?: moin)?|servus|tach|na|guten (?:morgen|tag|abend)|gute nacht|gr[uü](?:ss|ß) (?:gott|dich)
        wie geht(?:s| es)(?: (?:dir|ihnen|euch))?(?: heute)?|zusammen|nochmal
        (?:vielen |besten |herzlichen |tausend )?dank(?:e)?(?: (?:dir|ihnen|euch|sch[oö]n|sehr|vielmals|nochmal))*
        (?:das )?(?:hat (?:mir )?(?:sehr )?geholfen|hilft(?: mir)?(?: sehr)?|funktioniert|hat funktioniert|passt)
        (?:das ist )?(?:super|toll|prima|perfekt|klasse|sehr gut|gut|sch[oö]n|cool|hilfreich)
        ok|okay|alles klar|verstanden|klar|ja|nein|doch|bitte|bitte sch[oö]n|entschuldigung|kein problem|schon gut
        tsch[uü](?:ss|ß)|ciao|bis (?:bald|dann|sp[aä]ter|morgen)|auf wiedersehen
        sch[oö]nen (?:tag|abend)(?: noch)?|mach(?:s| es) gut
        wer (?:bist du|sind sie)|was bist du|bist du (?:ein )?(?:mensch|bot|roboter|da)
        was kannst du|kannst du mir helfen|hilfe
    """,
}
_ONE = "|".join(f"(?:{line.strip()})" for block in _PHRASES.values() for line in block.splitlines() if line.strip())
_SMALL_TALK = re.compile(f"(?:{_ONE})(?: (?:{_ONE}))*")
_APOSTROPHES = re.compile("['’ʼ`]")
_NO_LETTERS = re.compile(r"[\W_]+")


def is_small_talk(text: str) -> bool:
    """Whether ``text`` as a whole is a greeting, thanks or the like, in English or German; also one without any
    letter or digit, such as a smile."""
    if len(text) > 120:
        return False
    words = _NO_LETTERS.sub(" ", _APOSTROPHES.sub("", text.casefold())).strip()
    if not words:
        return True
    return len(words.split()) <= MAX_WORDS and _SMALL_TALK.fullmatch(words) is not None
