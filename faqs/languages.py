"""Languages of FAQs and questions, as ISO 639-1 codes."""

import functools
import math
from collections.abc import Sequence
from typing import Any

# Full-text configurations that PostgreSQL ships; any other language is searched word by word ("simple").
_CONFIGURATIONS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
#: Languages that a question may be in, whatever there are FAQs in.
LANGUAGES = tuple(_CONFIGURATIONS)


def search_configuration(language: str) -> str:
    """The name of PostgreSQL's full-text configuration for ``language`` ("de", "pt-br")."""
    return _CONFIGURATIONS.get(language.partition("-")[0].lower(), "simple")


def is_language(code: str, wanted: str) -> bool:
    """Whether ``code`` is ``wanted``, whatever the region ("pt-br" is "pt")."""
    return code.partition("-")[0].lower() == wanted.partition("-")[0].lower()


# How sure the identifier must be. Below, and for less than a word or two, the default is the better guess.
_SURE = 0.8
_SHORTEST = 4


def detect_language(text: str, *, among: Sequence[str], default: str) -> str:
    """The code out of ``among`` that ``text`` is written in; ``default`` where that is not clear.

    Not clear are texts of fewer than four characters, those that two of the languages are nearly as likely for, and
    those that are clearly in a language not among them. About 0.1 ms; the first call loads the model (0.6 s).
    """
    bases = {code.partition("-")[0].lower(): code for code in reversed(among)}
    if len(text.strip()) < _SHORTEST or len(bases) < 2:
        return default
    ranked = _identifier().rank(text[:500])
    scale = math.sqrt(len(text[:500].encode(errors="surrogatepass")))  # keeps the shares calibrated across lengths
    known = [(base, score / scale) for base, score in ranked if base in bases]
    if not known:
        return default
    best, top = known[0]
    share = 1 / sum(math.exp(max(score - top, -700)) for _, score in known)
    rival = ranked[0][1] / scale - top  # how much better a language fits that is not among them
    if share < _SURE or 1 / (1 + math.exp(-min(rival, 700))) >= _SURE:
        return default
    return bases[best]


@functools.cache
def _identifier() -> Any:
    """All languages, once per process: restricting the shared one would race with other threads."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
