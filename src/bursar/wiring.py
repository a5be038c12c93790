"""The whole wiring on one page: controllers, reactions to events, jobs, schedules, state machines, invariants."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter

from bursar.domains.commissions import model as commission_model
from bursar.domains.commissions import routes as commission_routes
from bursar.domains.commissions import store as commission_store
from bursar.domains.commissions import verify as commission_verify
from bursar.domains.disputes import jobs as dispute_jobs
from bursar.domains.disputes import model as dispute_model
from bursar.domains.disputes import routes as dispute_routes
from bursar.domains.disputes import service as disputes
from bursar.domains.disputes import store as dispute_store
from bursar.domains.disputes import verify as dispute_verify
from bursar.domains.fraud import model as fraud_model
from bursar.domains.fraud import routes as fraud_routes
from bursar.domains.fraud import store as fraud_store
from bursar.domains.integration import jobs as integration_jobs
from bursar.domains.integration import model as integration_model
from bursar.domains.integration import routes as integration_routes
from bursar.domains.integration import service as integration
from bursar.domains.integration import store as integration_store
from bursar.domains.kyc import jobs as kyc_jobs
from bursar.domains.kyc import model as kyc_model
from bursar.domains.kyc import routes as kyc_routes
from bursar.domains.kyc import store as kyc_store
from bursar.domains.kyc import verify as kyc_verify
from bursar.domains.ledger import verify as ledger_verify
from bursar.domains.payment_methods import change as method_change
from bursar.domains.payment_methods import jobs as method_jobs
from bursar.domains.payment_methods import model as method_model
from bursar.domains.payment_methods import routes as method_routes
from bursar.domains.payment_methods import store as method_store
from bursar.domains.payment_methods import verify as method_verify
from bursar.domains.payments import jobs as payment_jobs
from bursar.domains.payments import model as payment_model
from bursar.domains.payments import routes as payment_routes
from bursar.domains.payments import service as payments
from bursar.domains.payments import store as payment_store
from bursar.domains.payments import verify as payment_verify
from bursar.domains.reconciliations import jobs as reconciliation_jobs
from bursar.domains.reconciliations import model as reconciliation_model
from bursar.domains.reconciliations import routes as reconciliation_routes
from bursar.domains.reconciliations import store as reconciliation_store
from bursar.domains.reconciliations import verify as reconciliation_verify
from bursar.domains.refunds import jobs as refund_jobs
from bursar.domains.refunds import model as refund_model
from bursar.domains.refunds import routes as refund_routes
from bursar.domains.refunds import store as refund_store
from bursar.domains.refunds import verify as refund_verify
from bursar.domains.routing import routes as routing_routes
from bursar.domains.routing import service as routing
from bursar.domains.routing import store as routing_store
from bursar.domains.transactions import model as transaction_model
from bursar.domains.transactions import routes as transaction_routes
from bursar.domains.transactions import service as transactions
from bursar.domains.transactions import store as transaction_store
from bursar.domains.transactions import verify as transaction_verify
from bursar.domains.webhook_endpoints import change as endpoint_change
from bursar.domains.webhook_endpoints import jobs as endpoint_jobs
from bursar.domains.webhook_endpoints import model as endpoint_model
from bursar.domains.webhook_endpoints import routes as endpoint_routes
from bursar.domains.webhook_endpoints import store as endpoint_store
from bursar.domains.webhook_endpoints import verify as endpoint_verify
from bursar.domains.webhooks import jobs as webhook_jobs
from bursar.domains.webhooks import model as webhook_model
from bursar.domains.webhooks import routes as webhook_routes
from bursar.domains.webhooks import store as webhook_store
from bursar.domains.webhooks import verify as webhook_verify
from bursar.infra.bus import Inbound
from bursar.infra.db import Table
from bursar.infra.events import Consumer
from bursar.infra.http import history, operations
from bursar.infra.jobs import JobType, Schedule
from bursar.kit.machine import Machine

ROUTERS: Final[tuple[APIRouter, ...]] = (
    payment_routes.router,
    transaction_routes.router,
    transaction_routes.rules_router,
    refund_routes.router,
    refund_routes.of_transactions,
    dispute_routes.router,
    reconciliation_routes.router,
    method_routes.router,
    kyc_routes.router,
    routing_routes.router,
    fraud_routes.router,
    commission_routes.router,
    webhook_routes.router,
    endpoint_routes.router,
    integration_routes.router,
    history.router,
    operations.router,
)

CONSUMERS: Final[tuple[Consumer, ...]] = (
    # name                       events                                                      reaction
    Consumer(
        "payments.fraud_reviewed",
        frozenset({"fraud_check.approved", "fraud_check.rejected"}),
        payments.on_fraud_reviewed,
    ),
)

JOBS: Final[dict[str, JobType]] = {
    job_type.kind: job_type
    for job_type in (
        *payment_jobs.TYPES,
        *refund_jobs.TYPES,
        *dispute_jobs.TYPES,
        *reconciliation_jobs.TYPES,
        *method_jobs.TYPES,
        *kyc_jobs.TYPES,
        *webhook_jobs.TYPES,
        *integration_jobs.TYPES,
    )
}

SCHEDULES: Final[tuple[Schedule, ...]] = (
    *payment_jobs.SCHEDULES,
    *refund_jobs.SCHEDULES,
    *dispute_jobs.SCHEDULES,
    *method_jobs.SCHEDULES,
    *kyc_jobs.SCHEDULES,
    *webhook_jobs.SCHEDULES,
    *endpoint_jobs.SCHEDULES,
)
"""Those of the domains; `app` adds the infrastructure's own."""

