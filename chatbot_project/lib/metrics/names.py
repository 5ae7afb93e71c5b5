"""Every metric of Nono's. docs/monitoring.md has a table of them, made from here by ``manage.py metrics_docs``."""

from prometheus_client import GCCollector, ProcessCollector

from .registry import REGISTRY, counter, gauge, histogram, read

WEB, WORKER, CELERY, BEAT, ALL = "web", "reply worker", "Celery worker", "beat", "all"

_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REPLY = (0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_RELAY = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_TASK = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 600.0)

PROCESS = gauge("nono_process_info", "1, by which process this is.", ["process"], told_by=ALL)
ERRORS = counter(
    "nono_errors_total",
    "Errors that were told to somebody, by their stable code and by where: http, websocket or reply.",
    ["surface", "code"],
    told_by=f"{WEB}, {WORKER}",
)
READ_ERRORS = counter(
    "nono_metrics_read_errors_total",
    "Figures that could not be read when Prometheus asked, by where from; their samples were left out.",
    ["part"],
    told_by=ALL,
)
LOOP_LAG = histogram(
    "nono_event_loop_lag_seconds",
    "How late the event loop came to what was due, looked at once a second.",
    buckets=_QUICK,
    told_by=f"{WEB}, {WORKER}",
)

# --- Pages and sockets

HTTP_REQUESTS = counter(
    "nono_http_requests_total",
    "Requests that were answered, by the URL pattern, method and status; 499: the client left first.",
    ["route", "method", "status"],
    told_by=WEB,
)
HTTP_SECONDS = histogram(
    "nono_http_request_duration_seconds",
    "From a request's arrival until its answer began; a reply that is awaited whole counts with its making.",
    ["route"],
    buckets=_REQUEST,
    told_by=WEB,
)
SOCKETS_OPEN = gauge(
    "nono_sockets_open", "Open chat sockets (websocket) and streams over HTTP (http).", ["transport"], told_by=WEB
)
SOCKET_CLOSES = counter(
    "nono_socket_closes_total",
    "Chat sockets that closed, by the code and by who closed; 403: the handshake was refused.",
    ["code", "by"],
    told_by=WEB,
)
SOCKET_COMMANDS = counter(
    "nono_socket_commands_total", "Commands that sockets sent, by their type.", ["type"], told_by=WEB
)
REPLIES_FOLLOWED = gauge("nono_replies_followed", "Live replies that somebody follows here.", told_by=WEB)
RATE_LIMITED = counter(
    "nono_rate_limited_total",
    "Refusals because a limit was used up, by what it limits: requests, asks, tries (at signing in, mails, guests), "
    "slowed (after violations), tokens (of a day), replies (under way), streams, sockets or frames.",
    ["limit"],
    told_by=f"{WEB}, {WORKER}",
)

# --- Replies

REPLIES_STREAMING = gauge(
    "nono_replies_streaming", "Replies that this worker makes now, by provider.", ["provider"], told_by=WORKER
)
REPLY_SLOTS = gauge(
    "nono_reply_slots", "How many replies this worker makes at once at most, by provider.", ["provider"], told_by=WORKER
)
SHED = counter(
    "nono_questions_shed_total",
    "Questions that were not taken as too many wait (busy), by whose they were: guest, user or staff.",
    ["kind"],
    told_by=WEB,
)
REPLIES = counter("nono_replies_total", "Replies that ended, by how.", ["outcome"], told_by=WORKER)
REPLY_WAIT = histogram(
    "nono_reply_wait_seconds",
    "From a question's acceptance until a worker took its reply up.",
    buckets=(0.005, *_REPLY),
    told_by=WORKER,
)
FIRST_TOKEN = histogram(
    "nono_reply_first_token_seconds",
    "From a question's acceptance until the first text of its reply, waiting included.",
    buckets=_REPLY,
    told_by=WORKER,
)
REPLY_SECONDS = histogram(
    "nono_reply_duration_seconds",
    "From taking a reply up until its ending was stored.",
    buckets=_REPLY,
    told_by=WORKER,
)
RELAY_SECONDS = histogram(
    "nono_relay_seconds",
    "From when a tick was due until what all replies said in it was in the live log. Text waits up to one tick "
    "(25 to 30 ms) before.",
    buckets=_RELAY,
    told_by=WORKER,
)
RELAYED = counter("nono_relay_entries_total", "Pieces of text that were put into the live log.", told_by=WORKER)
LOG_RESTARTS = counter(
    "nono_log_restarts_total",
    "Replies whose live log was lost or unsure, so that followers got a snapshot.",
    told_by=WORKER,
)
ORPHANS = counter(
    "nono_replies_orphaned_total",
    "Replies whose worker was gone, by what became of them: queued, interrupted or failed.",
    ["outcome"],
    told_by=WORKER,
)
FAQ_VERDICTS = counter(
    "nono_faq_verdicts_total", "What the FAQ said to a question, where it was asked.", ["verdict"], told_by=WORKER
)
RESPONSE_CACHE = counter(
    "nono_response_cache_total",
    "Questions that others may have asked: answered as before (exact), as one that means the same (near), together "
    "with others (joined), by a model for all (miss), or by a model alone, as no other's was to be had (late).",
    ["result"],
    told_by=WORKER,
)
MODERATION = counter(
    "nono_moderation_total",
    "Questions (input) and replies (output) that broke a rule, by what was done and what found it: a rule, the "
    "endpoint, or that it was unavailable.",
    ["stage", "action", "source"],
    told_by=WORKER,
)

