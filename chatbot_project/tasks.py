"""Background tasks of the installation itself."""

from celery import shared_task

from chatbot_project.lib.redis import blocking_redis

ANSWER_SECONDS = 60


def answer_key(word: str) -> str:
    """Where the answer to ``word`` is left."""
    return f"nono:doctor:{word}"


@shared_task(ignore_result=True)
def answer_doctor(word: str) -> None:
    """Show ``manage.py doctor`` that tasks are done. Raises RedisError."""
    pipe = blocking_redis().pipeline()
    pipe.rpush(answer_key(word), b"done")
    pipe.expire(answer_key(word), ANSWER_SECONDS)
    pipe.execute()
