-- A whole checkout after `create.sql`: authorize intend and settle, capture intend and settle, complete, each a transaction,
-- statement by statement. What is hot (the two accounts) is changed last, so that its lock is short.

begin;
select * from payments where id = :payment_id::uuid for update;
insert into idempotency_keys (scope, key, digest) values ('service', :key || '-a', :digest) on conflict do nothing;
update payments set version = 2, status = 'AUTHORIZING', attempts = :attempts_authorize::jsonb, updated_at = now() where id = :payment_id::uuid;
insert into events (id, stream, version, type, about, data, occurred_at) values (uuidv7(), :payment_id::uuid, 2, 'payment.authorization_requested', :payment_id::uuid, :event_authorizing::jsonb, now());
insert into audit (at, actor, action, object_id, request_id, outcome) values (now(), 'service', 'payment.authorize', :payment_id, :request_id, 'done');
commit;

begin;
select * from payments where id = :payment_id::uuid for update;
update payments set version = 3, status = 'AUTHORIZED', attempts = '[]', amount_authorized = :amount::bigint, provider_transaction_id = 'sbx_' || :payment_id, authorized_at = now(), authorization_expires_at = now() + interval '7 days', updated_at = now() where id = :payment_id::uuid;
insert into events (id, stream, version, type, about, data, occurred_at) values (uuidv7(), :payment_id::uuid, 3, 'payment.authorized', :payment_id::uuid, :event_authorized::jsonb, now());
insert into audit (at, actor, action, object_id, request_id, outcome) values (now(), 'service', 'payment.settle', :payment_id, :request_id, 'done');
update idempotency_keys set status = 200, body = :body_authorize, headers = :headers_put::jsonb where scope = 'service' and key = :key || '-a' and status is null;
commit;

begin;
select * from payments where id = :payment_id::uuid for update;
insert into idempotency_keys (scope, key, digest) values ('service', :key || '-b', :digest) on conflict do nothing;
update payments set version = 4, status = 'CAPTURING', attempts = jsonb_set(:attempts_capture::jsonb, '{0,amount}', to_jsonb(:amount::bigint)), amount_capturing = :amount::bigint, is_capture_final = true, updated_at = now() where id = :payment_id::uuid;
insert into events (id, stream, version, type, about, data, occurred_at) values (uuidv7(), :payment_id::uuid, 4, 'payment.capture_requested', :payment_id::uuid, :event_capturing::jsonb, now());
insert into audit (at, actor, action, object_id, request_id, outcome) values (now(), 'service', 'payment.capture', :payment_id, :request_id, 'done');
commit;

begin;
select * from payments where id = :payment_id::uuid for update;
update payments set version = 5, status = 'CAPTURED', attempts = '[]', amount_capturing = 0, amount_captured = :amount::bigint, captured_at = now(), updated_at = now() where id = :payment_id::uuid;
insert into journals (id, type, reference, line_count, digest, occurred_at) values (:journal_id::uuid, 'payment.captured', 'capture:' || :journal_id, 2, :journal_digest, now());
insert into postings (journal_id, line, account, currency, amount, about) values (:journal_id::uuid, 1, :clearing, 'EUR', :amount::bigint, :payment_id::uuid), (:journal_id::uuid, 2, 'unallocated', 'EUR', -:amount::bigint, :payment_id::uuid);
insert into events (id, stream, version, type, about, data, occurred_at) values (uuidv7(), :payment_id::uuid, 5, 'payment.captured', :payment_id::uuid, :event_captured::jsonb, now());
insert into audit (at, actor, action, object_id, request_id, outcome) values (now(), 'service', 'payment.settle', :payment_id, :request_id, 'done');
update idempotency_keys set status = 200, body = :body_capture, headers = :headers_put::jsonb where scope = 'service' and key = :key || '-b' and status is null;
update accounts set balance = balance + :amount::bigint where name = :clearing and currency = 'EUR';
update accounts set balance = balance - :amount::bigint where name = 'unallocated' and currency = 'EUR';
commit;

begin;
select * from payments where id = :payment_id::uuid for update;
insert into idempotency_keys (scope, key, digest, status, body, headers) values ('service', :key || '-c', :digest, 200, :body_complete, :headers_put::jsonb) on conflict do nothing;
update payments set version = 6, status = 'COMPLETED', completed_at = now(), updated_at = now() where id = :payment_id::uuid;
insert into events (id, stream, version, type, about, data, occurred_at) values (uuidv7(), :payment_id::uuid, 6, 'payment.completed', :payment_id::uuid, :event_completed::jsonb, now());
insert into audit (at, actor, action, object_id, request_id, outcome) values (now(), 'service', 'payment.complete', :payment_id, :request_id, 'done');
commit;
