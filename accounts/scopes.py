"""What an API key may be used for. Sessions and tokens of a sign-in may do all that their person may."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    READ = "read", _("Read what you may read: your conversations, personas, FAQs")
    WRITE = "write", _("Change what is yours: conversations, feedback")
    CHAT = "chat", _("Send messages and get replies")
    STAFF = "staff", _("What your role adds: the knowledge, personas, figures")


ALL_SCOPES = frozenset(Scope)
