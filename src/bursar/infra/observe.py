"""Logs and figures: structlog to standard error as JSON, Prometheus metrics."""

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

REQUESTS = Counter("bursar_requests", "Requests by operation and status", ["operation", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "bursar_request_seconds",
    "Time from the request's head to its answer",
    ["operation"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
BATCH_SIZE = Histogram(
    "bursar_batch_commands", "Commands in a batch", buckets=(1, 2, 4, 8, 16, 32, 64), registry=REGISTRY
)
BATCH_SECONDS = Histogram(
    "bursar_batch_seconds",
    "Time from sending a batch to its answer",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1),
    registry=REGISTRY,
)
BATCH_REFUSED = Counter("bursar_batch_refused", "Commands decided again, by reason", ["reason"], registry=REGISTRY)
BATCH_ALONE = Counter("bursar_batch_alone", "Commands that ran in a transaction of their own", registry=REGISTRY)
PROVIDER_OUTCOMES = Counter(
    "bursar_provider_outcomes", "Calls to providers by outcome", ["provider", "operation", "outcome"], registry=REGISTRY
)
PROVIDER_SECONDS = Histogram(
    "bursar_provider_seconds", "Time a provider took to answer", ["provider", "operation"], registry=REGISTRY
)
PROVIDER_BREAKER_OPEN = Gauge(
    "bursar_provider_breaker_open", "1 while no call goes out to a provider that fails", ["provider"], registry=REGISTRY
)
WEBHOOKS_MISSED = Counter(
    "bursar_webhooks_missed",
    "Events that a provider's log shows and that no webhook brought",
    ["provider"],
    registry=REGISTRY,
)
SETTLE_REFUSED = Counter(
    "bursar_settle_refused", "Outcomes of a provider that the database refused to book: look at once", registry=REGISTRY
)
INVARIANT_FAULTS = Gauge(
    "bursar_invariant_faults", "Faults found by the last run of each invariant", ["name"], registry=REGISTRY
)


def configure_logging(level: str) -> None:
    """One JSON object a line on standard error. Never a card number, a token or personal data: log references."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
