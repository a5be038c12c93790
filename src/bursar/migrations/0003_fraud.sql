create type risk_level as enum ('LOW', 'MEDIUM', 'HIGH');
create type fraud_decision as enum ('APPROVE', 'REVIEW', 'DECLINE');
create type fraud_check_status as enum ('COMPLETED', 'PENDING_REVIEW', 'APPROVED', 'REJECTED');

create table fraud_checks (
    id              uuid        primary key,
    version         int         not null check (version > 0),
    payment_id      uuid        not null,
    customer_id     text        not null,
    amount          bigint      not null check (amount between 1 and 1000000000000),
    currency        text        not null,
    risk_score      int         not null check (risk_score between 0 and 100),
    risk_level      risk_level  not null,
    decision        fraud_decision not null,
    status          fraud_check_status not null,
    reasons         jsonb       not null,
    rules_version   text        not null,
    latency_micros  int         not null check (latency_micros >= 0),
    reviewed_by     text,
    review_notes    text,
    reviewed_at     timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    check ((status = any ('{APPROVED,REJECTED}')) = (reviewed_at is not null)),
    check (status <> 'PENDING_REVIEW' or decision = 'REVIEW')
);
create index fraud_checks_by_payment on fraud_checks (payment_id);
create index fraud_checks_velocity on fraud_checks (customer_id, created_at);

create function write_new_fraud_checks(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into fraud_checks select (x.r).* from jsonb_to_recordset(p) as x(c int, r fraud_checks) where x.c <> all (bad);
end $$;

create function write_fraud_checks(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update fraud_checks t set
        version = (x.r).version, status = (x.r).status, reviewed_by = (x.r).reviewed_by,
        review_notes = (x.r).review_notes, reviewed_at = (x.r).reviewed_at, updated_at = (x.r).updated_at
    from jsonb_to_recordset(p) as x(c int, r fraud_checks)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

-- Names the commands that presumed too low a count of a customer's recent checks (RECENT_COUNT in domains/fraud/store.py).
create function guard_recent_count(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    select jsonb_agg(jsonb_build_array(w.c, 'STALE')) into refused
    from jsonb_to_recordset(lines) as w(c int, key text, below int, at timestamptz)
    where (select count(*) from (
        select from fraud_checks f where f.customer_id = w.key and f.created_at > w.at - interval '1 hour' limit w.below
    ) recent) >= w.below;
    return coalesce(refused, '[]');
end $$;

-- Holds the rows that commands change; names the commands whose row is held elsewhere or has moved on.
create function guard_fraud_checks(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from fraud_checks t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
