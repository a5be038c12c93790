-- Each statement on payments parses the table's CHECK constraints anew: so they compare enums with array constants, and
-- the functions in them are plpgsql, which nobody tries to inline.

create type payment_status as enum (
    'PENDING', 'IN_REVIEW', 'REQUIRES_ACTION', 'AUTHORIZING', 'AUTHORIZED', 'CAPTURING', 'PARTIALLY_CAPTURED', 'CAPTURED',
    'VOIDING', 'COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED');
create type capture_method as enum ('MANUAL', 'AUTOMATIC');

create function splits_total(splits jsonb) returns numeric language plpgsql immutable strict as $$
begin
    return (select coalesce(sum((s ->> 'amount')::bigint), 0) from jsonb_array_elements(splits) s);
end $$;

create function attempts_total(attempts jsonb, wanted text) returns numeric language plpgsql immutable strict as $$
begin
    return (
        select coalesce(sum((a ->> 'amount')::bigint), 0) from jsonb_array_elements(attempts) a where a ->> 'kind' = wanted);
end $$;

create table payments (
    id                       uuid        primary key,
    version                  int         not null check (version > 0),
    payment_number           text        not null unique,
    order_id                 text        not null,
    customer_id              text        not null,
    amount                   bigint      not null check (amount between 1 and 1000000000000),
    currency                 text        not null check (currency ~ '^[A-Z]{3}$'),
    capture_method           capture_method not null,
    status                   payment_status not null,
    payment_method_id        text,
    splits                   jsonb,
    description              text,
    metadata                 jsonb       not null,
    amount_authorized        bigint      not null check (amount_authorized between 0 and 1000000000000),
    amount_capturing         bigint      not null check (amount_capturing >= 0),
    amount_captured          bigint      not null check (amount_captured >= 0),
    amount_refunded          bigint      not null check (amount_refunded >= 0),
    is_capture_final         boolean     not null,
    dispute_status           text,
    failure_code             text,
    failure_reason           text,
    fraud_check_id           uuid        references fraud_checks (id),
    risk_level               risk_level,
    provider                 text        not null,
    provider_transaction_id  text,
    next_action              jsonb,
    attempts                 jsonb       not null,
    asked_by                 jsonb       not null default '[]',
    personal_data_id         uuid        references personal_data (id),
    created_at               timestamptz not null,
    updated_at               timestamptz not null,
    authorized_at            timestamptz,
    authorization_expires_at timestamptz,
    captured_at              timestamptz,
    completed_at             timestamptz,
    failed_at                timestamptz,
    cancelled_at             timestamptz,
    constraint payments_authorized_in_amount check (amount_authorized <= amount),
    constraint payments_captured_in_authorized check (amount_captured + amount_capturing <= amount_authorized),
    constraint payments_refunded_in_captured check (amount_refunded <= amount_captured),
    constraint payments_splits_sum check (splits is null or splits_total(splits) = amount),
    constraint payments_capturing_is_attempts check (
        case jsonb_array_length(attempts)
            when 0 then amount_capturing = 0
            when 1 then amount_capturing = case attempts -> 0 ->> 'kind' when 'CAPTURE' then (attempts -> 0 ->> 'amount')::bigint else 0 end
            else amount_capturing = attempts_total(attempts, 'CAPTURE') end),
    constraint payments_open_attempts check (
        (status = any ('{AUTHORIZING,CAPTURING,VOIDING}')) = (attempts <> '[]')),
    constraint payments_authorized_status check (
        status <> all ('{AUTHORIZED,CAPTURING,PARTIALLY_CAPTURED,CAPTURED,COMPLETED}') or amount_authorized > 0),
    constraint payments_captured_status check (
        status <> all ('{PARTIALLY_CAPTURED,CAPTURED,COMPLETED}') or amount_captured > 0),
    constraint payments_uncaptured_status check (
        status <> all ('{PENDING,IN_REVIEW,REQUIRES_ACTION,AUTHORIZING,AUTHORIZED,FAILED,CANCELLED,EXPIRED}')
        or amount_captured = 0)
) with (fillfactor = 70);
create index payments_by_order on payments (order_id, id);
create index payments_by_customer on payments (customer_id, id);
create index payments_by_status on payments (status, id);
create index payments_by_provider_transaction on payments (provider_transaction_id)
    where provider_transaction_id is not null;
create index payments_by_expiry on payments (authorization_expires_at)
    where status = any ('{AUTHORIZED,PARTIALLY_CAPTURED}');

create function write_new_payments(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into payments select (x.r).* from jsonb_to_recordset(p) as x(c int, r payments) where x.c <> all (bad);
end $$;

create function write_payments(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update payments t set
        version = (x.r).version, status = (x.r).status, payment_method_id = (x.r).payment_method_id,
        description = (x.r).description, metadata = (x.r).metadata, amount_authorized = (x.r).amount_authorized,
        amount_capturing = (x.r).amount_capturing, amount_captured = (x.r).amount_captured,
        amount_refunded = (x.r).amount_refunded, is_capture_final = (x.r).is_capture_final,
        dispute_status = (x.r).dispute_status, failure_code = (x.r).failure_code, failure_reason = (x.r).failure_reason,
        provider_transaction_id = (x.r).provider_transaction_id, next_action = (x.r).next_action,
        attempts = (x.r).attempts, asked_by = (x.r).asked_by, updated_at = (x.r).updated_at, authorized_at = (x.r).authorized_at,
        authorization_expires_at = (x.r).authorization_expires_at, captured_at = (x.r).captured_at,
        completed_at = (x.r).completed_at, failed_at = (x.r).failed_at, cancelled_at = (x.r).cancelled_at
    from jsonb_to_recordset(p) as x(c int, r payments)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

-- Holds the rows that commands change; names the commands whose row is held elsewhere or has moved on.
create function guard_payments(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from payments t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
