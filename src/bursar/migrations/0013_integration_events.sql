-- What other services told us: one row for each (source, event id), so that each has its effect once. No personal data: of
-- `data` only the fields that we know are kept. And the one index that serves the list of our own events.

create type integration_event_status as enum ('RECEIVED', 'PROCESSED', 'IGNORED', 'WAITING', 'FAILED');

create table integration_events (
    id           uuid        primary key,
    version      int         not null check (version > 0),
    source       text        not null check (length(source) between 1 and 200),
    event_id     text        not null check (length(event_id) between 1 and 200),
    type         text        not null check (length(type) between 1 and 200),
    status       integration_event_status not null,
    data         jsonb       not null,
    attempts     int         not null check (attempts >= 0),
    received_at  timestamptz not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    subject      text,
    occurred_at  timestamptz,
    reason       text,
    last_error   text,
    processed_at timestamptz,
    constraint integration_events_once unique (source, event_id),
    constraint integration_events_ended check ((status = any ('{PROCESSED,IGNORED}')) = (processed_at is not null)),
    constraint integration_events_says_why check (status <> all ('{IGNORED,WAITING}') or reason is not null),
    constraint integration_events_failed check (status <> 'FAILED' or last_error is not null)
) with (fillfactor = 80);
create index integration_events_by_status on integration_events (status, id);

create function write_new_integration_events(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into integration_events
    select (x.r).* from jsonb_to_recordset(p) as x(c int, r integration_events) where x.c <> all (bad);
end $$;

create function write_integration_events(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update integration_events t set
        version = (x.r).version, status = (x.r).status, attempts = (x.r).attempts, updated_at = (x.r).updated_at,
        reason = (x.r).reason, last_error = (x.r).last_error, processed_at = (x.r).processed_at
    from jsonb_to_recordset(p) as x(c int, r integration_events)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_integration_events(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from integration_events t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;

-- Every change inserts here, so there is one index for all of it: of one type, of several (merged), by id (looked for in
-- each type), by time (ids carry it).
create index events_by_type on events (type, id);
