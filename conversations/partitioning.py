"""Messages in partitions by time: their ids are UUIDv7, so a range of ids is a range of time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

from chatbot_project.lib.postgres.partitions import PartitionedTable, Range

# What the unique index message_client_id holds within a partition. Of two at once the second waits for the first; not
# so where a guest's messages become somebody's, however many: nobody asks as that guest any more.
_ONCE = """
    CREATE OR REPLACE FUNCTION message_client_id_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            PERFORM pg_advisory_xact_lock(hashtextextended(NEW.client_id, hashtextextended(NEW.owner_id::text, 0)));
        END IF;
        IF EXISTS (SELECT FROM conversations_message
                   WHERE owner_id = NEW.owner_id AND client_id = NEW.client_id AND client_id IS NOT NULL
                     AND id <> NEW.id) THEN
            RAISE unique_violation USING MESSAGE = 'This client_id was used before.', CONSTRAINT = 'message_client_id';
        END IF;
        RETURN NEW;
    END $$
"""
_BEFORE_EACH = """
    CREATE TRIGGER message_client_id_once BEFORE INSERT OR UPDATE OF owner_id, client_id ON conversations_message
    FOR EACH ROW WHEN (NEW.client_id IS NOT NULL) EXECUTE FUNCTION message_client_id_once()
"""

MESSAGES = PartitionedTable("conversations_message", "id", (_ONCE, _BEFORE_EACH))


def first_id(at: datetime) -> UUID:
    """The least that an id made at ``at`` can be (RFC 9562, section 5.7)."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def made_at(identifier: UUID) -> datetime:
    """To the millisecond."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)


def month_after(at: datetime, months: int = 1) -> datetime:
    """The first moment of the month so many after that of ``at``, in UTC."""
    years, month = divmod(at.month - 1 + months, 12)
    return datetime(at.year + years, month + 1, 1, tzinfo=UTC)


def ranges(start: datetime, end: datetime, months: int) -> Iterator[Range]:
    """From ``start``, the first moment of a month, in steps of so many ``months`` until one reaches ``end``."""
    edges = [start]
    while edges[-1] < end:
        edges.append(month_after(edges[-1], months))
    for one, two in pairwise(edges):
        yield Range(f"{one:%Y_%m}", first_id(one), first_id(two))