MACHINES: Final[tuple[Machine[Any], ...]] = (
    payment_model.MACHINE,
    transaction_model.MACHINE,
    refund_model.MACHINE,
    refund_model.BATCH_MACHINE,
    dispute_model.MACHINE,
    reconciliation_model.MACHINE,
    reconciliation_model.ITEM_MACHINE,
    method_model.MACHINE,
    method_model.VERIFICATION,
    kyc_model.MACHINE,
    fraud_model.MACHINE,
    commission_model.MACHINE,
    webhook_model.MACHINE,
    endpoint_model.MACHINE,
    integration_model.MACHINE,
)

AGGREGATES: Final[dict[str, tuple[Table[Any], str]]] = {
    # first part of the event's type: (table, event that makes a row)
    "payment": (payment_store.TABLE, payment_model.EVENT_CREATED),
    "transaction": (transaction_store.TABLE, transaction_model.EVENT_CREATED),
    "refund": (refund_store.TABLE, refund_model.EVENT_CREATED),
    "refund_batch": (refund_store.BATCHES, refund_model.EVENT_BATCH_CREATED),
    "dispute": (dispute_store.TABLE, dispute_model.EVENT_RECEIVED),
    "reconciliation": (reconciliation_store.TABLE, reconciliation_model.EVENT_RECEIVED),
    "payment_method": (method_store.TABLE, method_change.EVENT_CREATED),
    "kyc": (kyc_store.TABLE, kyc_model.EVENT_REQUESTED),
    "routing_rule": (routing_store.TABLE, routing.EVENT_CREATED),
    "webhook_endpoint": (endpoint_store.TABLE, endpoint_change.EVENT_CREATED),
    "integration_event": (integration_store.TABLE, integration_model.EVENT_RECEIVED),
    "commission_rule": (commission_store.TABLE, commission_model.EVENT_CREATED),
    "fraud_check": (fraud_store.TABLE, "fraud_check.completed"),
}
"""What `events replay` rebuilds."""

TOLD: Final[dict[str, tuple[Table[Any], str]]] = {
    **AGGREGATES,
    "reconciliation_item": (reconciliation_store.ITEMS, reconciliation_model.EVENT_FOUND),  # none of rows that agree
    "webhook": (webhook_store.TABLE, ""),  # its row holds what a provider sent, which no event repeats
}
"""Every object that events tell of; each event has its schema under docs/events/."""

INVARIANTS: Final[tuple[Callable[[Any], Awaitable[dict[str, list[str]]]], ...]] = (
    ledger_verify.faults,
    payment_verify.faults,
    transaction_verify.faults,
    refund_verify.faults,
    dispute_verify.faults,
    reconciliation_verify.faults,
    kyc_verify.faults,
    method_verify.faults,
    webhook_verify.faults,
    endpoint_verify.faults,
    commission_verify.faults,
)
"""Each answers its faults by check; run by `ledger verify`, by the tests after every flow, and hourly."""

INBOUND: Final = Inbound(integration.take, integration.refuse)
"""Who takes in what comes by the platform's bus."""

ON_CAPTURED: Final = transactions.on_captured
"""What follows from a capture in its own transaction."""

VENDOR_VOLUME: Final = transactions.vendor_volume
"""What a vendor sold, for commission rules that ask for it."""

ON_BANK_RETURN: Final = disputes.on_bank_return
"""Who books a debit that a bank takes back after it had counted as paid."""
