"""Every setting, read from the environment once. No input or output happens here beyond that.

``NONO_ENV=local`` (the default) runs on the embedded parts; ``production`` asks for what must not be guessed, and
``manage.py check --deploy`` says what is missing (chatbot_project/checks.py).
"""

import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext_lazy as _
from psycopg.conninfo import conninfo_to_dict

from chatbot_project.api_settings import REST_FRAMEWORK as REST_FRAMEWORK
from chatbot_project.api_settings import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from chatbot_project.embedded.paths import default_database_url, default_redis_url
from chatbot_project.lib import env
from chatbot_project.lib.llm.providers import providers_from_env, usual_model
from chatbot_project.lib.task_order import BEHIND, LAST

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / env.text("VAR_DIR", "var")

# --- Which kind of installation
NONO_ENV = env.choice("NONO_ENV", "local", {"local", "production"})
IS_LOCAL = NONO_ENV == "local"
DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY", "insecure-local-key" if IS_LOCAL else "")
# Keys before it: what they signed, sealed and hashed is known still (docs/privacy.md says until when).
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
PORT = env.whole("PORT", 8000, minimum=1, maximum=65535)
BASE_URL = env.url("BASE_URL", f"http://127.0.0.1:{PORT}", {"http", "https"}).rstrip("/")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"] if IS_LOCAL else [])
IS_HTTPS = urlsplit(BASE_URL).scheme == "https"
CSRF_TRUSTED_ORIGINS = [BASE_URL]

# --- Apps
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    # Before staticfiles: it takes over runserver. No other process pays the half second its Twisted takes to import.
    *(["daphne"] if "runserver" in sys.argv[1:2] else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_otp.plugins.otp_totp",
    "channels",
    "chatbot_project",
    "accounts",
    "faqs",
    "personas",
    "conversations",
    "analytics",
]
MIDDLEWARE = [
    "chatbot_project.middleware.ProbesMiddleware",
    "chatbot_project.lib.api.openai_errors.OpenAIErrorsMiddleware",
    "accounts.middleware.TokenInAddressMiddleware",  # before all that answers: not even a redirect repeats the address
    "django.middleware.security.SecurityMiddleware",
    "chatbot_project.middleware.StaticFilesMiddleware",
    "chatbot_project.middleware.ContentSecurityPolicyMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "chatbot_project.lib.api.edge.ApiMiddleware",
    "chatbot_project.middleware.NobodyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.PersonMiddleware",
    "chatbot_project.middleware.MaintenanceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "chatbot_project.middleware.RestrictionMiddleware",
    "chatbot_project.middleware.ErrorShapeMiddleware",
]
CSRF_FAILURE_VIEW = "chatbot_project.error_pages.csrf_failure"
ROOT_URLCONF = "chatbot_project.urls"
ASGI_APPLICATION = "chatbot_project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database: units of work take one pooled connection each
DATABASE_URL = env.text("DATABASE_URL", default_database_url(VAR_DIR) if IS_LOCAL else "")
# What answers there is a pooler that gives each transaction another connection of its own (PgBouncer, pool_mode
# transaction): nothing is prepared, no cursor outlives its transaction.
DATABASE_TRANSACTION_POOLER = env.flag("DATABASE_TRANSACTION_POOLER", False)
DATABASE_THREADS = env.whole("DATABASE_THREADS", 8, minimum=1, maximum=200)
# Requests over HTTP that a web process works on at once; what waits for a model is not among them.
REQUEST_THREADS = env.whole("REQUEST_THREADS", 8, minimum=1, maximum=200)


