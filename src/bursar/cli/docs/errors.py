"""docs/errors.md: every problem, and the decline codes."""

import ast
from collections.abc import Iterator
from functools import cache

from bursar.cli.docs.source import code, first_sentence, import_everything, table, trees
from bursar.infra import idempotency
from bursar.infra.answer import ERROR_TYPE
from bursar.kit.errors import Problem
from bursar.providers.declines import DECLINES

INTRODUCTION = f"""
# Errors

Every refusal is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, `instance`, `code`,
`requestId`; for faults of the request `errors` (`field`, `code`, `message` of each); for some codes further members.
`type` is `{ERROR_TYPE}` followed by the code. Codes are stable; titles and details are for people.

*Kept*: with an `Idempotency-Key`, the refusal is kept and replayed, if it was decided in the transaction. What is
refused before that (a request that cannot be read or is not valid, a token, a limit, a payment method that the
provider does not know) is not kept, whatever its code. *Retry-After*: the answer says when the same request may
succeed; such an answer is never kept.
""".strip()

DECLINE_CODES = """
## Decline codes

`payment_declined` carries the provider's reason as `declineCode`, `isRetryable`: whether another try with the same
method may succeed, and `advice` for the customer. Every provider's own codes are mapped to these:
""".strip()


def page() -> str:
    """Every code by status, then by name."""
    rows = [
        (
            code(problem.code),
            str(problem.status),
            problem.title,
            first_sentence(problem.__doc__) or problem.title,
            "yes" if idempotency.is_kept(problem(retry_after=1 if _can_be_retried(problem) else None)) else "no",
            "yes" if _can_be_retried(problem) else "",
        )
        for problem in problems()
    ]
    head = ("code", "status", "title", "meaning", "kept", "Retry-After")
    declined = [
        (code(name), "yes" if decline.is_retryable else "no", decline.advice) for name, decline in DECLINES.items()
    ]
    declines = table(("decline code", "retryable", "advice to the customer"), declined)
    return f"{INTRODUCTION}\n\n{table(head, rows)}\n\n{DECLINE_CODES}\n\n{declines}"


def problems() -> list[type[Problem]]:
    """Every problem of the service, by status and code."""
    import_everything()
    found = {problem for problem in _below(Problem) if problem.__module__.startswith("bursar.")}
    return sorted(found, key=lambda problem: (problem.status, problem.code))


def _below(problem: type[Problem]) -> Iterator[type[Problem]]:
    for child in problem.__subclasses__():
        yield child
        yield from _below(child)


def _can_be_retried(problem: type[Problem]) -> bool:
    return problem.__name__ in _raised_with_retry_after()


@cache
def _raised_with_retry_after() -> frozenset[str]:
    """The names of the classes that are made with `retry_after=` somewhere."""
    return frozenset(
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and any(keyword.arg == "retry_after" for keyword in node.keywords)
    )
