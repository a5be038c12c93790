-- What the platform keeps of a sale: rules, and every version that each of them ever was.

create type commission_rule_status as enum ('DRAFT', 'ACTIVE', 'INACTIVE');
create type commission_type as enum ('PERCENTAGE', 'FIXED', 'HYBRID', 'TIERED');
create type commission_tier_mode as enum ('MARGINAL', 'WHOLE_VOLUME');

-- Tiers ascend, the last one alone has no end, and no rate is below 0 or above 1.
create function are_commission_tiers(tiers jsonb) returns boolean language plpgsql immutable strict as $$
declare
    tier   jsonb;
    rate   numeric;
    number int := 0;
    until  bigint := 0;
begin
    if jsonb_typeof(tiers) <> 'array' or jsonb_array_length(tiers) not between 1 and 20 then
        return false;
    end if;
    for tier in select jsonb_array_elements(tiers) loop
        number := number + 1;
        rate := (tier ->> 'rate')::numeric;
        if rate is null or rate not between 0 and 1 or scale(rate) > 6 then
            return false;
        elsif number = jsonb_array_length(tiers) then
            return tier ->> 'upTo' is null;
        elsif coalesce((tier ->> 'upTo')::bigint, 0) <= until then
            return false;
        end if;
        until := (tier ->> 'upTo')::bigint;
    end loop;
    return false;
end $$;

create table commission_rules (
    id                 uuid        primary key,
    version            int         not null check (version > 0),
    name               text        not null check (length(name) between 1 and 100),
    status             commission_rule_status not null,
    commission_type    commission_type not null,
    priority           int         not null check (priority between 0 and 1000000),
    effective_from     timestamptz not null,
    authors            jsonb       not null check (jsonb_typeof(authors) = 'array' and authors <> '[]'),
    changed_by         text        not null,
    change_reason      text        not null,
    metadata           jsonb       not null,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    vendor_id          text,
    category_id        text,
    transaction_type   text        check (transaction_type ~ '^[A-Z][A-Z0-9_]{0,31}$'),
    currency           text        check (currency ~ '^[A-Z]{3}$'),
    rate               numeric     check (rate between 0 and 1 and scale(rate) <= 6),
    fixed_amount       bigint      check (fixed_amount between 0 and 1000000000000),
    tiers              jsonb       check (are_commission_tiers(tiers)),
    tier_mode          commission_tier_mode,
    volume_window_days int         check (volume_window_days between 1 and 3650),
    min_commission     bigint      check (min_commission between 0 and 1000000000000),
    max_commission     bigint      check (max_commission between 0 and 1000000000000),
    min_amount         bigint      check (min_amount between 1 and 1000000000000),
    max_amount         bigint      check (max_amount between 1 and 1000000000000),
    effective_to       timestamptz,
    experiment         jsonb       check (experiment is null or coalesce(
        jsonb_typeof(experiment -> 'name') = 'string' and jsonb_typeof(experiment -> 'variant') = 'string'
        and experiment ->> 'unit' = any ('{VENDOR,CUSTOMER}') and (experiment ->> 'weight')::int between 1 and 1000, false)),
    constraint commission_rules_rate check ((rate is not null) = (commission_type = any ('{PERCENTAGE,HYBRID}'))),
    constraint commission_rules_fixed check ((fixed_amount is not null) = (commission_type = any ('{FIXED,HYBRID}'))),
    constraint commission_rules_tiers check (
        (tiers is not null) = (commission_type = 'TIERED') and (tier_mode is not null) = (commission_type = 'TIERED')),
    constraint commission_rules_window check (volume_window_days is null or commission_type = 'TIERED'),
    constraint commission_rules_commissions check (
        min_commission is null or max_commission is null or min_commission <= max_commission),
    constraint commission_rules_amounts check (min_amount is null or max_amount is null or min_amount <= max_amount),
    constraint commission_rules_amounts_have_currency check (
        currency is not null or num_nonnulls(fixed_amount, tiers, min_commission, max_commission, min_amount, max_amount) = 0),
    constraint commission_rules_dates check (effective_to is null or effective_from < effective_to),
    constraint commission_rules_second_person check (status <> 'ACTIVE' or not authors ? changed_by)
) with (fillfactor = 80);
create index commission_rules_by_vendor on commission_rules (vendor_id, id);
create index commission_rules_by_category on commission_rules (category_id, id);
create index commission_rules_active on commission_rules (id) where status = 'ACTIVE';

-- Every version that a rule ever was, the present one included. What was charged stays explained.
create table commission_rule_versions (
    like commission_rules including constraints,
    primary key (id, version),
    foreign key (id) references commission_rules (id)
);
create trigger commission_rule_versions_append_only before update or delete or truncate on commission_rule_versions
    for each statement execute function refuse_change();

-- What is written to a rule is kept as a version, whoever writes it: none is skipped, none is written twice.
create function keep_commission_rule_version() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.version <> old.version + 1 or tg_op = 'INSERT' and new.version <> 1 then
        raise exception 'commission rule %: no version % here', new.id, new.version using errcode = 'restrict_violation';
    end if;
    insert into commission_rule_versions select new.*;
    return null;
end $$;
create trigger commission_rules_keep_versions after insert or update on commission_rules
    for each row execute function keep_commission_rule_version();

create function write_new_commission_rules(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into commission_rules
    select (x.r).* from jsonb_to_recordset(p) as x(c int, r commission_rules) where x.c <> all (bad);
    perform pg_notify('bursar_changed', 'commission_rules');
end $$;

create function write_commission_rules(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update commission_rules t set
        version = (x.r).version, name = (x.r).name, status = (x.r).status, commission_type = (x.r).commission_type,
        priority = (x.r).priority, effective_from = (x.r).effective_from, authors = (x.r).authors,
        changed_by = (x.r).changed_by, change_reason = (x.r).change_reason, metadata = (x.r).metadata,
        updated_at = (x.r).updated_at, vendor_id = (x.r).vendor_id, category_id = (x.r).category_id,
        transaction_type = (x.r).transaction_type, currency = (x.r).currency, rate = (x.r).rate,
        fixed_amount = (x.r).fixed_amount, tiers = (x.r).tiers, tier_mode = (x.r).tier_mode,
        volume_window_days = (x.r).volume_window_days, min_commission = (x.r).min_commission,
        max_commission = (x.r).max_commission, min_amount = (x.r).min_amount, max_amount = (x.r).max_amount,
        effective_to = (x.r).effective_to, experiment = (x.r).experiment
    from jsonb_to_recordset(p) as x(c int, r commission_rules)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
    perform pg_notify('bursar_changed', 'commission_rules');
end $$;

create function guard_commission_rules(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from commission_rules t
        where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;
