"""How static files are named where they may be cached for ever."""

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage

MODULE_IMPORT = r"""(?P<matched>import(?s:(?P<import>[\s\{].*?))\s*from\s*['"](?P<url>\./.*?)["']\s*;)"""


class StaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Each file's name holds its hash, and so do the names by which our own modules import each other.

    Without the latter a browser could mix modules of two releases. Django can rewrite imports in every script, but then
    stumbles over examples in the comments of other packages' scripts; so it is done below ``js/`` alone.
    """

    patterns: Any = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", ((MODULE_IMPORT, """import%(import)s from "%(url)s";"""),)),
    )
