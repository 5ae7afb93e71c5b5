"""Metrics of background work: what Celery workers run, what is put into the queue, and that beat is there.

Celery's signals call this. Tasks run in threads of the worker's own process (CELERY_WORKER_POOL), so that one page has
them all.
"""

import time
from typing import Any

from celery import Task
from celery.signals import after_task_publish, beat_init, task_postrun, task_prerun, worker_ready

from chatbot_project.celery import app
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.metrics.serving import serve_metrics
from chatbot_project.task_records import Outcome, outcome_of

_began: dict[str, float] = {}  # by the id of the run


@worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
def worker_began(**kwargs: Any) -> None:
    """Serve, and begin the counts of all tasks at 0, so that a first failure shows as a rise."""
    for name in _tasks():
        for outcome in Outcome.values:
            metrics.TASK_RUNS.labels(name, outcome)
    serve_metrics("celery")


@beat_init.connect(weak=False)  # type: ignore[untyped-decorator]
def beat_began(**kwargs: Any) -> None:
    """Serve, with what is to be known of the whole installation: there is one beat."""
    from chatbot_project import cluster_metrics

    cluster_metrics.register()
    after_task_publish.connect(beat_sent, weak=False)
    serve_metrics("beat")


def beat_sent(**kwargs: Any) -> None:
    metrics.BEAT_SENT.set(time.time())


@after_task_publish.connect(weak=False)  # type: ignore[untyped-decorator]
def sent(sender: str, **kwargs: Any) -> None:
    """A task was put into the queue."""
    metrics.TASKS_SENT.labels(sender).inc()


@task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]
def began(sender: Task, task_id: str, **kwargs: Any) -> None:
    """A run begins."""
    _began[task_id] = time.monotonic()
    metrics.TASKS_RUNNING.labels(sender.name).inc()


@task_postrun.connect(weak=False)  # type: ignore[untyped-decorator]
def ended(sender: Task, task_id: str, state: str | None = None, **kwargs: Any) -> None:
    """A run ended, one way or another."""
    metrics.TASK_RUNS.labels(sender.name, outcome_of(state).value).inc()
    if (began_at := _began.pop(task_id, None)) is not None:
        metrics.TASK_SECONDS.labels(sender.name).observe(time.monotonic() - began_at)
        metrics.TASKS_RUNNING.labels(sender.name).dec()


def _tasks() -> list[str]:
    return sorted(name for name in app.tasks if not name.startswith("celery."))
