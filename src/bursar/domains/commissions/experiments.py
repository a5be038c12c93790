"""Who is drawn for which variant of an experiment: the same one each time, by a hash. Pure, integers only."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

import msgspec

from bursar.domains.commissions.model import Experiment, Rule, Unit

TRIES_MAX: Final = 200_000
"""How many keys are tried before an example is given up."""


class _Draw(msgspec.Struct, frozen=True):
    """variants: by name. bounds: where the share of each ends, of bounds[-1] in all."""

    variants: list[str]
    bounds: list[int]


class Experiments:
    """The experiments of rules that are in force together; the order of the rules makes no difference.

    Should two rules say different weights of one variant, the higher one counts.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        weights: dict[tuple[str, Unit], dict[str, int]] = {}
        for rule in rules:
            if (experiment := rule.experiment) is not None:
                shares = weights.setdefault((experiment.name, experiment.unit), {})
                shares[experiment.variant] = max(experiment.weight, shares.get(experiment.variant, 0))
        self._draws = {
            name: _Draw(sorted(shares), list(accumulate(shares[variant] for variant in sorted(shares))))
            for name, shares in weights.items()
        }
        self._examples: dict[frozenset[tuple[str, str]], str | None] = {}

    def is_drawn(self, experiment: Experiment, key: str) -> bool:
        """Whether `key`, a vendor's or a customer's id as its unit says, is drawn for the variant."""
        draw = self._draws[experiment.name, experiment.unit]
        number = _hash(experiment.name, key) % draw.bounds[-1]
        return draw.variants[bisect_right(draw.bounds, number)] == experiment.variant

    def draws_all(self, experiment: Experiment) -> bool:
        """Whether the variant is the only one of its experiment."""
        return len(self._draws[experiment.name, experiment.unit].variants) == 1

    def example(self, experiments: Iterable[Experiment], prefix: str) -> str | None:
        """An id that is drawn for all of `experiments`, which are of one unit; None where none was found."""
        wanted = list(experiments)
        known = frozenset((prefix, f"{experiment.name}\0{experiment.variant}") for experiment in wanted)
        if known not in self._examples:
            keys = (f"{prefix}-{number}" for number in range(1, TRIES_MAX + 1))
            found = (key for key in keys if all(self.is_drawn(experiment, key) for experiment in wanted))
            self._examples[known] = next(found, None)
        return self._examples[known]


def _hash(name: str, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest())