def _database(url: str) -> dict[str, object]:
    """Django's settings for a PostgreSQL URL; further libpq options in its query are kept."""
    parts: dict[str, object] = dict(conninfo_to_dict(url)) if url else {}
    return {
        "ENGINE": "chatbot_project.lib.postgres",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_TRANSACTION_POOLER,
        "OPTIONS": {
            # Only lib/db.fetch_prepared prepares: the ORM's cursors send their values within the statement.
            "prepare_threshold": None if DATABASE_TRANSACTION_POOLER else 1,
            # A host that is gone without a word: libpq alone would wait for minutes to hours, by the kernel's timers.
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            **parts,
            # A lost server is asked again for 4 s, then the next unit of work asks anew: never a back-off of minutes.
            "pool": {"min_size": 1, "max_size": DATABASE_THREADS + 4, "timeout": 8, "reconnect_timeout": 4},
        },
    }


DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: live replies, doorbells, channel layer, Celery's broker
REDIS_URL = env.text("REDIS_URL", default_redis_url(VAR_DIR) if IS_LOCAL else "")
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
if REDIS_URL.startswith("rediss://") and "ssl_cert_reqs=" not in REDIS_URL:
    # Celery alone would believe any certificate where the address says nothing of it.
    CELERY_BROKER_URL += f"{'&' if '?' in REDIS_URL else '?'}ssl_cert_reqs=required"
