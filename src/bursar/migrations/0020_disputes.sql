-- What customers' banks take back, and the alerts that may become that.

create type dispute_status as enum ('ALERT', 'NEEDS_RESPONSE', 'UNDER_REVIEW', 'ACCEPTED', 'WON', 'LOST', 'CLOSED');

-- What was taken from vendors and the platform's commission. Every share has its parts.
create function dispute_shares_total(shares jsonb) returns numeric language plpgsql immutable strict as $$
begin
    return (
        select case when bool_and((s ->> 'gross')::bigint > 0 and (s ->> 'commission')::bigint >= 0
                                  and (s ->> 'net')::bigint >= 0
                                  and (s ->> 'gross')::bigint = (s ->> 'commission')::bigint + (s ->> 'net')::bigint)
                    then sum((s ->> 'gross')::bigint) end
        from jsonb_array_elements(shares) s);
end $$;

create table disputes (
    id                    uuid        primary key,
    version               int         not null check (version > 0),
    payment_id            uuid        not null references payments (id),
    order_id              text        not null,
    customer_id           text        not null,
    provider              text        not null check (provider !~ ' '),
    provider_dispute_id   text        not null,
    amount                bigint      not null check (amount between 1 and 1000000000000),
    currency              text        not null check (currency ~ '^[A-Z]{3}$'),
    fee_amount            bigint      not null check (fee_amount between 0 and 1000000000000),
    reason                text        not null check (reason ~ '^[A-Z_]{1,40}$'),
    status                dispute_status not null,
    evidence_names        jsonb       not null check (jsonb_typeof(evidence_names) = 'array'),
    shares                jsonb       not null check (jsonb_typeof(shares) = 'array'),
    amount_booked         bigint      not null check (amount_booked between 0 and amount),
    amount_unallocated    bigint      not null check (amount_unallocated >= 0),
    amount_lost           bigint      not null check (amount_lost >= 0),
    is_by_hand            boolean     not null,
    metadata              jsonb       not null,
    opened_at             timestamptz not null,
    created_at            timestamptz not null,
    updated_at            timestamptz not null,
    attempt               jsonb       check (attempt ->> 'kind' = any ('{EVIDENCE,ACCEPTANCE,REFUND}')),
    asked_by              jsonb,
    personal_data_id      uuid        references personal_data (id),
    evidence_due_at       timestamptz,
    evidence_staged_at    timestamptz,
    evidence_submitted_at timestamptz,
    due_soon_at           timestamptz,
    deadline_missed_at    timestamptz,
    step_failed_at        timestamptz,
    decline_code          text,
    transaction_id        uuid        references transactions (id),
    refund_id             uuid        references refunds (id),
    closed_at             timestamptz,
    constraint disputes_of_provider unique (provider, provider_dispute_id),
    constraint disputes_alerts_take_nothing check (
        status <> all ('{ALERT,CLOSED}')
        or (shares = '[]' and amount_booked = 0 and amount_unallocated = 0 and amount_lost = 0 and fee_amount = 0)),
    constraint disputes_amount_is_parts check (
        status = any ('{ALERT,CLOSED}')
        or case shares when '[]' then amount = amount_unallocated + amount_lost
                else coalesce(amount = dispute_shares_total(shares) + amount_unallocated + amount_lost, false) end),
    constraint disputes_evidence_is_personal check ((evidence_names = '[]') = (personal_data_id is null)),
    constraint disputes_open_attempt check (
        attempt is null or status = any ('{ALERT,NEEDS_RESPONSE,UNDER_REVIEW}')),
    constraint disputes_asked_by_attempt check ((attempt is null) = (asked_by is null)),
    constraint disputes_alerts_are_refunded check (
        attempt is null or attempt ->> 'kind' <> 'REFUND' or status = 'ALERT'),
    constraint disputes_closed_at check (
        (closed_at is null) = (status = any ('{ALERT,NEEDS_RESPONSE,UNDER_REVIEW}')))
) with (fillfactor = 70);
create index disputes_by_payment on disputes (payment_id, id);
create index disputes_by_status on disputes (status, id);
create index disputes_by_deadline on disputes (evidence_due_at)
    where status = any ('{ALERT,NEEDS_RESPONSE}') and deadline_missed_at is null;
create index disputes_with_attempt on disputes (updated_at) where attempt is not null;

-- Of which disputes a vendor bears a share; written with them, never changed: shares are kept when a dispute is won.
create table dispute_vendors (
    vendor_id  text not null,
    dispute_id uuid not null references disputes (id),
    primary key (vendor_id, dispute_id)
);

create function write_dispute_vendors(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into dispute_vendors (vendor_id, dispute_id)
    select distinct s ->> 'vendorId', (x.r ->> 'id')::uuid
    from jsonb_to_recordset(p) as x(c int, r jsonb), jsonb_array_elements(x.r -> 'shares') s
    where x.c <> all (bad)
    on conflict do nothing;
end $$;

create function write_new_disputes(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into disputes select (x.r).* from jsonb_to_recordset(p) as x(c int, r disputes) where x.c <> all (bad);
    perform write_dispute_vendors(p, bad);
end $$;

create function write_disputes(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update disputes t set
        version = (x.r).version, amount = (x.r).amount, fee_amount = (x.r).fee_amount, reason = (x.r).reason,
        status = (x.r).status, personal_data_id = (x.r).personal_data_id, evidence_names = (x.r).evidence_names,
        shares = (x.r).shares, amount_booked = (x.r).amount_booked, amount_unallocated = (x.r).amount_unallocated,
        amount_lost = (x.r).amount_lost, is_by_hand = (x.r).is_by_hand, metadata = (x.r).metadata,
        updated_at = (x.r).updated_at, attempt = (x.r).attempt, asked_by = (x.r).asked_by,
        evidence_due_at = (x.r).evidence_due_at, evidence_staged_at = (x.r).evidence_staged_at,
        evidence_submitted_at = (x.r).evidence_submitted_at, due_soon_at = (x.r).due_soon_at,
        deadline_missed_at = (x.r).deadline_missed_at, step_failed_at = (x.r).step_failed_at,
        decline_code = (x.r).decline_code, transaction_id = (x.r).transaction_id, refund_id = (x.r).refund_id,
        closed_at = (x.r).closed_at
    from jsonb_to_recordset(p) as x(c int, r disputes)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
    perform write_dispute_vendors(p, bad);
end $$;

create function guard_disputes(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from disputes t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
