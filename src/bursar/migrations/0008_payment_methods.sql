create type payment_method_type as enum ('CARD', 'BANK_ACCOUNT', 'DIGITAL_WALLET');
create type payment_method_status as enum ('ACTIVE', 'INACTIVE', 'EXPIRED', 'REMOVED');
create type verification_status as enum ('PENDING', 'VERIFIED', 'FAILED', 'REQUIRES_ACTION');

create table payment_methods (
    id                  uuid        primary key,
    version             int         not null check (version > 0),
    customer_id         text        not null,
    type                payment_method_type not null,
    status              payment_method_status not null,
    verification_status verification_status not null,
    is_default          boolean     not null,
    token               text        not null unique,
    metadata            jsonb       not null,
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    fingerprint         text,
    provider_tokens     jsonb       not null default '{}',
    card                jsonb,
    bank_account        jsonb,
    wallet              jsonb,
    vault_record_id     uuid,
    personal_data_id    uuid        references personal_data (id),
    verification        jsonb,
    next_action         jsonb,
    failure_code        text,
    expires_on          date,
    verified_at         timestamptz,
    removed_at          timestamptz,
    constraint payment_methods_default_is_active check (not is_default or status = 'ACTIVE'),
    constraint payment_methods_one_kind check (num_nonnulls(card, bank_account, wallet) = 1),
    constraint payment_methods_kind_is_type check (
        case type when 'CARD' then card is not null when 'BANK_ACCOUNT' then bank_account is not null else wallet is not null end),
    constraint payment_methods_removed check ((status = 'REMOVED') = (removed_at is not null)),
    constraint payment_methods_removed_keeps_nothing check (
        status <> 'REMOVED' or (vault_record_id is null and provider_tokens = '{}')),
    constraint payment_methods_no_number check (
        coalesce(card, bank_account, wallet)::text !~ '[0-9]{10}')
) with (fillfactor = 80);
create unique index payment_methods_one_default on payment_methods (customer_id) where is_default;
create unique index payment_methods_no_duplicates on payment_methods (customer_id, fingerprint)
    where fingerprint is not null and status <> 'REMOVED';
create index payment_methods_by_customer on payment_methods (customer_id, id);
create index payment_methods_by_provider_token on payment_methods using gin (provider_tokens jsonb_path_ops);
create index payment_methods_by_update on payment_methods using brin (updated_at);
create index payment_methods_by_expiry on payment_methods (expires_on) where status <> 'REMOVED';

create function write_new_payment_methods(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into payment_methods select (x.r).* from jsonb_to_recordset(p) as x(c int, r payment_methods) where x.c <> all (bad);
end $$;

-- Those that are the default no more are written first: a customer has one at any moment.
create function write_payment_methods(p jsonb, bad int[]) returns void language plpgsql as $$
declare
    wanted boolean;
begin
    foreach wanted in array array[false, true] loop
        update payment_methods t set
            version = (x.r).version, status = (x.r).status, verification_status = (x.r).verification_status,
            is_default = (x.r).is_default, metadata = (x.r).metadata, updated_at = (x.r).updated_at,
            fingerprint = (x.r).fingerprint, provider_tokens = (x.r).provider_tokens,
            card = (x.r).card, bank_account = (x.r).bank_account, wallet = (x.r).wallet,
            vault_record_id = (x.r).vault_record_id, personal_data_id = (x.r).personal_data_id,
            verification = (x.r).verification, next_action = (x.r).next_action,
            failure_code = (x.r).failure_code, expires_on = (x.r).expires_on, verified_at = (x.r).verified_at,
            removed_at = (x.r).removed_at
        from jsonb_to_recordset(p) as x(c int, r payment_methods)
        where t.id = (x.r).id and x.c <> all (bad) and (x.r).is_default = wanted
          and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
    end loop;
end $$;

create function guard_payment_methods(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from payment_methods t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;

-- Which provider serves a payment: rules in the order of their priority; of one priority, by weight.
create table routing_rules (
    id             uuid        primary key,
    version        int         not null check (version > 0),
    name           text        not null,
    status         text        not null check (status in ('ACTIVE', 'INACTIVE')),
    priority       int         not null check (priority between 0 and 1000000),
    weight         int         not null check (weight between 1 and 1000),
    provider       text        not null,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    method_type    payment_method_type,
    currency       text        check (currency ~ '^[A-Z]{3}$'),
    country        text        check (country ~ '^[A-Z]{2}$'),
    min_amount     bigint      check (min_amount between 1 and 1000000000000),
    max_amount     bigint      check (max_amount between 1 and 1000000000000),
    constraint routing_rules_amounts check (min_amount is null or max_amount is null or min_amount <= max_amount),
    constraint routing_rules_amounts_have_currency check (
        currency is not null or (min_amount is null and max_amount is null))
);

create function write_new_routing_rules(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    insert into routing_rules select (x.r).* from jsonb_to_recordset(p) as x(c int, r routing_rules) where x.c <> all (bad);
    perform pg_notify('bursar_changed', 'routing_rules');
end $$;

create function write_routing_rules(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update routing_rules t set
        version = (x.r).version, name = (x.r).name, status = (x.r).status, priority = (x.r).priority,
        weight = (x.r).weight, provider = (x.r).provider, updated_at = (x.r).updated_at,
        method_type = (x.r).method_type, currency = (x.r).currency, country = (x.r).country,
        min_amount = (x.r).min_amount, max_amount = (x.r).max_amount
    from jsonb_to_recordset(p) as x(c int, r routing_rules)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
    perform pg_notify('bursar_changed', 'routing_rules');
end $$;

create function guard_routing_rules(lines jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb;
begin
    with wanted as materialized (
        select * from jsonb_to_recordset(lines) as x(c int, id uuid, v int)
    ), held as materialized (
        select t.id, t.version from routing_rules t where t.id = any (array(select w.id from wanted w)) order by t.id for update skip locked
    )
    select jsonb_agg(jsonb_build_array(w.c, case when h.id is null then 'TAKEN' else 'STALE' end)) into refused
    from wanted w left join held h on h.id = w.id
    where h.id is null or h.version <> w.v;
    return coalesce(refused, '[]');
end $$;

-- A payment's provider is chosen when it is authorized.
create or replace function write_payments(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update payments t set
        version = (x.r).version, status = (x.r).status, payment_method_id = (x.r).payment_method_id,
        description = (x.r).description, metadata = (x.r).metadata, amount_authorized = (x.r).amount_authorized,
        amount_capturing = (x.r).amount_capturing, amount_captured = (x.r).amount_captured,
        amount_refunded = (x.r).amount_refunded, is_capture_final = (x.r).is_capture_final,
        dispute_status = (x.r).dispute_status, failure_code = (x.r).failure_code, failure_reason = (x.r).failure_reason,
        provider = (x.r).provider, provider_transaction_id = (x.r).provider_transaction_id,
        next_action = (x.r).next_action, attempts = (x.r).attempts, asked_by = (x.r).asked_by,
        updated_at = (x.r).updated_at, authorized_at = (x.r).authorized_at,
        authorization_expires_at = (x.r).authorization_expires_at, captured_at = (x.r).captured_at,
        completed_at = (x.r).completed_at, failed_at = (x.r).failed_at, cancelled_at = (x.r).cancelled_at
    from jsonb_to_recordset(p) as x(c int, r payments)
    where t.id = (x.r).id and x.c <> all (bad)
      and t.id = any (array(select (y.r ->> 'id')::uuid from jsonb_to_recordset(p) as y(r jsonb)));
end $$;
