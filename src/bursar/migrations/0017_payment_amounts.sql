-- What has become of a payment's captured money: in transactions, asked back, disputed.

alter table payments
    add column amount_unallocated bigint not null default 0,
    add column amount_refunding   bigint not null default 0 check (amount_refunding >= 0),
    add column amount_disputed    bigint not null default 0;

update payments set amount_unallocated = amount_captured where amount_captured > 0;

alter table payments
    add constraint payments_unallocated_in_captured check (amount_unallocated between 0 and amount_captured),
    add constraint payments_refunding_in_captured check (amount_refunded + amount_refunding <= amount_captured),
    add constraint payments_disputed_in_captured check (amount_disputed between 0 and amount_captured);

create or replace function write_payments(p jsonb, bad int[]) returns void language plpgsql as $$
begin
    update payments t set
        version = (x.r).version, status = (x.r).status, payment_method_id = (x.r).payment_method_id,
        description = (x.r).description, metadata = (x.r).metadata, amount_authorized = (x.r).amount_authorized,
        amount_capturing = (x.r).amount_capturing, amount_captured = (x.r).amount_captured,
        amount_unallocated = (x.r).amount_unallocated, amount_refunding = (x.r).amount_refunding,
        amount_refunded = (x.r).amount_refunded, amount_disputed = (x.r).amount_disputed,
        is_capture_final = (x.r).is_capture_final,
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
