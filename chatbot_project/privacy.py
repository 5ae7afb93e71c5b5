"""What the tables of the operator hold of people: nothing."""

from accounts.privacy.registry import Files, Nothing, RedisKeys, declare
from chatbot_project.models import Maintenance, TaskRecord

declare(
    Nothing(TaskRecord, "Names of tasks, times and counts; of an error its class and line, never its message."),
    Nothing(Maintenance, "Whether the service rests, until when, and what staff have everybody told of it."),
    RedisKeys("nono:beat-alive", "When beat last sent a task", "", "a day"),
    RedisKeys("nono:doctor:*", "Words that manage.py doctor sends on a round trip", "", "a minute"),
    Files(
        "backups",
        "Backups of the database (BACKUP_DIR)",
        "all of the above, as it was then",
        "as many as `manage.py backup --keep` leaves; what is copied elsewhere, as the operator sees to",
        "runs out with the backup; whoever was erased since is erased again as one is restored",
    ),
)
