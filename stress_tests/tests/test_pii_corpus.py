"""How well personal data is found: a small run of the corpus that the documents' figures come from."""

from chatbot_project.lib.pii import Kind
from stress_tests.pii_corpus import SENTENCES, measure, samples


def test_nearly_all_personal_data_is_found_and_hardly_anything_else() -> None:
    measured = measure(2400, seed=11)
    assert measured.overall.recall >= 0.99, measured.faults
    assert measured.overall.precision >= 0.98, measured.faults
    for name, tally in (measured.kinds | measured.locales).items():
        assert tally.values > 100, f"{name} is hardly in the corpus"
        assert tally.recall >= 0.95, (name, measured.faults)
        assert tally.precision >= 0.95, (name, measured.faults)


def test_the_corpus_is_the_same_for_a_seed_and_says_where_its_values_are() -> None:
    made = list(samples(300, seed=3))
    assert made == list(samples(300, seed=3))
    assert made != list(samples(300, seed=4))
    assert {sample.locale for sample in made} == set(SENTENCES)
    assert {value.kind for sample in made for value in sample.expected} == set(Kind)
    assert all(sample.text[value.start : value.end].strip() for sample in made for value in sample.expected)
