-- One payment-create, statement by statement in one transaction, with the rows that Bursar writes. The ids are UUIDv7 as
-- Bursar's are, and come with the answer to the velocity query, which has to be asked anyway: no round trip is wasted.
-- The driver gives the JSON documents (-D), as an application would send them: taken from a real payment.
\set customer random(0, 99999)
\set amount random(100, 20000)
\set salt random(0, 2147483647)
select count(*) as recent, uuidv7() as payment_id, uuidv7() as check_id, uuidv7() as request_id, uuidv7() as journal_id, 'order-' || left(uuidv7()::text, 23) as order_id, 'PAY-' || to_hex((extract(epoch from now()) * 16)::bigint - 27783475200) || lpad(to_hex(:client_id::int), 2, '0') || lpad(to_hex(:salt::int), 8, '0') as payment_number, 'key-' || left(uuidv7()::text, 28) as key from (select 1 from fraud_checks where customer_id = 'customer-' || lpad(:customer::text, 6, '0') and created_at > now() - interval '1 hour' limit 10000) recent \gset
begin;
insert into idempotency_keys (scope, key, digest, status, body, headers) values ('service', :key, :digest, 201, :body_create, :headers_create::jsonb) on conflict do nothing;
insert into fraud_checks (id, version, payment_id, customer_id, amount, currency, risk_score, risk_level, decision, status, reasons, rules_version, latency_micros, created_at, updated_at) values (:check_id::uuid, 1, :payment_id::uuid, 'customer-' || lpad(:customer::text, 6, '0'), :amount::bigint, 'EUR', 5, 'LOW', 'APPROVE', 'COMPLETED', '[]', 'amount-velocity-1', 49, now(), now());
insert into payments (id, version, payment_number, order_id, customer_id, amount, currency, capture_method, status, payment_method_id, metadata, amount_authorized, amount_capturing, amount_captured, amount_refunded, is_capture_final, fraud_check_id, risk_level, provider, attempts, created_at, updated_at) values (:payment_id::uuid, 1, :payment_number, :order_id, 'customer-' || lpad(:customer::text, 6, '0'), :amount::bigint, 'EUR', 'MANUAL', 'PENDING', 'pm_sandbox_visa', '{}', 0, 0, 0, 0, false, :check_id::uuid, 'LOW', 'sandbox', '[]', now(), now());
insert into events (id, stream, version, type, about, data, occurred_at) values (uuidv7(), :check_id::uuid, 1, 'fraud_check.completed', :payment_id::uuid, :event_scored::jsonb, now()), (uuidv7(), :payment_id::uuid, 1, 'payment.created', :payment_id::uuid, :event_created::jsonb, now());
insert into audit (at, actor, action, object_id, request_id, outcome) values (now(), 'service', 'payment.create', 'service ' || :key, :request_id, 'done');
commit;
