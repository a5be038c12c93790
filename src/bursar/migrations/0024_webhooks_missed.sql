-- Up to when each provider's own log of events was compared with the webhooks that came from it.

create table provider_event_logs (
    provider   text        primary key,
    read_until timestamptz not null
);

-- A body is forgotten after a time, with its key: what is left of the row says what it was and what came of it.

alter table webhooks alter column body_ciphertext drop not null;
alter table webhooks alter column wrapped_key drop not null;
alter table webhooks add constraint webhooks_body_and_key check ((body_ciphertext is null) = (wrapped_key is null));
create index webhooks_with_body on webhooks (received_at) where wrapped_key is not null;
