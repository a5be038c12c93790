-- Refunds, and batches of them. What is asked for is reserved with the payment and with its transactions.

create type refund_status as enum (
    'PENDING_APPROVAL', 'APPROVED', 'PROCESSING', 'COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED');
create type refund_reason as enum (
    'CUSTOMER_REQUEST', 'ITEM_RETURNED', 'DUPLICATE', 'FRAUDULENT', 'ORDER_CANCELLED', 'DISPUTE', 'OTHER');

-- What the shares come to; null where one of them is not what the platform and the vendor give back together.
create function refund_shares_total(shares jsonb) returns numeric language plpgsql immutable strict as $$
declare
    share jsonb;
    total numeric := 0;
begin
    for share in select jsonb_array_elements(shares) loop
        if (share ->> 'gross')::bigint < 1 or (share ->> 'commission')::bigint < 0 or (share ->> 'net')::bigint < 0
            or (share ->> 'gross')::bigint <> (share ->> 'commission')::bigint + (share ->> 'net')::bigint
        then
            return null;
        end if;
        total := total + (share ->> 'gross')::bigint;
    end loop;
    return total;
end $$;

-- Approvals come from different people, none of them the requester, and all of them for this content.
create function are_refund_approvals(approvals jsonb, requester text, digest text) returns boolean
language plpgsql immutable strict as $$
begin
    return not exists (
            select from jsonb_array_elements(approvals) a
            where a ->> 'approvedBy' = requester or a ->> 'contentDigest' <> digest or a ->> 'approvedBy' is null)
        and jsonb_array_length(approvals) = (
            select count(distinct a ->> 'approvedBy') from jsonb_array_elements(approvals) a);
end $$;

create table refunds (
    id                      uuid        primary key,
    version                 int         not null check (version > 0),
    refund_number           text        not null unique,
    payment_id              uuid        not null references payments (id),
    order_id                text        not null,
    customer_id             text        not null,
    amount                  bigint      not null check (amount between 1 and 1000000000000),
    currency                text        not null check (currency ~ '^[A-Z]{3}$'),
    reason                  refund_reason not null,
    reason_detail           text,
    status                  refund_status not null,
    requested_by            text        not null,
    requester_roles         jsonb       not null,
    approvals_needed        int         not null check (approvals_needed between 0 and 2),
    approvals               jsonb       not null,
    approval_rule           text        not null,
    content_digest          text        not null,
    shares                  jsonb       not null,
    amount_unallocated      bigint      not null check (amount_unallocated >= 0),
    keeps_commission        boolean     not null,
    processes_itself        boolean     not null,
    is_foreign              boolean     not null,
    is_unknown              boolean     not null,
    source                  text,
    batch_id                uuid,
    transaction_id          uuid        references transactions (id),
    refund_transaction_id   uuid        not null references transactions (id),
    provider                text        not null,
    provider_transaction_id text,
    provider_reference      text,
    attempt_id              uuid,
    asked_at                timestamptz,
    asked_by                jsonb,
    failure_code            text,
    failure_reason          text,
    ended_by                text,
    metadata                jsonb       not null,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    approved_at             timestamptz,
    completed_at            timestamptz,
    ended_at                timestamptz,
    constraint refunds_once unique (source),
    constraint refunds_shares_sum check (amount_unallocated + coalesce(refund_shares_total(shares), -1) = amount),
    constraint refunds_approvers check (
        approvals = '[]' or are_refund_approvals(approvals, requested_by, content_digest)),
    constraint refunds_approved check (
        status <> all ('{APPROVED,PROCESSING,COMPLETED}') or jsonb_array_length(approvals) >= approvals_needed),
    constraint refunds_attempt check (
        status <> all ('{PROCESSING,COMPLETED}') or (attempt_id is not null and asked_at is not null)),
    constraint refunds_asker check (asked_by is null or status = 'PROCESSING'),
    constraint refunds_unknown check (not is_unknown or status = 'PROCESSING'),
    constraint refunds_moments check (
        (status <> 'COMPLETED' or completed_at is not null)
        and (status = any ('{REJECTED,FAILED,CANCELLED}')) = (ended_at is not null))
) with (fillfactor = 80);
create index refunds_by_payment on refunds (payment_id, id);
create index refunds_by_order on refunds (order_id, id);
create index refunds_by_status on refunds (status, id);
create index refunds_by_batch on refunds (batch_id) where batch_id is not null;
create unique index refunds_by_attempt on refunds (attempt_id) where attempt_id is not null;
create index refunds_by_reference on refunds (provider_reference) where provider_reference is not null;

