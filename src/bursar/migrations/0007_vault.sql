-- Card and account numbers, each under a data key of its own (infra/vault.py). The service's role has no right on this
-- schema: it puts records in and destroys them through the two functions below; the vault's role alone reads.

create schema vault;

create table vault.records (
    id           uuid        primary key,
    wrapped_key  text,
    kek_version  int         not null check (kek_version > 0),
    ciphertext   text        not null,
    created_at   timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    check ((wrapped_key is null) = (destroyed_at is not null))
);
create index records_by_version on vault.records (kek_version, id) where wrapped_key is not null;

create function write_vault_records(p jsonb, bad int[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into vault.records (id, wrapped_key, kek_version, ciphertext)
    select (x.r ->> 'id')::uuid, x.r ->> 'wrapped_key', (x.r ->> 'kek_version')::int, x.r ->> 'ciphertext'
    from jsonb_to_recordset(p) as x(c int, r jsonb) where x.c <> all (bad);
end $$;

-- The ciphertext goes as well: what is left says only that there was something.
create function write_destroyed_vault_records(p jsonb, bad int[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update vault.records set wrapped_key = null, ciphertext = '', destroyed_at = clock_timestamp()
    where wrapped_key is not null and id = any (array(
        select (x.r ->> 'id')::uuid from jsonb_to_recordset(p) as x(c int, r jsonb) where x.c <> all (bad)));
end $$;
