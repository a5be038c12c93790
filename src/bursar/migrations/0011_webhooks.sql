-- What providers tell us: one row for each event of each provider. The body as it came, encrypted under a key of the row.
-- write_batch learns of this table in 0014_write_batch.sql.

create type webhook_status as enum ('RECEIVED', 'PROCESSED', 'IGNORED', 'FAILED', 'DEAD_LETTER');

create table webhooks (
    id              uuid        primary key,
    version         int         not null check (version > 0),
    provider        text        not null,
    event_id        text        not null,
    event_type      text        not null,
    status          webhook_status not null,
    attempts        int         not null check (attempts >= 0),
    named           jsonb       not null,
    next_attempt_at timestamptz,
    last_error      text,
    ignored_because text,
    payment_id      uuid,
    reference       text,
    run_id          uuid,
    occurred_at     timestamptz not null,
    received_at     timestamptz not null,
    processed_at    timestamptz,
    body_ciphertext text        not null,
    wrapped_key     text        not null,
    kek_version     int         not null,
    headers         jsonb       not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    constraint webhooks_of_event unique (event_id, provider),
    constraint webhooks_ended check ((status = any ('{PROCESSED,IGNORED}')) = (processed_at is not null)),
    constraint webhooks_ignored_why check ((status = 'IGNORED') = (ignored_because is not null)),
    constraint webhooks_failed_why check (status <> all ('{FAILED,DEAD_LETTER}') or last_error is not null),
    constraint webhooks_tried_again check ((status = any ('{RECEIVED,FAILED}')) = (next_attempt_at is not null))
) with (toast_tuple_target = 8160);
alter table webhooks alter column body_ciphertext set storage external; -- what is encrypted does not shrink
create index webhooks_by_payment on webhooks (payment_id, id) where payment_id is not null;
create index webhooks_due on webhooks (next_attempt_at) where next_attempt_at is not null;
create index webhooks_in_error on webhooks (status, id) where status = any ('{FAILED,DEAD_LETTER}');
create index webhooks_by_run on webhooks (run_id) where run_id is not null;

-- Two processes that bring the same events wait for each other in one order.
create function write_new_webhooks(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into webhooks select (x.r).* from jsonb_to_recordset(p) as x(c int, r webhooks) where x.c <> all (bad)
    order by (x.r).event_id, (x.r).provider;
end $$;

create function write_webhooks(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update webhooks t set
        version = (x.r).version, status = (x.r).status, attempts = (x.r).attempts,
        next_attempt_at = (x.r).next_attempt_at, last_error = (x.r).last_error,
        ignored_because = (x.r).ignored_because, payment_id = (x.r).payment_id, run_id = (x.r).run_id,
        processed_at = (x.r).processed_at, updated_at = (x.r).updated_at
    from jsonb_to_recordset(p) as x(c int, r webhooks)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

-- A line of version 0 names an event ("provider id") that must not be here yet; the others are rows that commands change.
create function guard_webhooks(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id text, v int)
    ), held as materialized (
        select t.id, t.version from webhooks t
        where t.id = any (array(select w.id::uuid from wanted w where w.v > 0)) order by t.id for update skip locked
    ), known as materialized (
        select w.c from wanted w join webhooks t
            on t.event_id = substr(w.id, strpos(w.id, ' ') + 1) and t.provider = split_part(w.id, ' ', 1)
        where w.v = 0
          and t.event_id = any (array(select substr(n.id, strpos(n.id, ' ') + 1) from wanted n where n.v = 0))
    )
    select jsonb_agg(jsonb_build_array(f.c, f.reason)) into refused from (
        select w.c, case when h.id is null then 'TAKEN' else 'STALE' end as reason
        from wanted w left join held h on h.id::text = w.id
        where w.v > 0 and (h.id is null or h.version <> w.v)
        union all
        select k.c, 'STALE' from known k) f;
    return coalesce(refused, '[]');
end $$;