# --- Models

MODEL_REQUESTS = counter(
    "nono_model_requests_total",
    "Requests to models, by provider and outcome: ok, the error's code, or breaker_open where none was sent.",
    ["provider", "outcome"],
    told_by=f"{WORKER}, {CELERY}, {WEB}",
)
MODEL_FIRST_TOKEN = histogram(
    "nono_model_first_token_seconds",
    "From asking for a reply until the model's first text, tries before it included, but not the wait for the first "
    "slot: that for one of a model that stands in is.",
    ["provider"],
    buckets=_REPLY,
    told_by=WORKER,
)
MODEL_BREAKER = gauge(
    "nono_model_breaker_state",
    "Whether a provider is asked for replies: 0 yes (closed), 1 one request tries (half open), 2 no (open).",
    ["provider"],
    told_by=WORKER,
)
TOKENS = counter(
    "nono_tokens_total",
    "Tokens of replies, read (prompt) and written (completion).",
    ["provider", "kind"],
    told_by=WORKER,
)

# --- Caches, database, Redis

CACHE_LOOKUPS = read(
    "nono_cache_lookups_total",
    "Look-ups in what a process keeps: persona_versions, moderation_rules, matcher.",
    ["cache", "result"],
    kind="counter",
    told_by=f"{WORKER}, {WEB}",
)
POOL_CONNECTIONS = read(
    "nono_database_pool_connections", "Connections of the pool, in use or idle.", ["state"], told_by=ALL
)
POOL_MAX = read("nono_database_pool_max_connections", "How many connections the pool may have.", told_by=ALL)
POOL_WAITING = read("nono_database_pool_waiting", "Units of work that wait for a connection now.", told_by=ALL)
POOL_REQUESTS = read(
    "nono_database_pool_requests_total", "Connections that were asked for.", kind="counter", told_by=ALL
)
POOL_QUEUED = read("nono_database_pool_queued_total", "Of them, those that had to wait.", kind="counter", told_by=ALL)
POOL_WAIT_SECONDS = read(
    "nono_database_pool_wait_seconds_total", "How long they waited, in all.", kind="counter", told_by=ALL
)
POOL_ERRORS = read(
    "nono_database_pool_errors_total", "Connections that could not be had in time.", kind="counter", told_by=ALL
)
REDIS_UP = read("nono_redis_up", "1 where Redis answers this process, else 0.", told_by=ALL)
REDIS_SECONDS = read("nono_redis_round_trip_seconds", "How long Redis took to answer a PING.", told_by=ALL)

# --- Background work

TASK_RUNS = counter(
    "nono_task_runs_total",
    "Runs of background tasks that ended: done, failed, or again (tried again later).",
    ["task", "outcome"],
    told_by=CELERY,
)
TASK_SECONDS = histogram(
    "nono_task_duration_seconds", "How long runs of background tasks took.", ["task"], buckets=_TASK, told_by=CELERY
)
TASKS_RUNNING = gauge("nono_tasks_running", "Background tasks that run now.", ["task"], told_by=CELERY)
TASKS_SENT = counter(
    "nono_tasks_sent_total", "Background tasks that this process put into the queue.", ["task"], told_by=ALL
)
BEAT_SENT = gauge(
    "nono_beat_last_sent_timestamp_seconds", "When beat last put a task into the queue (Unix time).", told_by=BEAT
)

# --- The installation as a whole: read by beat, of which there is one

DATABASE_UP = read("nono_database_up", "1 where the database answers in time, else 0.", told_by=BEAT)
DATABASE_SECONDS = read("nono_database_round_trip_seconds", "How long these figures took to read.", told_by=BEAT)
QUEUE_DEPTH = read(
    "nono_queue_replies", "Replies of all workers: queued (waiting) and streaming.", ["state"], told_by=BEAT
)
QUEUE_OLDEST = read("nono_queue_oldest_wait_seconds", "How long the oldest waiting reply has waited.", told_by=BEAT)
TASK_LAST_SUCCESS = read(
    "nono_task_last_success_timestamp_seconds", "When a task last ended well (Unix time).", ["task"], told_by=BEAT
)
BACKUP_HOURS = read(
    "nono_backup_hours",
    "Hours without a backup by manage.py backup from which on one is overdue (BACKUP_HOURS); 0: others see to it.",
    told_by=BEAT,
)
TASK_QUEUE = read("nono_task_queue_length", "Background tasks that wait for a Celery worker.", told_by=BEAT)
WORKER_HEARD = read("nono_reply_worker_heard", "1 where a reply worker was heard of lately, else 0.", told_by=BEAT)
REDIS_MEMORY = read("nono_redis_memory_bytes", "Memory that Redis uses.", told_by=BEAT)
REDIS_MEMORY_MAX = read(
    "nono_redis_max_memory_bytes", "How much it may use (maxmemory); absent where there is no limit.", told_by=BEAT
)
FIGURE = read(
    "nono_figure",
    "A figure of the whole organisation, of today so far, by the name that analytics.md, the pages and the API know it "
    "by, and its unit: number, share (of 1), seconds, tokens or money. Absent where there is none.",
    ["name", "unit"],
    told_by=BEAT,
)
FIGURES_UNTIL = read("nono_figures_counted_until_timestamp_seconds", "How far figures go (Unix time).", told_by=BEAT)

ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
