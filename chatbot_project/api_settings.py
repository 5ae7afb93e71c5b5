"""Settings of Django REST framework and of the API's schema: the same in every installation."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.BearerAuthentication",
        "accounts.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.permissions.PersonRequired"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttles.RequestThrottle"],
    "DEFAULT_PARSER_CLASSES": ["chatbot_project.lib.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "chatbot_project.lib.api.openapi.ApiSchema",
    "DEFAULT_METADATA_CLASS": "chatbot_project.lib.api.metadata.Nothing",
    "EXCEPTION_HANDLER": "chatbot_project.lib.api.errors.handle_exception",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Nono",
    "DESCRIPTION": "Conversations with personas, grounded in a curated FAQ. The chat socket, `/ws/chat/`, is described "
    "by [AsyncAPI](/api/asyncapi.json).",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "RoleEnum": "accounts.roles.Role",
        "ConsentSourceEnum": "accounts.models.Consent.Source",
        "MessageRoleEnum": "conversations.api.serializers.ROLES",
        "MessageStatusEnum": "conversations.models.Message.Status",
        "PublicationEnum": "faqs.models.FAQ.Status",
        "MessageSourceEnum": "conversations.models.Message.Source",
        "ModerationStateEnum": "conversations.safety.models.ModerationItem.State",
        "ModerationActionEnum": "conversations.safety.models.Action",
        "ModerationSourceEnum": "conversations.safety.models.Source",
        "ModerationCategoryEnum": "conversations.safety.models.Category",
        "DecisionEnum": "conversations.api.moderation_views.DECISIONS",
        "GapStatusEnum": "faqs.models.Gap.Status",
        "GapSourceEnum": "faqs.models.GapQuestion.Source",
    },
    # In this order, which is that of a newcomer's questions.
    "TAGS": [
        {"name": "auth", "description": "Signing up, in and out; passwords; API keys."},
        {"name": "chat", "description": "Asking, and tickets for the chat socket."},
        {"name": "conversations", "description": "One's conversations: list, keep, export."},
        {"name": "messages", "description": "Questions and replies: other words, other replies, feedback."},
        {"name": "moderation", "description": "What was held back of one's own; for moderators, the queue."},
        {"name": "personas", "description": "Who one can talk to; for staff, their drafts and versions."},
        {"name": "faqs", "description": "Approved answers: read, search; for editors, keep them."},
        {"name": "privacy", "description": "One's own data: what one agrees to."},
        {"name": "me", "description": "One's own account and sessions."},
        {"name": "analytics", "description": "Figures, and who is connected, for staff."},
        {"name": "openai", "description": "The same personas for programs that are made for OpenAI's API."},
        {"name": "health", "description": "Whether all that a reply needs is there."},
    ],
    "PATH_CONVERTER_OVERRIDES": {"slug": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"}},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "chatbot_project.lib.api.openapi.add_problems",
        "conversations.openai_api.schema.add_structs",
    ],
}
