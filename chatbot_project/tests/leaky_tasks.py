"""Tasks that do what none of ours does: take, say, raise and return what must not stand in a log."""

from typing import Any

from celery import Task, shared_task
from celery.exceptions import Reject


@shared_task(name="leaky.returns")
def returns(*args: Any, **kwargs: Any) -> Any:
    return [args, kwargs]


@shared_task(name="leaky.raises")
def raises(*args: Any, **kwargs: Any) -> None:
    try:
        raise KeyError(args)
    except KeyError as error:
        raise ValueError(f"cannot: {args} {kwargs}") from error


@shared_task(name="leaky.retries", bind=True, max_retries=1, default_retry_delay=0)
def retries(self: "Task[..., None]", *args: Any, **kwargs: Any) -> None:
    raise self.retry(exc=ValueError(f"not yet: {args} {kwargs}"))


@shared_task(name="leaky.rejects", bind=True)
def rejects(self: "Task[..., None]", *args: Any, **kwargs: Any) -> None:
    raise Reject(f"no: {args} {kwargs}", requeue=False)


@shared_task(name="leaky.ends")
def ends() -> str:
    """The last to run: by then the others have been logged."""
    return "leaky.ended"
