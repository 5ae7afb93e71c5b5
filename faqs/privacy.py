"""What the knowledge holds of people: who wrote what, what readers thought, and what was asked in vain."""

from typing import Any

from django.utils.translation import gettext_noop

from accounts.privacy.registry import (
    Basis,
    DataClass,
    Erasure,
    Nothing,
    PersonalData,
    RedisKeys,
    Retention,
    declare,
)
from accounts.retention.policies import Class
from faqs.gap_forgetting import forget_questions
from faqs.models import (
    FAQ,
    Category,
    Embedding,
    EmbeddingModel,
    FAQFeedback,
    FAQVersion,
    Gap,
    GapQuestion,
    KnowledgeState,
    Phrasing,
    TrainedMatcher,
)

BATCH = 200
EDITORS = "Letting editors see who wrote and keeps an answer."
WRITING = "Finding out what to write next."


def _leave_faqs(person: Any) -> int:
    return FAQ.objects.filter(pk__in=FAQ.objects.filter(owner=person.pk).values("pk")[:BATCH]).update(owner=None)


def _leave_versions(person: Any) -> int:
    mine = FAQVersion.objects.filter(author=person.pk).values("pk")[:BATCH]
    return FAQVersion.objects.filter(pk__in=mine).update(author=None)


declare(
    PersonalData(
        model=FAQ,
        about=gettext_noop("Approved answers: who keeps them right"),
        data_class=DataClass.AUTHORSHIP,
        purpose=EDITORS,
        basis=Basis.INTEREST,
        of="owner",
        erasure=Erasure.ANONYMISE,
        erasure_note="The text is the organisation's and stays; its keeper is emptied.",
        retention=Retention("As long as the FAQ."),
        section="kept_faqs",
        exported=("id", "question", "language", "status", "created_at", "updated_at"),
        fixed=("question", "answer", "language", "tags", "drafted_by"),
        erase=_leave_faqs,
    ),
    PersonalData(
        model=FAQVersion,
        about=gettext_noop("Earlier wordings of answers: who changed them"),
        data_class=DataClass.AUTHORSHIP,
        purpose=EDITORS,
        basis=Basis.INTEREST,
        of="author",
        erasure=Erasure.ANONYMISE,
        erasure_note="The text is the organisation's and stays; its author is emptied.",
        retention=Retention("As long as the FAQ."),
        section="faq_changes",
        exported=("id", "faq", "number", "note", "created_at"),
        fixed=("content", "note"),
        erase=_leave_versions,
    ),
    PersonalData(
        model=FAQFeedback,
        about=gettext_noop("Whether an FAQ helped, with a comment"),
        data_class=DataClass.OPINION,
        purpose="Making answers better.",
        basis=Basis.INTEREST,
        of="user",
        erasure=Erasure.DELETE,
        erasure_note="Deleted. Of who is not signed in only a keyed hash of the session is kept.",
        retention=Retention("As long as the FAQ.", since="created_at"),
        section="faq_feedback",
        exported=("faq", "helpful", "comment", "created_at"),
        written=("comment",),
        fixed=("visitor",),
    ),
    PersonalData(
        model=GapQuestion,
        about=gettext_noop("Questions that found no good answer, without addresses, numbers and the like"),
        data_class=DataClass.QUESTION,
        purpose=WRITING,
        basis=Basis.CONSENT,
        of="person",
        erasure=Erasure.DELETE,
        erasure_note="Deleted, as when the consent is withdrawn. The gap it stood in takes another's wording and a new "
        "vector, and goes with its last question.",
        retention=Retention("So many days; the gap goes with its last question.", (Class.QUESTION,), "created_at"),
        section="unanswered_questions",
        exported=("text", "source", "created_at"),
        written=("text",),
        erase=forget_questions,
    ),
    Nothing(
        Gap, "Repeats the wording of one of its questions: with that question's erasure it takes another's, or goes."
    ),
    Nothing(Category, "The organisation's words."),
    Nothing(Phrasing, "The organisation's words."),
    Nothing(Embedding, "Vectors of the organisation's words."),
    Nothing(EmbeddingModel, "Names of models."),
    Nothing(TrainedMatcher, "Learned from the organisation's words alone."),
    Nothing(KnowledgeState, "What is in force."),
    RedisKeys(
        ":1:faqs.import:*",
        "Files of FAQs that wait to be confirmed",
        "who uploaded it",
        "half an hour",
        lambda person: [f":1:faqs.import:{person.pk}:*"],
    ),
    RedisKeys(":1:faqs:writing:*", "Whether a model is at a draft", "", "a quarter of an hour"),
)
