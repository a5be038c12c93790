-- Which vendor gets what of a payment's captured money. Statements parse the CHECKs anew: see 0004_payments.sql.

create type transaction_type as enum ('CHARGE', 'REFUND', 'CHARGEBACK', 'ADJUSTMENT');
create type transaction_status as enum ('PENDING', 'COMPLETED', 'FAILED');

-- Each allocation's gross is its commission and its net; what is taken back of it, and of its commission, is part of it.
-- Of a charge they sum to its amount, of anything else to no more than that.
create function are_allocations(
    allocations jsonb, type transaction_type, amount bigint, commission_total bigint, amount_refunded bigint
) returns boolean language plpgsql immutable strict as $$
declare
    a          jsonb;
    gross      bigint;
    commission bigint;
    taken      bigint;
    back       bigint;
    grosses     bigint := 0;
    commissions bigint := 0;
    refunds     bigint := 0;
begin
    for a in select jsonb_array_elements(allocations) loop
        gross := (a ->> 'grossAmount')::bigint;
        commission := (a ->> 'commissionAmount')::bigint;
        if (gross > 0 and commission between 0 and gross and (a ->> 'netAmount')::bigint = gross - commission
            and a ->> 'vendorId' <> '') is not true then
            return false;
        end if;
        if a ?| '{refunding,refunded,disputed,commissionRefunding,commissionReturned,commissionDisputed,commissionKept}' then
            if type <> 'CHARGE' or least(
                (a ->> 'refunding')::bigint, (a ->> 'refunded')::bigint, (a ->> 'disputed')::bigint,
                (a ->> 'commissionRefunding')::bigint, (a ->> 'commissionReturned')::bigint,
                (a ->> 'commissionDisputed')::bigint, (a ->> 'commissionKept')::bigint) < 0 then
                return false;
            end if;
            taken := coalesce((a ->> 'refunding')::bigint, 0) + coalesce((a ->> 'refunded')::bigint, 0)
                + coalesce((a ->> 'disputed')::bigint, 0);
            back := coalesce((a ->> 'commissionRefunding')::bigint, 0) + coalesce((a ->> 'commissionReturned')::bigint, 0)
                + coalesce((a ->> 'commissionDisputed')::bigint, 0) + coalesce((a ->> 'commissionKept')::bigint, 0);
            if taken > gross or back > commission or back > taken then
                return false;
            end if;
            refunds := refunds + coalesce((a ->> 'refunded')::bigint, 0);
        end if;
        grosses := grosses + gross;
        commissions := commissions + commission;
    end loop;
    return commissions = commission_total and refunds = amount_refunded
        and case type when 'CHARGE' then grosses = amount else grosses <= amount end;
end $$;

create table transactions (
    id                    uuid        primary key,
    version               int         not null check (version > 0),
    payment_id            uuid        not null references payments (id),
    order_id              text        not null,
    customer_id           text        not null,
    type                  transaction_type not null,
    status                transaction_status not null,
    amount                bigint      not null check (amount between 1 and 1000000000000),
    currency              text        not null check (currency ~ '^[A-Z]{3}$'),
    allocations           jsonb       not null,
    amount_refunded       bigint      not null check (amount_refunded between 0 and amount),
    commission_total      bigint      not null check (commission_total between 0 and amount),
    metadata              jsonb       not null,
    created_at            timestamptz not null,
    updated_at            timestamptz not null,
    transaction_id        text,
    gateway_reference     text,
    parent_transaction_id uuid        references transactions (id),
    refund_id             uuid,
    dispute_id            uuid,
    failure_reason        text,
    completed_at          timestamptz,
    failed_at             timestamptz,
    constraint transactions_allocations check (
        are_allocations(allocations, type, amount, commission_total, amount_refunded)),
    constraint transactions_charges_allocate check (type <> 'CHARGE' or allocations <> '[]'),
    constraint transactions_belong check (
        (refund_id is not null) = (type = 'REFUND') and (dispute_id is not null) = (type = 'CHARGEBACK')),
    constraint transactions_only_completed_are_taken_back check (amount_refunded = 0 or status = 'COMPLETED'),
    constraint transactions_completed_at check (
        (status = 'COMPLETED' and completed_at is not null) or (status = 'PENDING' and completed_at is null)
        or (status = 'FAILED' and (completed_at is null or type <> 'CHARGE'))),
    constraint transactions_failed_at check (
        (status = 'FAILED') = (failed_at is not null) and (status = 'FAILED') = (failure_reason is not null))
) with (fillfactor = 80);
create index transactions_by_payment on transactions (payment_id, id);
create index transactions_by_order on transactions (order_id, id);
create index transactions_by_customer on transactions (customer_id, id);
create index transactions_by_external_id on transactions (transaction_id) where transaction_id is not null;
create index transactions_by_gateway_reference on transactions (gateway_reference) where gateway_reference is not null;
create index transactions_completed on transactions (completed_at, id) where type = 'CHARGE' and status = 'COMPLETED';

-- Whose transactions there are, for lists and for what a vendor sold; written by the functions below alone.
create table transaction_vendors (
    vendor_id      text        not null,
    transaction_id uuid        not null references transactions (id),
    currency       text        not null,
    type           transaction_type not null,
    status         transaction_status not null,
    gross          bigint      not null check (gross > 0),
    completed_at   timestamptz,
    primary key (vendor_id, transaction_id)
) with (fillfactor = 90);
create index transaction_vendors_of_transaction on transaction_vendors (transaction_id);
create index transaction_vendors_sold on transaction_vendors (vendor_id, currency, completed_at) include (gross)
    where type = 'CHARGE' and status = 'COMPLETED';

create function write_new_transactions(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into transactions
    select (x.r).* from jsonb_to_recordset(p) as x(c int, r transactions) where x.c <> all (bad);

    insert into transaction_vendors (vendor_id, transaction_id, currency, type, status, gross, completed_at)
    select a.value ->> 'vendorId', (x.r).id, (x.r).currency, (x.r).type, (x.r).status,
           sum((a.value ->> 'grossAmount')::bigint), (x.r).completed_at
    from jsonb_to_recordset(p) as x(c int, r transactions), jsonb_array_elements((x.r).allocations) as a(value)
    where x.c <> all (bad)
    group by a.value ->> 'vendorId', (x.r).id, (x.r).currency, (x.r).type, (x.r).status, (x.r).completed_at;
end $$;

create function write_transactions(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update transactions t set
        version = (x.r).version, status = (x.r).status, allocations = (x.r).allocations,
        amount_refunded = (x.r).amount_refunded, metadata = (x.r).metadata, updated_at = (x.r).updated_at,
        gateway_reference = (x.r).gateway_reference, failure_reason = (x.r).failure_reason,
        completed_at = (x.r).completed_at, failed_at = (x.r).failed_at
    from jsonb_to_recordset(p) as x(c int, r transactions)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));

    update transaction_vendors v set status = (x.r).status, completed_at = (x.r).completed_at
    from jsonb_to_recordset(p) as x(c int, r transactions)
    where v.transaction_id = (x.r).id and x.c <> all (bad) and v.status <> (x.r).status
      and v.transaction_id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_transactions(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from transactions t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
