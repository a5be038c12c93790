-- An answer is kept for its time from when it was given: its key may have been open for days before that.

create or replace function close_keys(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update idempotency_keys k
    set status = (x.r).status, body = (x.r).body, headers = (x.r).headers, created_at = clock_timestamp()
    from jsonb_to_recordset(p) as x(c int, r idempotency_keys)
    where k.scope = (x.r).scope and k.key = (x.r).key and k.status is null and x.c <> all (bad)
      and k.key = any (array(select y.r ->> 'key' from jsonb_to_recordset(p) as y(r jsonb)));
end $$;

-- A DEAD job whose cause comes again gets its attempts back: it would keep its key, and what is to be done, for good.

create or replace function write_jobs(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update jobs j set status = 'READY', attempts = 0, args = (x.r).args, run_at = (x.r).run_at
    from jsonb_to_recordset(p) as x(c int, r jobs)
    where j.key = (x.r).key and j.status = 'DEAD' and x.c <> all (bad)
      and j.key = any (array(select y.r ->> 'key' from jsonb_to_recordset(p) as y(r jsonb)));
    insert into jobs (id, kind, key, args, run_at)
    select (x.r).id, (x.r).kind, (x.r).key, (x.r).args, (x.r).run_at
    from jsonb_to_recordset(p) as x(c int, r jobs) where x.c <> all (bad) order by (x.r).key
    on conflict (key) do nothing;
end $$;
