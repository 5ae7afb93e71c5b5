"""A ranking of FAQs learned from an organisation's own phrasings. Needs no Django and no database.

`train_matcher` learns, `Matcher.rank` answers with numpy alone, `Matcher.to_bytes` and `Matcher.from_bytes` store it
as plain arrays. scipy is imported only while training.
"""

from faqs.matcher.model import MATCHER_FORMAT, Matcher, Ranking
from faqs.matcher.training import train_matcher

__all__ = ["MATCHER_FORMAT", "Matcher", "Ranking", "train_matcher"]
