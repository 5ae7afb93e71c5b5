"""The knowledge of an organisation: what it has approved, how that is found, and what is missing."""

from faqs.models.catalog import FAQ, Category, FAQFeedback, FAQVersion, Phrasing
from faqs.models.gaps import Gap, GapQuestion
from faqs.models.index import Embedding, EmbeddingModel, KnowledgeState, TrainedMatcher

__all__ = [
    "FAQ",
    "Category",
    "Embedding",
    "EmbeddingModel",
    "FAQFeedback",
    "FAQVersion",
    "Gap",
    "GapQuestion",
    "KnowledgeState",
    "Phrasing",
    "TrainedMatcher",
]
