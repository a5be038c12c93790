"""Rules, and the order of providers that they give for a payment. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from bursar.kit.errors import Problem
from bursar.providers.port import Authorization, MethodType, PaymentProvider


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of routing_rules. What is None matches everything; amounts in minor units of `currency`, both included.

    priority: lowest first. weight: the share that a rule gets among those of its priority.
    """

    id: str
    version: int
    name: str
    status: Status
    priority: int
    weight: int
    provider: str
    created_at: datetime
    updated_at: datetime
    method_type: MethodType | None = None
    currency: str | None = None
    country: str | None = None
    min_amount: int | None = None
    max_amount: int | None = None

    def matches(self, facts: "Facts") -> bool:
        """Whether the rule speaks of such a payment."""
        return (
            self.method_type in (None, facts.method_type)
            and self.currency in (None, facts.currency)
            and self.country in (None, facts.country)
            and (self.min_amount is None or self.min_amount <= facts.amount)
            and (self.max_amount is None or facts.amount <= self.max_amount)
        )


class Facts(msgspec.Struct, frozen=True):
    """What a payment is routed by. country: of the method, where it is known. tokens: the providers that keep a token
    for it. is_portable: whether its number is at hand, so that any provider can take it.
    """

    payment_id: str
    method_type: MethodType
    amount: int
    currency: str
    country: str | None
    tokens: frozenset[str]
    is_portable: bool


class NoProvider(Problem):
    status, code, title = 422, "no_provider", "No provider takes this payment method in this currency"


class ProviderNotConfigured(Problem):
    status, code, title = 422, "provider_not_configured", "This provider is not configured here"


def plan(rules: Sequence[Rule], providers: Mapping[str, PaymentProvider], facts: Facts) -> tuple[str, ...]:
    """The providers for a payment, first choice first; those after it are asked only where one before certainly did
    nothing.

    rules: in any order. providers: by name, in the order that counts where no rule matches. Raises NoProvider.
    """
    able = [name for name, provider in providers.items() if _can_serve(name, provider, facts)]
    matching = sorted(
        (rule for rule in rules if rule.status is Status.ACTIVE and rule.provider in able and rule.matches(facts)),
        key=lambda rule: (rule.priority, rule.id),
    )
    chosen: list[str] = []
    while matching:
        rule = _drawn([rule for rule in matching if rule.priority == matching[0].priority], facts.payment_id)
        chosen.append(rule.provider)
        matching = [other for other in matching if other.provider != rule.provider]
    chosen = chosen or able
    if not chosen:
        raise NoProvider
    return tuple(chosen)


def _can_serve(name: str, provider: PaymentProvider, facts: Facts) -> bool:
    return (
        Authorization in provider.requests
        and facts.method_type in provider.method_types
        and provider.accepts(facts.currency)
        and (facts.is_portable or name in facts.tokens)
    )


def _drawn(rules: list[Rule], payment_id: str) -> Rule:
    """One of `rules` by weight; always the same one for the same payment."""
    left = int.from_bytes(hashlib.blake2b(payment_id.encode(), digest_size=8).digest()) % sum(r.weight for r in rules)
    for rule in rules:
        if left < rule.weight:
            return rule
        left -= rule.weight
    raise AssertionError("the weights were summed wrongly")
