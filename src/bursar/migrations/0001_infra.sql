-- What every domain stands on: events, jobs, schedules, idempotent answers, audit, personal data, seals.

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end $$;

-- The outbox and the history in one. Order: (tx, position); consumers read below the oldest running transaction only.
create table events (
    tx          xid8        not null default pg_current_xact_id(),
    position    bigint      generated always as identity,
    id          uuid        not null,
    stream      uuid        not null,
    version     int         not null check (version > 0),
    type        text        not null,
    about       uuid        not null,
    data        jsonb       not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (tx, position),
    unique (stream, version)
);
create index events_about on events (about);
create trigger events_append_only before update or delete or truncate on events
    for each statement execute function refuse_change();

-- How far each consumer of events has come.
create table event_cursors (
    consumer text primary key,
    tx       xid8   not null default '0',
    position bigint not null default 0,
    failures int    not null default 0,
    retry_at timestamptz,
    lease_until timestamptz,
    last_error text
);

create table jobs (
    id          uuid        primary key,
    kind        text        not null,
    key         text        unique,
    args        jsonb       not null,
    status      text        not null default 'READY' check (status in ('READY', 'RUNNING', 'DEAD')),
    run_at      timestamptz not null,
    attempts    int         not null default 0 check (attempts >= 0),
    fence       bigint      not null default 0,
    lease_until timestamptz,
    last_error  text,
    created_at  timestamptz not null default clock_timestamp()
);
create index jobs_due on jobs (run_at) where status = 'READY';
create index jobs_leased on jobs (lease_until) where status = 'RUNNING';
create index jobs_dead on jobs (id) where status = 'DEAD';

create table schedules (
    name        text        primary key,
    next_run_at timestamptz not null
);

-- The first answer to each key, kept in the commit of its effect. OPEN: a step with the provider is under way.
create table idempotency_keys (
    scope      text        not null,
    key        text        not null check (length(key) between 1 and 255),
    digest     text        not null,
    status     int         check (status between 200 and 499),
    body       text,
    headers    jsonb,
    created_at timestamptz not null default clock_timestamp(),
    primary key (key, scope),
    check ((status is null) = (body is null))
);
create index idempotency_keys_by_age on idempotency_keys using brin (created_at);

create table audit (
    tx         xid8        not null default pg_current_xact_id(),
    position   bigint      generated always as identity,
    at         timestamptz not null,
    actor      text        not null,
    action     text        not null,
    object_id  text,
    request_id text,
    outcome    text        not null,
    primary key (tx, position)
);
create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change();

-- One key for each person, wrapped by the key-encryption key that is not in this database. Destroying it erases the person.
create table subject_keys (
    subject      text        primary key,
    wrapped_key  text,
    kek_version  int         not null,
    created_at   timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    check ((wrapped_key is null) = (destroyed_at is not null))
);

create table personal_data (
    id         uuid        primary key,
    subject    text        not null references subject_keys (subject),
    kind       text        not null,
    ciphertext text        not null,
    created_at timestamptz not null default clock_timestamp()
);
create index personal_data_by_subject on personal_data (subject);

-- Signed checkpoints over journals and audit lines, each chained to the one before.
create table seals (
    chain         text        not null check (chain in ('journals', 'audit')),
    number        bigint      not null check (number > 0),
    until_tx      xid8        not null,
    row_count     bigint      not null check (row_count > 0),
    merkle_root   text        not null,
    previous      text        not null,
    signature     text        not null,
    sealed_at     timestamptz not null default clock_timestamp(),
    primary key (chain, number)
);
create trigger seals_append_only before update or delete or truncate on seals
    for each statement execute function refuse_change();

-- The parts of write_batch that every domain needs; see 0005_write_batch.sql. `bad`: the commands that are written no more.
-- A statement that finds rows of a large table names their keys in an array beside the join: so its plan is right whatever
-- the table's size was when it was made.

create function write_events(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into events (id, stream, version, type, about, data, occurred_at)
    select (x.r).id, (x.r).stream, (x.r).version, (x.r).type, (x.r).about, (x.r).data, (x.r).occurred_at
    from jsonb_to_recordset(p) as x(c int, r events) where x.c <> all (bad);
end $$;

create function write_jobs(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into jobs (id, kind, key, args, run_at)
    select (x.r).id, (x.r).kind, (x.r).key, (x.r).args, (x.r).run_at
    from jsonb_to_recordset(p) as x(c int, r jobs) where x.c <> all (bad) order by (x.r).key
    on conflict (key) do nothing;
end $$;

create function write_audit(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into audit (at, actor, action, object_id, request_id, outcome)
    select (x.r).at, (x.r).actor, (x.r).action, (x.r).object_id, (x.r).request_id, (x.r).outcome
    from jsonb_to_recordset(p) as x(c int, r audit) where x.c <> all (bad);
end $$;

-- Returns the commands whose key was there before.
create function take_keys(p jsonb, bad int[]) returns int[] language plpgsql as $$
declare
    refused int[];
begin
    with wanted as materialized (
        select x.c, (x.r).scope, (x.r).key, (x.r).digest, (x.r).status, (x.r).body, (x.r).headers
        from jsonb_to_recordset(p) as x(c int, r idempotency_keys) where x.c <> all (bad)
    ), first as materialized ( -- two commands of a batch may bring the same key
        select distinct on (key, scope) * from wanted order by key, scope, c
    ), taken as (
        insert into idempotency_keys (scope, key, digest, status, body, headers)
        select scope, key, digest, status, body, headers from first order by key, scope
        on conflict (key, scope) do nothing
        returning key, scope
    )
    select coalesce(array_agg(w.c), '{}') into refused from wanted w
    where not exists (select from first f join taken t using (key, scope) where f.c = w.c);
    return refused;
end $$;

create function close_keys(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update idempotency_keys k set status = (x.r).status, body = (x.r).body, headers = (x.r).headers
    from jsonb_to_recordset(p) as x(c int, r idempotency_keys)
    where k.scope = (x.r).scope and k.key = (x.r).key and k.status is null and x.c <> all (bad)
      and k.key = any (array(select y.r ->> 'key' from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

create function free_keys(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    delete from idempotency_keys k using jsonb_to_recordset(p) as x(c int, r idempotency_keys)
    where k.scope = (x.r).scope and k.key = (x.r).key and k.status is null and x.c <> all (bad)
      and k.key = any (array(select y.r ->> 'key' from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

-- Returns the commands that brought a key for a person who had got one meanwhile: they have to be decided again.
create function write_subject_keys(p jsonb, bad int[]) returns int[] language plpgsql as $$
declare
    refused int[];
begin
    with wanted as (
        select x.c, (x.r).subject, (x.r).wrapped_key, (x.r).kek_version
        from jsonb_to_recordset(p) as x(c int, r subject_keys) where x.c <> all (bad)
    ), first as (
        select distinct on (subject) * from wanted order by subject, c
    ), made as (
        insert into subject_keys (subject, wrapped_key, kek_version)
        select subject, wrapped_key, kek_version from first order by subject
        on conflict (subject) do nothing
        returning subject
    )
    select coalesce(array_agg(w.c), '{}') into refused from wanted w
    where not exists (select from first f join made m using (subject) where f.c = w.c);
    return refused;
end $$;

create function write_personal_data(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into personal_data (id, subject, kind, ciphertext)
    select (x.r).id, (x.r).subject, (x.r).kind, (x.r).ciphertext
    from jsonb_to_recordset(p) as x(c int, r personal_data) where x.c <> all (bad);
end $$;
