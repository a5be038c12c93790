-- Who is known: one row for each customer or vendor that was ever checked. Evidence by reference only: no document and no
-- personal data lies here. write_batch learns of this table in 0009_write_batch.sql.

create type kyc_subject_type as enum ('CUSTOMER', 'VENDOR');
create type kyc_status as enum ('NOT_STARTED', 'PENDING', 'VERIFIED', 'REJECTED', 'EXPIRED');
create type kyc_level as enum ('SIMPLIFIED', 'STANDARD', 'ENHANCED');

create table kyc_subjects (
    id                 uuid        primary key,
    version            int         not null check (version > 0),
    subject_type       kyc_subject_type not null,
    subject_id         text        not null,
    status             kyc_status  not null,
    level              kyc_level   not null,
    evidence           jsonb       not null check (jsonb_typeof(evidence) = 'array'),
    attempt            int         not null check (attempt > 0),
    metadata           jsonb       not null,
    provider           text,
    provider_reference text,
    rejection_code     text,
    decided_by         text,
    decision_reason    text,
    requested_at       timestamptz,
    decided_at         timestamptz,
    expires_at         timestamptz,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    constraint kyc_subjects_of_subject unique (subject_type, subject_id),
    constraint kyc_subjects_requested check (status <> 'NOT_STARTED' and requested_at is not null),
    constraint kyc_subjects_decided check ((status = 'PENDING') = (decided_at is null)),
    constraint kyc_subjects_decided_by_somebody check ((decided_at is null) = (decided_by is null)),
    constraint kyc_subjects_rejected_why check ((status = 'REJECTED') = (rejection_code is not null)),
    constraint kyc_subjects_expires check (expires_at is null or status = any ('{VERIFIED,EXPIRED}')),
    constraint kyc_subjects_expired_at check (status <> 'EXPIRED' or expires_at is not null),
    constraint kyc_subjects_reference_of_provider check (provider_reference is null or provider is not null)
) with (fillfactor = 80);
create index kyc_subjects_by_status on kyc_subjects (status, id);
create index kyc_subjects_by_expiry on kyc_subjects (expires_at) where status = 'VERIFIED';

create function write_new_kyc_subjects(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into kyc_subjects select (x.r).* from jsonb_to_recordset(p) as x(c int, r kyc_subjects) where x.c <> all (bad);
end $$;

create function write_kyc_subjects(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update kyc_subjects t set
        version = (x.r).version, status = (x.r).status, level = (x.r).level, evidence = (x.r).evidence,
        attempt = (x.r).attempt, metadata = (x.r).metadata, provider = (x.r).provider,
        provider_reference = (x.r).provider_reference, rejection_code = (x.r).rejection_code,
        decided_by = (x.r).decided_by, decision_reason = (x.r).decision_reason, requested_at = (x.r).requested_at,
        decided_at = (x.r).decided_at, expires_at = (x.r).expires_at, updated_at = (x.r).updated_at
    from jsonb_to_recordset(p) as x(c int, r kyc_subjects)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

-- Holds the rows that commands change; names the commands whose row is held elsewhere or has moved on.
create function guard_kyc_subjects(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from kyc_subjects t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
