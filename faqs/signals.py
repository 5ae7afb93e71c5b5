"""What the rest of the product is told about the knowledge, once the change stands."""

from django.dispatch import Signal

#: What may be answered has changed; sent on commit with ``revision``, the knowledge's revision since then.
knowledge_changed = Signal()

#: Somebody said that an FAQ did not help; sent on commit with ``feedback``, the FAQFeedback.
faq_did_not_help = Signal()
