"""Questions that only mean something together with the one before. Pure."""

import re

MOST_WORDS = 12  # a question of more words says by itself what it is about
FEW_WORDS = 2  # so few hardly say it, in any language

# Words that point back, in English and German, and openings that go on. A question without any of them stands alone:
# looked up together with the one before, it would find whatever that one found.
_VERB = (
    "is|was|takes?|costs?|works?|means?|happens?|goes|does|go|one|way|ist|war|auch|denn|dann|dauert|kostet|geht|gilt|"
    "bedeutet|heißt|nicht|mit|für|bei|wieder|etwas|extra"
)
_POINTS_BACK = re.compile(
    rf"""
    \b(?: it|its|this|these|those|them|they|theirs?|then|he|she|him|her|same|others?|else|instead|also|again
        | mentioned|you\ said
        | diese[mnrs]?|jene[mnrs]?|dies|ihn|ihm|dort|dabei|dafür|dagegen|damit|danach|daran|darauf|daraus|darin|darüber
        | davon|davor|dazu|dessen|deren|beide[mnrs]?|gleiche[mnrs]?|andere[mnrs]?|sonst|stattdessen|auch|nochmal )\b
    | \b(?: that|das )\b (?= \W*$ | \s+(?:{_VERB})\b )
    | (?<! gibt\ )\bes\b
    | \btoo\W*$
    | ^\W*(?: and|but|or|so|what\ about|how\ about|und|aber|oder|also|y|pero|et|mais|e|ma|maar|och|og )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def refers_back(question: str) -> bool:
    """Whether ``question`` may go on about what was asked before it: short, and with a word that points back, or so
    short that it says little by itself."""
    words = question.split()
    return len(words) <= FEW_WORDS or (len(words) <= MOST_WORDS and _POINTS_BACK.search(question) is not None)
