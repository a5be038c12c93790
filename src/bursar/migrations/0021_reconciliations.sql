-- What providers and banks say of our money, held against the ledger. write_batch learns of these tables in
-- 0022_write_batch.sql.

create type settlement_format as enum ('STRIPE_BALANCE_CSV', 'PAYPAL_CSV', 'CAMT_053', 'PROVIDER_REPORT');
create type reconciliation_status as enum ('RECEIVED', 'RUNNING', 'COMPLETED', 'FAILED');
create type reconciliation_item_kind as enum (
    'MATCHED', 'REPEATED', 'MISSING_WITH_US', 'MISSING_WITH_THEM', 'AMOUNT', 'CURRENCY', 'FEE', 'DUPLICATE', 'LATE', 'STATUS');
create type reconciliation_item_status as enum ('CLOSED', 'OPEN', 'EXPLAINED', 'RESOLVED');
create type settlement_movement as enum (
    'CHARGE', 'REFUND', 'DISPUTE', 'FAILURE', 'PAYOUT', 'FEE', 'ADJUSTMENT', 'ENTRY');

-- The files as they came, compressed, each encrypted under a key of its own. One that nobody refers to is of an upload
-- that went no further; the next upload of it takes it.
create table settlement_files (
    digest      text        primary key check (digest ~ '^[0-9a-f]{64}$'),
    size        bigint      not null check (size > 0),
    ciphertext  bytea       not null,
    wrapped_key text        not null,
    kek_version int         not null,
    received_at timestamptz not null
);
alter table settlement_files alter column ciphertext set storage external; -- what is encrypted does not shrink

create table reconciliations (
    id           uuid        primary key,
    version      int         not null check (version > 0),
    account      text        not null check (account ~ '^(provider:[^:]+:clearing|bank:[^:]+)$'),
    bank         text        not null,
    format       settlement_format not null,
    status       reconciliation_status not null,
    requested_by text        not null,
    counts       jsonb       not null,
    totals       jsonb       not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    provider     text,
    file_digest  text        references settlement_files (digest),
    file_size    bigint,
    since        timestamptz,
    until        timestamptz,
    row_count    int         check (row_count >= 0),
    faults       jsonb,
    completed_at timestamptz,
    constraint reconciliations_of_file unique (file_digest),
    constraint reconciliations_source check ((file_digest is null) = (format = 'PROVIDER_REPORT')),
    constraint reconciliations_period check (since is null or until is null or since < until),
    constraint reconciliations_report_has_period check (format <> 'PROVIDER_REPORT' or num_nonnulls(since, until, provider) = 3),
    constraint reconciliations_read check (status <> all ('{RUNNING,COMPLETED}') or num_nonnulls(row_count, since, until) = 3),
    constraint reconciliations_failed_why check ((status = 'FAILED') = (faults is not null)),
    constraint reconciliations_ended check ((status = 'COMPLETED') = (completed_at is not null))
) with (fillfactor = 70);
create index reconciliations_in_status on reconciliations (status, id);

create table reconciliation_items (
    id                uuid        primary key,
    version           int         not null check (version > 0),
    reconciliation_id uuid        not null references reconciliations (id),
    account           text        not null,
    row_key           text        not null,
    kind              reconciliation_item_kind not null,
    status            reconciliation_item_status not null,
    movement          settlement_movement not null,
    suspense          jsonb       not null check (jsonb_typeof(suspense) = 'object'),
    explanations      jsonb       not null check (jsonb_typeof(explanations) = 'array'),
    created_at        timestamptz not null,
    updated_at        timestamptz not null,
    line              int,
    row_id            text,
    their_references  jsonb,
    currency          text        check (currency ~ '^[A-Z]{3}$'),
    gross             bigint,
    fee               bigint,
    net               bigint,
    occurred_at       timestamptz,
    journal_id        uuid        references journals (id),
    payment_id        uuid,
    expected_currency text        check (expected_currency ~ '^[A-Z]{3}$'),
    expected_amount   bigint,
    expected_fee      bigint,
    expected_at       timestamptz,
    closes            uuid        references reconciliation_items (id),
    constraint reconciliation_items_once unique (reconciliation_id, row_key),
    constraint reconciliation_items_theirs check (num_nonnulls(their_references, currency, gross, fee, net, occurred_at) = any ('{0,6}')),
    constraint reconciliation_items_ours check (
        (journal_id is null) = (num_nonnulls(expected_currency, expected_amount, expected_at) = 0)
        and num_nonnulls(expected_currency, expected_amount, expected_at) = any ('{0,3}')),
    constraint reconciliation_items_one_at_least check (num_nonnulls(currency, journal_id) >= 1),
    constraint reconciliation_items_missing_with_us check (kind <> all ('{MISSING_WITH_US,DUPLICATE,REPEATED}') or journal_id is null),
    constraint reconciliation_items_missing_with_them check (kind <> 'MISSING_WITH_THEM' or currency is null),
    constraint reconciliation_items_agreed check ((status = 'CLOSED') = (kind = any ('{MATCHED,REPEATED}'))),
    constraint reconciliation_items_agreed_in_money check (
        kind <> all ('{MATCHED,REPEATED,LATE}') or suspense = '{}'),
    constraint reconciliation_items_explained check ((status = 'EXPLAINED') = (explanations <> '[]'))
) with (fillfactor = 90);
create unique index reconciliation_items_of_row on reconciliation_items (account, row_id)
    where row_id is not null and kind <> all ('{REPEATED,DUPLICATE}');
create unique index reconciliation_items_of_journal on reconciliation_items (journal_id)
    where journal_id is not null and kind <> 'MISSING_WITH_THEM';
create unique index reconciliation_items_missing_journal on reconciliation_items (journal_id)
    where kind = 'MISSING_WITH_THEM';
create unique index reconciliation_items_closing on reconciliation_items (closes) where closes is not null;
create index reconciliation_items_by_kind on reconciliation_items (reconciliation_id, kind, id);
create index reconciliation_items_by_id on reconciliation_items (reconciliation_id, id);
create index reconciliation_items_open on reconciliation_items (account, kind, id) where status = 'OPEN';

create function write_new_reconciliations(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into reconciliations
    select (x.r).* from jsonb_to_recordset(p) as x(c int, r reconciliations) where x.c <> all (bad);
end $$;

create function write_reconciliations(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update reconciliations t set
        version = (x.r).version, format = (x.r).format, status = (x.r).status, counts = (x.r).counts,
        totals = (x.r).totals, updated_at = (x.r).updated_at, since = (x.r).since, until = (x.r).until,
        row_count = (x.r).row_count, faults = (x.r).faults, completed_at = (x.r).completed_at, bank = (x.r).bank,
        requested_by = (x.r).requested_by
    from jsonb_to_recordset(p) as x(c int, r reconciliations)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_reconciliations(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from reconciliations t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;

-- In the order of their rows: two reconciliations that tell of the same rows wait for each other in one order.
create function write_new_reconciliation_items(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into reconciliation_items
    select (x.r).* from jsonb_to_recordset(p) as x(c int, r reconciliation_items) where x.c <> all (bad)
    order by (x.r).row_id, (x.r).journal_id;
end $$;

create function write_reconciliation_items(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update reconciliation_items t set
        version = (x.r).version, status = (x.r).status, explanations = (x.r).explanations,
        updated_at = (x.r).updated_at
    from jsonb_to_recordset(p) as x(c int, r reconciliation_items)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_reconciliation_items(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from reconciliation_items t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
