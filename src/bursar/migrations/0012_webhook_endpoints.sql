-- Webhooks out: who is told of events, and what became of each event for each of them.

create type webhook_endpoint_status as enum ('ACTIVE', 'DISABLED', 'REMOVED');
create type webhook_delivery_status as enum ('PENDING', 'DELIVERED', 'FAILED');

create table webhook_endpoints (
    id              uuid        primary key,
    version         int         not null check (version > 0),
    url             text        not null check (length(url) <= 2048),
    status          webhook_endpoint_status not null,
    event_types     jsonb       not null,
    secrets         jsonb       not null,
    metadata        jsonb       not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    description     text,
    customer_id     text,
    vendor_id       text,
    disabled_reason text        check (disabled_reason in ('REQUESTED', 'GONE', 'FAILING')),
    disabled_at     timestamptz,
    removed_at      timestamptz,
    constraint webhook_endpoints_disabled check (
        (status = 'DISABLED') = (disabled_at is not null) and (status = 'DISABLED') = (disabled_reason is not null)),
    constraint webhook_endpoints_removed check ((status = 'REMOVED') = (removed_at is not null)),
    constraint webhook_endpoints_secrets check ((status = 'REMOVED') = (secrets = '[]'))
);

-- Where deliveries to an endpoint stand: who works on them (lease and fencing token), when there is something to do, how
-- the endpoint has answered lately. No part of the endpoint's history: it tells nothing that the deliveries do not.
create table webhook_lanes (
    endpoint_id   uuid        primary key references webhook_endpoints (id),
    since_tx      xid8        not null default pg_current_xact_id(),
    wake_at       timestamptz,
    paused_until  timestamptz,
    failures      int         not null default 0 check (failures >= 0),
    failing_since timestamptz,
    fence         bigint      not null default 0,
    lease_until   timestamptz
) with (fillfactor = 50);

-- One event for one endpoint. content: the event itself, where it is none of the table's (a test). position: the order of
-- the events, within a stream that of its versions.
create table webhook_deliveries (
    position           bigint      generated always as identity,
    id                 uuid        primary key,
    version            int         not null check (version > 0),
    endpoint_id        uuid        not null references webhook_endpoints (id),
    status             webhook_delivery_status not null,
    event_id           uuid        not null,
    event_type         text        not null,
    stream             uuid        not null,
    is_ordered         boolean     not null,
    attempts           int         not null check (attempts >= 0),
    step               int         not null check (step >= 0),
    tries              jsonb       not null,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    event_tx           xid8,
    event_position     bigint,
    content            jsonb,
    redelivery_of      uuid,
    next_attempt_at    timestamptz,
    last_attempt_at    timestamptz,
    last_status_code   int,
    last_error         text,
    last_response_body text        check (length(last_response_body) <= 1024),
    finished_at        timestamptz,
    constraint webhook_deliveries_has_event check (
        num_nonnulls(event_tx, event_position) = case when content is null then 2 else 0 end),
    constraint webhook_deliveries_pending check (
        (status = 'PENDING') = (next_attempt_at is not null) and (status = 'PENDING') = (finished_at is null))
) with (fillfactor = 70);
create unique index webhook_deliveries_once on webhook_deliveries (endpoint_id, event_id) where is_ordered;
create index webhook_deliveries_due on webhook_deliveries (endpoint_id, next_attempt_at, position) where status = 'PENDING';
create index webhook_deliveries_of_stream on webhook_deliveries (endpoint_id, stream, position)
    where status = 'PENDING' and is_ordered;
create index webhook_deliveries_of_endpoint on webhook_deliveries (endpoint_id, id);
create index webhook_deliveries_by_end on webhook_deliveries using brin (finished_at);

create function write_new_webhook_endpoints(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into webhook_endpoints select (x.r).* from jsonb_to_recordset(p) as x(c int, r webhook_endpoints) where x.c <> all (bad);
    insert into webhook_lanes (endpoint_id)
    select (x.r).id from jsonb_to_recordset(p) as x(c int, r webhook_endpoints) where x.c <> all (bad);
end $$;

-- Whoever changed an endpoint may have mended it: what waits for it is tried at once.
create function write_webhook_endpoints(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update webhook_endpoints t set
        version = (x.r).version, url = (x.r).url, status = (x.r).status, event_types = (x.r).event_types,
        secrets = (x.r).secrets, metadata = (x.r).metadata, updated_at = (x.r).updated_at,
        description = (x.r).description, customer_id = (x.r).customer_id, vendor_id = (x.r).vendor_id,
        disabled_reason = (x.r).disabled_reason, disabled_at = (x.r).disabled_at, removed_at = (x.r).removed_at
    from jsonb_to_recordset(p) as x(c int, r webhook_endpoints)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
    update webhook_lanes l set wake_at = (x.r).updated_at, paused_until = null, failures = 0, failing_since = null
    from jsonb_to_recordset(p) as x(c int, r webhook_endpoints)
    where l.endpoint_id = (x.r).id and (x.r).status = 'ACTIVE' and x.c <> all (bad)
      and l.endpoint_id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_webhook_endpoints(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from webhook_endpoints t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;

create function write_new_webhook_deliveries(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into webhook_deliveries (
        id, version, endpoint_id, status, event_id, event_type, stream, is_ordered, attempts, step, tries, created_at,
        updated_at, event_tx, event_position, content, redelivery_of, next_attempt_at)
    select (x.r).id, (x.r).version, (x.r).endpoint_id, (x.r).status, (x.r).event_id, (x.r).event_type, (x.r).stream,
        (x.r).is_ordered, (x.r).attempts, (x.r).step, (x.r).tries, (x.r).created_at, (x.r).updated_at, (x.r).event_tx,
        (x.r).event_position, (x.r).content, (x.r).redelivery_of, (x.r).next_attempt_at
    from jsonb_to_recordset(p) as x(c int, r webhook_deliveries) where x.c <> all (bad);
    perform wake_webhook_lanes(p, bad);
end $$;

-- What callers may change: when the next try is. The tries themselves are written by whoever holds the lane.
create function write_webhook_deliveries(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update webhook_deliveries t set
        version = (x.r).version, next_attempt_at = (x.r).next_attempt_at, updated_at = (x.r).updated_at
    from jsonb_to_recordset(p) as x(c int, r webhook_deliveries)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
    perform wake_webhook_lanes(p, bad);
end $$;

create function wake_webhook_lanes(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update webhook_lanes l set wake_at = least(l.wake_at, w.at)
    from (
        select (x.r).endpoint_id, min((x.r).updated_at) as at
        from jsonb_to_recordset(p) as x(c int, r webhook_deliveries) where x.c <> all (bad) group by 1
    ) w
    where l.endpoint_id = w.endpoint_id
      and l.endpoint_id = any (array(select (y.r ->> 'endpoint_id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function guard_webhook_deliveries(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from webhook_deliveries t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
