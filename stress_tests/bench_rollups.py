"""What figures cost: ``python -m stress_tests.bench_rollups [--messages N]``.

On a PostgreSQL of its own in a temporary directory: N messages (1,000,000) of 500 people over a year, in conversations
of 20, with five personas, three models, four languages and three channels. Prints how long it takes to add all of it
up, to add up once more after a new message, and to read a year of it: as the dashboard's page answers (first, and once
more with what it keeps of it), and by reading. Times are from inside, the best of a few but for the first.
"""

import argparse
import json
import textwrap

from .bench_database import own_database

PEOPLE, PERSONAS, TURNS = 500, 5, 10
SEED = """
import sys
from django.db import connection
from accounts.models import User
from conversations.tests.factories import make_persona
conversations, people, personas, turns = map(int, sys.argv[1:])
owners = User.objects.bulk_create(User(email=f"{n}@example.org", username=f"bench-{n}") for n in range(people))
versions = [make_persona().published_id for _ in range(personas)]
with connection.cursor() as cursor:
    cursor.execute(
        '''
        CREATE TEMP TABLE begun AS
        SELECT gen_random_uuid() AS id, (%s::uuid[])[1 + floor(random() * %s)::int] AS owner,
               (%s::uuid[])[1 + floor(random() * %s)::int] AS version, now() - random() * interval '365 days' AS at,
               (ARRAY['en', 'de', 'fr', 'nl'])[1 + floor(random() * 4)::int] AS language,
               (ARRAY[NULL, 'api', 'openai'])[1 + floor(random() * 3)::int] AS channel
        FROM generate_series(1, %s);
        INSERT INTO conversations_conversation
          (id, owner_id, persona_version_id, title, title_source, pinned, created_at, updated_at, revision, summary,
           language, channel)
        SELECT id, owner, version, 'Seeded', 'question', false, at, at, 1, '', language, channel FROM begun
        ''',
        [[o.pk for o in owners], people, versions, personas, conversations],
    )
    cursor.execute(
        '''
        WITH pairs AS MATERIALIZED (
          SELECT begun.*, gen_random_uuid() AS question, gen_random_uuid() AS reply, random() AS chance,
                 at + turn * interval '40 seconds' AS asked
          FROM begun, generate_series(0, %s - 1) AS turn WHERE at < now() - interval '10 minutes'
        ), questions AS (
          INSERT INTO conversations_message
            (id, conversation_id, owner_id, role, status, text, created_at, provider, epoch, worker, stop_requested,
             model, finish_reason, error_code, usage_estimated)
          SELECT question, id, owner, 'user', 'sent', 'x', asked, '', 0, '', false, '', '', '', false FROM pairs
        )
        INSERT INTO conversations_message
          (id, conversation_id, owner_id, parent_id, role, status, text, created_at, queued_at, started_at,
           first_token_at, finished_at, provider, epoch, worker, stop_requested, model, finish_reason, error_code,
           prompt_tokens, completion_tokens, usage_estimated, source)
        SELECT reply, id, owner, question, 'assistant',
               CASE WHEN chance < .95 THEN 'completed' WHEN chance < .98 THEN 'stopped' ELSE 'failed' END, 'x', asked,
               asked, asked + chance * interval '50 ms', asked + interval '200 ms' + chance * interval '2 s',
               asked + interval '2 s' + chance * interval '20 s', 'acme', 1, '', false,
               'acme/' || (ARRAY['big', 'small', 'spare'])[1 + floor(random() * 3)::int], 'stop', '', 400, 60,
               chance < .2, CASE WHEN chance < .7 THEN 'model' WHEN chance < .85 THEN 'faq' ELSE 'unknown' END
        FROM pairs
        ''',
        [turns],
    )
    cursor.execute("ANALYZE")
"""
MEASURE = """
import json, sys
from datetime import timedelta
from time import perf_counter
from django.test import Client
from django.utils import timezone
from accounts.models import User
from analytics import rollups
from analytics.metrics import values
from analytics.models import Usage
from analytics.pages.readying import make_ready
from analytics.totals import By, before, last_days, read_groups, read_totals
from conversations.models import Conversation, Message

def timed(work):
    begun = perf_counter()
    work()
    return perf_counter() - begun

found = {"messages": Message.objects.count(), "all": timed(rollups.rebuild), "rows": Usage.objects.count()}
first = Conversation.objects.order_by("-created_at").first()
Message.objects.create(conversation=first, owner_id=first.owner_id, role="user", status="sent", text="x")
found["again"] = timed(rollups.refresh)
year = last_days(365, timezone.now().date(), rollups.reporting_zone())

admin = User.objects.create(email="admin@example.org", username="bench-admin", role="admin")
browser = Client(headers={"host": "127.0.0.1"})
browser.force_login(admin)

def page(range="365"):
    answer = browser.get("/analytics/", {"range": range})
    assert answer.status_code == 200, answer.status_code
    found["bytes of the page"] = len(answer.content)

page("7")  # templates are read, the pool is open
found["page, first"] = timed(page)
found["page, again"] = min(timed(page) for _ in range(5))
Message.objects.create(conversation=first, owner_id=first.owner_id, role="user", status="sent", text="x")
rollups.refresh()
found["made ready after a count"] = timed(make_ready)
found["page, first after it was made ready"] = timed(page)
values(read_totals(before(year)))
found["totals"] = min(timed(lambda: read_totals(year)) for _ in range(5))
for by in (By.DAY, By.WEEK, By.MONTH, By.PERSONA, By.MODEL, By.LANGUAGE):
    found[f"by {by}"] = min(timed(lambda: read_groups(year, by)) for _ in range(3))
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    conversations = parser.parse_args().messages // (2 * TURNS)
    with own_database("rollups") as python:
        python(*map(str, (conversations, PEOPLE, PERSONAS, TURNS)), given=SEED)
        found = json.loads(python(given=textwrap.dedent(MEASURE)).splitlines()[-1])
    print(f"{found.pop('messages'):,} messages added up in {found.pop('all'):.1f} s to {found.pop('rows'):,} rows")
    print(f"added up again after one more message: {found.pop('again'):.2f} s")
    print(f"the page of a year has {found.pop('bytes of the page'):,} bytes")
    for name, seconds in found.items():
        print(f"a year, {name}: {seconds * 1000:.0f} ms")


if __name__ == "__main__":
    main()
