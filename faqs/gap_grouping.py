"""When two questions that were not answered ask much the same. Pure: vectors in, figures out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def moved_mean(mean: "np.ndarray", count: int, vector: "np.ndarray") -> "np.ndarray":
    """The direction of ``count`` vectors whose mean direction is ``mean``, once ``vector`` is added; of length 1.

    All are float32 of length 1. Where the two cancel each other out, ``mean`` stays.
    """
    import numpy as np

    moved = mean * float(max(count, 1)) + vector
    length = float(np.linalg.norm(moved))
    return (moved / length).astype(np.float32) if length > 1e-6 else mean


@dataclass(frozen=True, slots=True)
class Grouping:
    """How questions with known intents were grouped.

    ``purity`` is the share of questions that stand with their group's most frequent intent, ``recurring`` the share
    that stand in a group of at least three: those an editor sees as asked again and again.
    """

    groups: int
    purity: float
    recurring: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Of all pairs of questions: the share of those with one intent, and of those with two, that are near enough."""

    same: float
    other: float


def group_in_turn(vectors: "np.ndarray", threshold: float) -> list[int]:
    """The group of each row of ``vectors`` (n, d), of length 1, when they come in one by one as questions do: each
    joins the group whose mean is nearest, from the cosine ``threshold`` on, or begins its own."""
    import numpy as np

    means = np.zeros_like(vectors)
    counts: list[int] = []
    joined: list[int] = []
    for vector in vectors:
        nearness = means[: len(counts)] @ vector
        nearest = int(nearness.argmax()) if counts else -1
        if nearest >= 0 and nearness[nearest] >= threshold:
            means[nearest] = moved_mean(means[nearest], counts[nearest], vector)
            counts[nearest] += 1
        else:
            nearest = len(counts)
            means[nearest] = vector
            counts.append(1)
        joined.append(nearest)
    return joined


def measure_grouping(vectors: "np.ndarray", intents: Sequence[str], threshold: float) -> Grouping:
    """What grouping in turn makes of questions whose intents are known."""
    members: dict[int, list[str]] = {}
    for group, intent in zip(group_in_turn(vectors, threshold), intents, strict=True):
        members.setdefault(group, []).append(intent)
    total = max(len(intents), 1)
    pure = sum(max(found.count(intent) for intent in set(found)) for found in members.values())
    recurring = sum(len(found) for found in members.values() if len(found) >= 3)
    return Grouping(len(members), pure / total, recurring / total)


def measure_pairs(vectors: "np.ndarray", intents: Sequence[str], threshold: float) -> Pairs:
    """How many pairs of rows reach ``threshold``, by whether they share their intent."""
    import numpy as np

    names = np.asarray(intents)
    upper = np.triu_indices(len(names), 1)
    near = (vectors @ vectors.T)[upper] >= threshold
    same = (names[:, None] == names[None, :])[upper]
    return Pairs(_share(near[same]), _share(near[~same]))


def _share(flags: "np.ndarray") -> float:
    return float(flags.mean()) if flags.size else 0.0
