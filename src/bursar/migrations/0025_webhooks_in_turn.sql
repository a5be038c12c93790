-- Webhooks in error are taken up in the order in which they failed.

create index webhooks_failed on webhooks (updated_at, id) where status = any ('{FAILED,DEAD_LETTER}');
