import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from chatbot_project.lib.ids import uuid7


def test_an_id_is_a_version_7_uuid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_made_one_after_the_other_are_in_the_order_of_time() -> None:
    made = []
    for _ in range(200):
        made.append(uuid7())
        at = time.time_ns()
        while time.time_ns() - at < 1000:  # a fraction of a millisecond that the id can tell
            pass
    assert made == sorted(made)


def test_ids_never_meet() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [pk for each in pool.map(lambda _n: [uuid7() for _ in range(5000)], range(8)) for pk in each]
    assert len(set(made)) == 40_000
