"""What the tables of the operator hold of people: nothing."""

from accounts.privacy.registry import Nothing, declare
from chatbot_project.models import TaskRecord

declare(Nothing(TaskRecord, "Names of tasks, times and counts; of an error its class and line, never its message."))
