"""Several texts in one cell of a CSV file, and the same again when it comes back. Pure."""

import json
from collections.abc import Sequence


def join_list(texts: Sequence[str], separator: str) -> str:
    """``texts`` in one cell: with ``separator`` between them, or as a JSON list where that would be read otherwise."""
    plain = separator.join(texts)
    mark = separator.strip(" ") or separator
    if plain.lstrip().startswith("[") or any(mark in text for text in texts):
        return json.dumps(list(texts), ensure_ascii=False)
    return plain


def split_list(cell: str, separator: str) -> list[str]:
    """What ``join_list`` was given. Raises ValueError for a cell that begins as a JSON list and is none of texts."""
    if not cell.lstrip().startswith("["):
        return cell.split(separator.strip(" ") or separator)
    try:
        found = json.loads(cell)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError("not a list of texts")
    return found
