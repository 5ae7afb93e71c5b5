"""Estimated token counts, for where a model does not count them itself."""

import math
import re

from .types import ChatMessage

# What a chat template adds around each message (role and separators), as OpenAI's cookbook counts it.
MESSAGE_OVERHEAD = 4

# Scripts whose letters are about a token each in the usual vocabularies: Chinese, Japanese, Korean, and emoji.
_DENSE = re.compile("[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001f000-\U0003ffff]")


def token_weight(text: str) -> float:
    """Tokens in ``text``, unrounded, so that the weights of a text's pieces add up to the text's.

    A quarter of a token for an ASCII character (English prose in byte-pair vocabularies of 32-200 thousand entries has
    about four characters a token), one for a CJK character or an emoji, half of one for any other (Cyrillic, Greek,
    Arabic, Devanagari).
    """
    if text.isascii():
        return len(text) / 4
    dense = len(_DENSE.findall(text))
    plain = sum(map(str.isascii, text))
    return dense + plain / 4 + (len(text) - dense - plain) / 2


def estimate_tokens(text: str) -> int:
    """About how many tokens a model makes of ``text``: ``token_weight`` rounded up. Exact for no model."""
    return math.ceil(token_weight(text))


def estimate_prompt(messages: list[ChatMessage]) -> int:
    """About how many tokens a whole prompt has, with what the chat template adds."""
    return sum(estimate_tokens(message.content) + MESSAGE_OVERHEAD for message in messages)