create function write_new_refunds(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into refunds select (x.r).* from jsonb_to_recordset(p) as x(c int, r refunds) where x.c <> all (bad);
end $$;

-- What a refund is for never changes: only what becomes of it.
create function write_refunds(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update refunds t set
        version = (x.r).version, status = (x.r).status, approvals = (x.r).approvals, is_unknown = (x.r).is_unknown,
        provider_reference = (x.r).provider_reference, attempt_id = (x.r).attempt_id, asked_at = (x.r).asked_at,
        asked_by = (x.r).asked_by, failure_code = (x.r).failure_code, failure_reason = (x.r).failure_reason,
        ended_by = (x.r).ended_by, metadata = (x.r).metadata, updated_at = (x.r).updated_at,
        approved_at = (x.r).approved_at, completed_at = (x.r).completed_at, ended_at = (x.r).ended_at
    from jsonb_to_recordset(p) as x(c int, r refunds)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_refunds(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from refunds t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;

create type refund_batch_status as enum ('RUNNING', 'COMPLETED');
create type refund_batch_item_status as enum ('WAITING', 'ASKED', 'REFUSED');

create table refund_batches (
    id              uuid        primary key,
    version         int         not null check (version > 0),
    status          refund_batch_status not null,
    reason          refund_reason not null,
    reason_detail   text,
    vendor_id       text,
    item_count      int         not null check (item_count between 1 and 1000),
    asked_count     int         not null check (asked_count >= 0),
    refused_count   int         not null check (refused_count >= 0),
    requested_by    text        not null,
    requester_roles jsonb       not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    completed_at    timestamptz,
    constraint refund_batches_counts check (asked_count + refused_count <= item_count),
    constraint refund_batches_completed check (
        (status = 'COMPLETED') = (asked_count + refused_count = item_count)
        and (status = 'COMPLETED') = (completed_at is not null))
) with (fillfactor = 70);

create table refund_batch_items (
    id             uuid        primary key,
    batch_id       uuid        not null references refund_batches (id),
    position       int         not null check (position >= 1),
    status         refund_batch_item_status not null,
    order_id       text,
    payment_id     uuid,
    amount         bigint      check (amount between 1 and 1000000000000),
    refund_ids     uuid[]      not null,
    problem_code   text,
    problem_detail text,
    unique (batch_id, position),
    constraint refund_batch_items_subject check ((order_id is null) <> (payment_id is null)),
    constraint refund_batch_items_ended check (
        (status = 'ASKED') = (refund_ids <> '{}') and (status <> 'REFUSED' or problem_code is not null)
        and (status <> 'WAITING' or problem_code is null))
);
create index refund_batch_items_waiting on refund_batch_items (batch_id, position) where status = 'WAITING';

-- A batch comes with its items.
create function write_new_refund_batches(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into refund_batches
    select (x.r).* from jsonb_to_recordset(p) as x(c int, r refund_batches) where x.c <> all (bad);
    insert into refund_batch_items (id, batch_id, position, status, order_id, payment_id, amount, refund_ids)
    select (i ->> 'id')::uuid, (x.r ->> 'id')::uuid, (i ->> 'position')::int,
           (i ->> 'status')::refund_batch_item_status, i ->> 'order_id', (i ->> 'payment_id')::uuid,
           (i ->> 'amount')::bigint, '{}'
    from jsonb_to_recordset(p) as x(c int, r jsonb), jsonb_array_elements(x.r -> 'items') i
    where x.c <> all (bad);
end $$;

create function write_refund_batches(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update refund_batches t set
        version = (x.r).version, status = (x.r).status, asked_count = (x.r).asked_count,
        refused_count = (x.r).refused_count, updated_at = (x.r).updated_at, completed_at = (x.r).completed_at
    from jsonb_to_recordset(p) as x(c int, r refund_batches)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_refund_batches(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from refund_batches t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
