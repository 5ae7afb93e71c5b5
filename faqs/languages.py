"""Languages of FAQs and questions, as ISO 639-1 codes."""

# Full-text configurations that PostgreSQL ships; any other language is searched word by word ("simple").
_CONFIGURATIONS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


def search_configuration(language: str) -> str:
    """The name of PostgreSQL's full-text configuration for ``language`` ("de", "pt-br")."""
    return _CONFIGURATIONS.get(language.partition("-")[0].lower(), "simple")
