"""Personal data and secrets in what people write, found by their form and taken out. Pure, without I/O.

Each kind has one Detector; another kind, library or locale is one more entry of ``DETECTORS``. What has a checksum is
believed only if it holds, so that order numbers and amounts stay. Names and addresses have no form of their own: they
are not found here. Every detector takes time linear in the text.

``redact`` takes out for good (gaps, logs), ``Pseudonyms`` for the length of one request to a model, whose answer gets
the values back. Recall and precision: ``python -m stress_tests.pii_corpus``.
"""

import re

from .finding import DETECTORS, find, redact
from .kinds import Detector, Kind, Span
from .replacing import Pseudonyms, Restorer

#: What ``redact`` and ``Pseudonyms`` leave in a text.
PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(kind.value for kind in Kind)})(?: [0-9]{{1,9}})?\]")

__all__ = ["DETECTORS", "PLACEHOLDER", "Detector", "Kind", "Pseudonyms", "Restorer", "Span", "find", "redact"]
