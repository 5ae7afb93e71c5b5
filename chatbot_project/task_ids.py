"""The ids of lib/correlation.py through Celery: a task takes those along that were bound where it was sent, and they
are bound in the worker while it runs, so also in the tasks that it sends itself. A
trace goes along likewise."""

from contextlib import ExitStack
from typing import Any

from celery import Task
from celery.signals import before_task_publish, task_postrun, task_prerun, worker_ready

from chatbot_project.lib import tracing
from chatbot_project.lib.correlation import bound, bound_ids, handed_over

TRACE_HEADER = "nono_trace"
HEADER = "nono_ids"  # of the message; Celery makes an attribute of the run's request of it

_running: dict[str, ExitStack] = {}  # by the id of the run


@before_task_publish.connect(weak=False)  # type: ignore[untyped-decorator]
def take_along(headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """A task is put into the queue. One that is tried again keeps what its first run had, which is bound then."""
    if headers is None:
        return
    if ids := bound_ids():
        headers[HEADER] = ids
    if trace := tracing.carried():
        headers[TRACE_HEADER] = trace


@worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
def worker_began(**kwargs: Any) -> None:
    tracing.start("celery")


@task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]
def bind(sender: Task, task_id: str, **kwargs: Any) -> None:
    """A run begins in this thread."""
    running = _running[task_id] = ExitStack()
    running.enter_context(
        bound(task=sender.name, task_id=task_id, **handed_over(getattr(sender.request, HEADER, None)))
    )
    running.enter_context(tracing.task(sender.name, getattr(sender.request, TRACE_HEADER, None)))


@task_postrun.connect(weak=False)  # type: ignore[untyped-decorator]
def let_go(task_id: str, **kwargs: Any) -> None:
    """The run ended."""
    if (running := _running.pop(task_id, None)) is not None:
        running.close()
