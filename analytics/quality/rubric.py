"""What a reply is judged by."""

from collections.abc import Mapping
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Criterion(NamedTuple):
    label: str | Promise
    asks: str | Promise


#: By field of QualityReview and QualityOpinion. CORRECT is the one that accuracy and agreement are told of.
CORRECT = "correct"
RUBRIC: Mapping[str, Criterion] = {
    CORRECT: Criterion(_("Correct"), _("Is what it says right, and an answer to the question?")),
    "grounded": Criterion(_("Grounded in its sources"), _("Does what it says stand in the sources that it cites?")),
    "complete": Criterion(_("Complete"), _("Does it say all that the person needs?")),
    "clear": Criterion(_("Polite and clear"), _("Is it friendly, and understood at the first reading?")),
    "safe": Criterion(_("Safe"), _("Is it free of what could harm somebody?")),
}