# One process a worker: its tasks wait more than they compute, share the matcher, and are counted where they run.
CELERY_WORKER_POOL = "threads"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
# Seconds. A pool of threads cannot enforce it: every task bounds itself, and the admin shows which has not ended then.
CELERY_TASK_TIME_LIMIT = 600
# What a worker took and has not ended by then is in the queue again: it was killed. Longer than any task runs, and than
# one waits in its worker before it is tried again. It takes up no more than it works on.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3 * CELERY_TASK_TIME_LIMIT,
    # Without, whoever sends a task waits for ever for a Redis that hangs.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
}
# What comes by the thousand at times waits behind what somebody waits for: mail, exports, the timetable.
CELERY_TASK_ROUTES = {
    "conversations.tasks.make_title": {"priority": BEHIND},
    "conversations.tasks.summarise_conversation": {"priority": BEHIND},
    "conversations.tasks.record_gap": {"priority": BEHIND},
    "faqs.tasks.record_faq_feedback": {"priority": BEHIND},
    "faqs.tasks.draft_translation": {"priority": LAST},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- Models
LLM_PROVIDERS = providers_from_env(
    custom=env.json_object("LLM_PROVIDERS"),
    openai_api_key=env.text("OPENAI_API_KEY"),
    openai_base_url=env.text("OPENAI_BASE_URL"),
    ollama_host=env.text("OLLAMA_HOST"),
    nvidia_api_key=env.text("NVIDIA_API_KEY"),
    local_url=env.text("LOCAL_LLM_URL"),
)
DEFAULT_MODEL = env.text("DEFAULT_MODEL", usual_model(LLM_PROVIDERS))
FALLBACK_MODELS = env.words("FALLBACK_MODELS")
# A small local model writes poor titles and summaries: by default only an outside model is asked for them.
TITLE_MODEL = env.text("TITLE_MODEL", "off" if DEFAULT_MODEL.startswith("local/") else DEFAULT_MODEL)
TITLE_MODEL = "" if TITLE_MODEL == "off" else TITLE_MODEL
SUMMARY_MODEL = env.text("SUMMARY_MODEL")
# An endpoint like OpenAI's that judges questions and replies, provider/name; empty for none. Where it cannot be asked
# within so many seconds, questions are refused (closed), or go on and are flagged (open).
MODERATION_MODEL = env.text("MODERATION_MODEL")
MODERATION_FAILS = env.choice("MODERATION_FAILS", "closed", {"closed", "open"})
MODERATION_GATE = "conversations.safety.gate.ModerationGate"
MODERATION_EVERY = env.whole("MODERATION_EVERY", 1000, maximum=100_000)
MODERATION_SECONDS = env.whole("MODERATION_SECONDS", 10, minimum=1, maximum=120)
# How many replies one worker streams from one provider at once, as a fallback or not; what waits in the queue keeps its
# place and is told it.
REPLY_SLOTS = env.whole("REPLY_SLOTS", 160, minimum=1)
PROVIDER_SLOTS = {"local": 4, **env.json_object("PROVIDER_SLOTS")}
# Where a question would wait for longer, or behind more of its provider, it is answered with "busy" at once. Guests are
# turned away at a quarter (the newest) to a half of it, as is who has several replies under way; staff at the double.
BUSY_SECONDS = env.whole("BUSY_SECONDS", 120, minimum=1)
BUSY_QUEUE = env.whole("BUSY_QUEUE", 10_000, minimum=1)
REPLY_LEASE_SECONDS = env.whole("REPLY_LEASE_SECONDS", 8, minimum=2, maximum=60)
# How long a reply worker that has to end lets its replies end first; then it hands them over.
# With what comes before and after it, less than deploy/ gives a worker until it is killed.
REPLY_DRAIN_SECONDS = env.whole("REPLY_DRAIN_SECONDS", 22, minimum=0, maximum=22)
LLM_CONNECT_SECONDS = env.whole("LLM_CONNECT_SECONDS", 5, minimum=1)
LLM_FIRST_TOKEN_SECONDS = env.whole("LLM_FIRST_TOKEN_SECONDS", 60, minimum=1)
LLM_IDLE_SECONDS = env.whole("LLM_IDLE_SECONDS", 30, minimum=1)
LLM_TOTAL_SECONDS = env.whole("LLM_TOTAL_SECONDS", 600, minimum=1)

# How many replies are kept to answer the same question of others; for how many seconds one waits for others' that fail
# one after another.
RESPONSE_CACHE_ENTRIES = env.whole("RESPONSE_CACHE_ENTRIES", 5000, minimum=1, maximum=100_000)
# From which cosine on a question in other words gets the same reply (0: never); docs/caching.md has what was measured.
RESPONSE_CACHE_NEAR = env.fraction("RESPONSE_CACHE_NEAR", 0.95)
RESPONSE_CACHE_WAIT_SECONDS = env.whole("RESPONSE_CACHE_WAIT_SECONDS", 20, minimum=1, maximum=300)

# --- Knowledge: what makes vectors of FAQs and questions, and how sure an answer from them must be
EMBEDDING_MODEL = env.text("EMBEDDING_MODEL", "embedded/wordllama")
# Below this probability that the FAQ holds the answer, the assistant says that it does not know.
FAQ_FLOOR = env.fraction("FAQ_FLOOR", 0.5)
# From this probability on, an approved answer is given as it stands, without a model.
FAQ_DIRECT_CONFIDENCE = env.fraction("FAQ_DIRECT_CONFIDENCE", 0.9)
# From this cosine on, a question that was not answered joins a gap (`manage.py measure_gaps` compares values).
FAQ_GAP_SIMILARITY = env.fraction("FAQ_GAP_SIMILARITY", 0.7)
# Who drafts the answers of FAQs that are begun from a gap; "off" or no model: the editor writes them.
FAQ_DRAFT_MODEL = env.text("FAQ_DRAFT_MODEL", TITLE_MODEL)
FAQ_DRAFT_MODEL = "" if FAQ_DRAFT_MODEL == "off" else FAQ_DRAFT_MODEL

# Who drafts translations of FAQs: llm (by TRANSLATION_MODEL, else DEFAULT_MODEL), deepl or google.
TRANSLATOR = env.text("TRANSLATOR", "llm").lower()
TRANSLATION_MODEL = env.text("TRANSLATION_MODEL")
DEEPL_API_KEY = env.text("DEEPL_API_KEY")
DEEPL_URL = env.url("DEEPL_URL", "", {"http", "https"})
GOOGLE_TRANSLATE_API_KEY = env.text("GOOGLE_TRANSLATE_API_KEY")
GOOGLE_TRANSLATE_URL = env.url("GOOGLE_TRANSLATE_URL", "", {"http", "https"})

# --- People
AUTH_USER_MODEL = "accounts.User"
ALLOW_GUESTS = env.flag("ALLOW_GUESTS", IS_LOCAL)
REQUIRE_VERIFIED_EMAIL = env.flag("REQUIRE_VERIFIED_EMAIL", not IS_LOCAL)
# How many days data is kept, class by class; 0, where it may be: for good. An admin may say otherwise in the admin
# (accounts/retention/policies.py).
RETENTION_MOST_DAYS = 36_500  # a hundred years: beyond the calendar nothing can be compared any more
RETENTION_CONTENT_DAYS = env.whole("RETENTION_CONTENT_DAYS", 0, maximum=RETENTION_MOST_DAYS)
RETENTION_DELETED_DAYS = env.whole("RETENTION_DELETED_DAYS", 1, minimum=1, maximum=RETENTION_MOST_DAYS)
RETENTION_PASSING_DAYS = env.whole("RETENTION_PASSING_DAYS", 1, minimum=1, maximum=RETENTION_MOST_DAYS)
RETENTION_MODERATION_DAYS = env.whole("RETENTION_MODERATION_DAYS", 0, maximum=RETENTION_MOST_DAYS)
RETENTION_VERDICT_DAYS = env.whole("RETENTION_VERDICT_DAYS", 0, maximum=RETENTION_MOST_DAYS)
RETENTION_QUESTION_DAYS = env.whole("RETENTION_QUESTION_DAYS", 365, maximum=RETENTION_MOST_DAYS)
GUEST_DAYS = env.whole("GUEST_DAYS", 7, minimum=1, maximum=RETENTION_MOST_DAYS)
# Where nobody has to confirm their address, an account without one confirmed is as good as any.
RETENTION_UNCONFIRMED_DAYS = env.whole(
    "RETENTION_UNCONFIRMED_DAYS", 30 if REQUIRE_VERIFIED_EMAIL else 0, maximum=RETENTION_MOST_DAYS
)
RETENTION_SIGN_UP_DAYS = env.whole("RETENTION_SIGN_UP_DAYS", 3, minimum=1, maximum=RETENTION_MOST_DAYS)
RETENTION_SESSION_DAYS = env.whole("RETENTION_SESSION_DAYS", 14, minimum=1, maximum=RETENTION_MOST_DAYS)
RETENTION_EXPORT_DAYS = env.whole("RETENTION_EXPORT_DAYS", 7, minimum=1, maximum=RETENTION_MOST_DAYS)
RETENTION_MAIL_DAYS = env.whole("RETENTION_MAIL_DAYS", 1, minimum=1, maximum=RETENTION_MOST_DAYS)
RETENTION_RECORD_DAYS = env.whole("RETENTION_RECORD_DAYS", 0, maximum=RETENTION_MOST_DAYS)
# Staff act as staff only once they have shown a code of their authenticator app (accounts/second_factor.py).
REQUIRE_STAFF_2FA = env.flag("REQUIRE_STAFF_2FA", not IS_LOCAL)
# Wrong codes are limited by accounts/limits.py, which lets the owner's own device in meanwhile; the library would not.
OTP_TOTP_THROTTLE_FACTOR = 0
OTP_TOTP_SYNC = False  # see accounts.models.Authenticator
AUTHENTICATION_BACKENDS = ["accounts.backends.EmailBackend"]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "conversations:home"
LOGOUT_REDIRECT_URL = "conversations:home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
TRUSTED_PROXY_HOPS = env.whole("TRUSTED_PROXY_HOPS", 0, maximum=5)
# What people are asked to agree to, as files (accounts/privacy/policies.py).
POLICIES_DIR = BASE_DIR / env.text("POLICIES_DIR", "policies")
# Whether mood and topic of conversations are counted, of people who agree: they are asked only then (analytics/moods).
CONVERSATION_INSIGHTS = env.flag("CONVERSATION_INSIGHTS", False)
# How many replies of each day come into the review queue (docs/analytics.md): by chance, with a best source below so
# much probability, found not helpful. 0: none. Of guests, too; for how many days; how long one is somebody's to judge.
QUALITY_RANDOM = env.whole("QUALITY_RANDOM", 0, maximum=500)
QUALITY_UNSURE = env.whole("QUALITY_UNSURE", 0, maximum=500)
QUALITY_UNSURE_BELOW = env.fraction("QUALITY_UNSURE_BELOW", 0.7)
QUALITY_DISLIKED = env.whole("QUALITY_DISLIKED", 0, maximum=500)
QUALITY_GUESTS = env.flag("QUALITY_GUESTS", False)
QUALITY_OPEN_DAYS = env.whole("QUALITY_OPEN_DAYS", 30, minimum=1, maximum=365)
QUALITY_LEASE_MINUTES = env.whole("QUALITY_LEASE_MINUTES", 30, minimum=1, maximum=1440)
# A model that gives a second opinion on replies under review, provider/name; empty for none. So many calls a day.
QUALITY_JUDGE_MODEL = env.text("QUALITY_JUDGE_MODEL")
QUALITY_JUDGE_DAILY = env.whole("QUALITY_JUDGE_DAILY", 50, maximum=10_000)
# How long before it goes on people are told that staff lift the pause of processing (GDPR Art. 18 (3)).
RESTRICTION_NOTICE_DAYS = env.whole("RESTRICTION_NOTICE_DAYS", 3, maximum=60)
# How long an erasure can be cancelled, and where it is noted that it was done: keep the file apart from the database.
ERASURE_GRACE_DAYS = env.whole("ERASURE_GRACE_DAYS", 14, maximum=60)
ERASURE_LOG = VAR_DIR / env.text("ERASURE_LOG", "erasures.jsonl")
# Where `manage.py backup` writes, and after how many hours without one the doctor warns (0: never).
BACKUP_DIR = VAR_DIR / env.text("BACKUP_DIR", "backups")
BACKUP_HOURS = env.whole("BACKUP_HOURS", 0 if IS_LOCAL else 26, maximum=8760)
# Secrets of the API's tokens: the first signs, all verify. None: SECRET_KEY.
JWT_SIGNING_KEYS = env.words("JWT_SIGNING_KEYS")
# Secrets that checkpoints of the audit trail are signed by: the first signs, all verify. None, locally: SECRET_KEY.
AUDIT_SIGNING_KEYS = env.words("AUDIT_SIGNING_KEYS")

# --- The JSON API: api_settings.py, and who may call it from where
# Pages of other sites that may call the API, as https://app.example.org: signed in with a token, never a cookie.
CORS_ALLOWED_ORIGINS = env.words("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/(api|v1)/"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "cache-control", "content-type"),
    *("idempotency-key", "if-match", "if-none-match", "last-event-id"),
]
CORS_EXPOSE_HEADERS = [
    *("etag", "location", "retry-after", "idempotent-replayed", "x-request-id"),
    *("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
]
API_BODY_BYTES = 1024 * 1024
IMPORT_BODY_BYTES = 5 * 1024 * 1024
# Of any request: nothing larger is even received.
MAX_BODY_BYTES = IMPORT_BODY_BYTES + API_BODY_BYTES

# --- How much one may ask for: every request to the API, and questions to a model by whichever way they come
RATE_LIMIT_REQUESTS = env.rates("RATE_LIMIT_REQUESTS", "60/min, 1000/h")
RATE_LIMIT_ASKS = env.rates("RATE_LIMIT_ASKS", "60/min, 1000/h")
RATE_LIMIT_GUEST = env.rates("RATE_LIMIT_GUEST", "20/min, 200/h")
# What all who are not signed in, and all guests, share at one address.
RATE_LIMIT_ADDRESS = env.rates("RATE_LIMIT_ADDRESS", "60/min, 600/h")
# Points of violations (conversations/safety/scores.py) from which on a person is slowed, and suspended; 0 for never.
MODERATION_SLOW_SCORE = env.whole("MODERATION_SLOW_SCORE", 6)
MODERATION_SUSPEND_SCORE = env.whole("MODERATION_SUSPEND_SCORE", 15)
MODERATION_SCORE_DAYS = env.whole("MODERATION_SCORE_DAYS", 30, minimum=1, maximum=3650)
# Tokens of models, read and written, that one person may use up in a day (UTC); 0 for no such limit.
DAILY_TOKENS = env.whole("DAILY_TOKENS", 0)

# --- Mail: the console by default, SMTP by one variable
# User and password percent-encoded, as in any URL.
_mail = urlsplit(env.url("EMAIL_URL", "console://", {"console", "smtp", "smtps", "smtp+tls"}))
EMAIL_BACKEND = f"django.core.mail.backends.{'console' if _mail.scheme == 'console' else 'smtp'}.EmailBackend"
EMAIL_HOST = _mail.hostname or ""
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp+tls"
EMAIL_PORT = _mail.port or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
EMAIL_TIMEOUT = 20  # seconds: a mail server that hangs holds no worker
# Who is told of background tasks that fail, with commas; nobody: the admin alone shows it.
ALERT_MAIL = env.words("ALERT_MAIL")
REPORT_MAIL = env.words("REPORT_MAIL")  # who gets the report of each week
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Nono <nono@localhost>")

# --- Transport and headers
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", not IS_LOCAL)
SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", 0 if IS_LOCAL else 31_536_000)
# For the name alone: others below it may have no HTTPS, and a browser that was told otherwise remembers it for a year.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.flag("SECURE_HSTS_PRELOAD", False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # that these two are wanted
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
if TRUSTED_PROXY_HOPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- Language, time, static files
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LANGUAGE_COOKIE_NAME = "nono_language"  # what a browser chose (accounts/presence.py)
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600  # seconds
LANGUAGE_COOKIE_SECURE = IS_HTTPS
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
REPORT_TIME_ZONE = env.time_zone("REPORT_TIME_ZONE", TIME_ZONE)  # whose days are counted in figures and reports
PRICE_CURRENCY = env.text("PRICE_CURRENCY", "USD")  # of the price list of models
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / env.text("STATIC_ROOT", "static")
UNFOLD = {  # the admin's theme
    "DASHBOARD_CALLBACK": "analytics.admin_index.with_figures",
    "SITE_TITLE": "Nono",
    "SITE_HEADER": "Nono",
    "SITE_FAVICONS": [{"rel": "icon", "href": f"/{STATIC_URL}favicon.svg"}],
    "COLORS": {  # the pages' own green (static/css/tokens.css)
        "primary": {
            "50": "oklch(97% .018 170)",
            "100": "oklch(94% .035 170)",
            "200": "oklch(89% .06 170)",
            "300": "oklch(83% .09 170)",
            "400": "oklch(76% .11 170)",
            "500": "oklch(60% .105 170)",
            "600": "oklch(46% .085 170)",
            "700": "oklch(40% .075 170)",
            "800": "oklch(35% .062 170)",
            "900": "oklch(30% .05 170)",
            "950": "oklch(22% .035 170)",
        },
    },
}
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = IS_LOCAL
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if IS_LOCAL
        else "chatbot_project.static_files.StaticFilesStorage"
    },
}

# --- Metrics: /metrics on a port of each process's own (0: none), and on the web port where there is a token to show
METRICS_PORT = env.whole("METRICS_PORT", 0, maximum=65535)
METRICS_BIND = env.text("METRICS_BIND", "127.0.0.1")
METRICS_TOKEN = env.text("METRICS_TOKEN")

# --- Traces: the share of questions of which one is sent, by OTLP over HTTP (the OTEL_… variables say where to)
TRACING = env.fraction("TRACING", 0.0)

# --- Logs: stable event names, ids and counts; never what people wrote
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})
LOGGING_CONFIG = None  # chatbot_project/logs.py sets structlog and the standard library up together
