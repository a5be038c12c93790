-- See 0005_write_batch.sql; with transactions, refunds, disputes and reconciliations.

create or replace function write_batch(p jsonb) returns jsonb language plpgsql as $$
declare
    refused jsonb := '[]';
    bad     int[] := '{}';
    again   int[];
begin
    if p ? 'guards' then
        if p -> 'guards' ? 'fraud_recent_count' then
            refused := refused || guard_recent_count(p -> 'guards' -> 'fraud_recent_count');
        end if;
        if p -> 'guards' ? 'fraud_checks' then
            refused := refused || guard_fraud_checks(p -> 'guards' -> 'fraud_checks');
        end if;
        if p -> 'guards' ? 'kyc_subjects' then
            refused := refused || guard_kyc_subjects(p -> 'guards' -> 'kyc_subjects');
        end if;
        if p -> 'guards' ? 'routing_rules' then
            refused := refused || guard_routing_rules(p -> 'guards' -> 'routing_rules');
        end if;
        if p -> 'guards' ? 'commission_rules' then
            refused := refused || guard_commission_rules(p -> 'guards' -> 'commission_rules');
        end if;
        if p -> 'guards' ? 'payment_methods' then
            refused := refused || guard_payment_methods(p -> 'guards' -> 'payment_methods');
        end if;
        if p -> 'guards' ? 'payments' then
            refused := refused || guard_payments(p -> 'guards' -> 'payments');
        end if;
        if p -> 'guards' ? 'transactions' then
            refused := refused || guard_transactions(p -> 'guards' -> 'transactions');
        end if;
        if p -> 'guards' ? 'refunds' then
            refused := refused || guard_refunds(p -> 'guards' -> 'refunds');
        end if;
        if p -> 'guards' ? 'refund_batches' then
            refused := refused || guard_refund_batches(p -> 'guards' -> 'refund_batches');
        end if;
        if p -> 'guards' ? 'disputes' then
            refused := refused || guard_disputes(p -> 'guards' -> 'disputes');
        end if;
        if p -> 'guards' ? 'reconciliations' then
            refused := refused || guard_reconciliations(p -> 'guards' -> 'reconciliations');
        end if;
        if p -> 'guards' ? 'reconciliation_items' then
            refused := refused || guard_reconciliation_items(p -> 'guards' -> 'reconciliation_items');
        end if;
        if p -> 'guards' ? 'integration_events' then
            refused := refused || guard_integration_events(p -> 'guards' -> 'integration_events');
        end if;
        if p -> 'guards' ? 'webhooks' then
            refused := refused || guard_webhooks(p -> 'guards' -> 'webhooks');
        end if;
        if p -> 'guards' ? 'webhook_endpoints' then
            refused := refused || guard_webhook_endpoints(p -> 'guards' -> 'webhook_endpoints');
        end if;
        if p -> 'guards' ? 'webhook_deliveries' then
            refused := refused || guard_webhook_deliveries(p -> 'guards' -> 'webhook_deliveries');
        end if;
        if refused <> '[]' then
            bad := array(select (e ->> 0)::int from jsonb_array_elements(refused) e);
        end if;
    end if;

    if p ? 'subject_keys' then
        again := write_subject_keys(p -> 'subject_keys', bad);
        if again <> '{}' then
            bad := bad || again;
            refused := refused || (select jsonb_agg(jsonb_build_array(c, 'STALE')) from unnest(again) c);
        end if;
    end if;
    if p ? 'keys' then
        again := take_keys(p -> 'keys', bad);
        if again <> '{}' then
            bad := bad || again;
            refused := refused || (select jsonb_agg(jsonb_build_array(c, 'KEPT')) from unnest(again) c);
        end if;
    end if;

    if p ? 'personal_data' then perform write_personal_data(p -> 'personal_data', bad); end if;
    if p ? 'vault_records' then perform write_vault_records(p -> 'vault_records', bad); end if;
    if p ? 'destroyed_vault_records' then
        perform write_destroyed_vault_records(p -> 'destroyed_vault_records', bad);
    end if;
    if p ? 'new_kyc_subjects' then perform write_new_kyc_subjects(p -> 'new_kyc_subjects', bad); end if;
    if p ? 'kyc_subjects' then perform write_kyc_subjects(p -> 'kyc_subjects', bad); end if;
    if p ? 'new_routing_rules' then perform write_new_routing_rules(p -> 'new_routing_rules', bad); end if;
    if p ? 'routing_rules' then perform write_routing_rules(p -> 'routing_rules', bad); end if;
    if p ? 'new_commission_rules' then perform write_new_commission_rules(p -> 'new_commission_rules', bad); end if;
    if p ? 'commission_rules' then perform write_commission_rules(p -> 'commission_rules', bad); end if;
    if p ? 'payment_methods' then perform write_payment_methods(p -> 'payment_methods', bad); end if;
    if p ? 'new_payment_methods' then perform write_new_payment_methods(p -> 'new_payment_methods', bad); end if;
    if p ? 'new_fraud_checks' then perform write_new_fraud_checks(p -> 'new_fraud_checks', bad); end if;
    if p ? 'fraud_checks' then perform write_fraud_checks(p -> 'fraud_checks', bad); end if;
    if p ? 'new_payments' then perform write_new_payments(p -> 'new_payments', bad); end if;
    if p ? 'payments' then perform write_payments(p -> 'payments', bad); end if;
    if p ? 'new_transactions' then perform write_new_transactions(p -> 'new_transactions', bad); end if;
    if p ? 'transactions' then perform write_transactions(p -> 'transactions', bad); end if;
    if p ? 'new_refunds' then perform write_new_refunds(p -> 'new_refunds', bad); end if;
    if p ? 'refunds' then perform write_refunds(p -> 'refunds', bad); end if;
    if p ? 'new_refund_batches' then perform write_new_refund_batches(p -> 'new_refund_batches', bad); end if;
    if p ? 'refund_batches' then perform write_refund_batches(p -> 'refund_batches', bad); end if;
    if p ? 'new_disputes' then perform write_new_disputes(p -> 'new_disputes', bad); end if;
    if p ? 'disputes' then perform write_disputes(p -> 'disputes', bad); end if;
    if p ? 'new_reconciliations' then perform write_new_reconciliations(p -> 'new_reconciliations', bad); end if;
    if p ? 'reconciliations' then perform write_reconciliations(p -> 'reconciliations', bad); end if;
    if p ? 'new_reconciliation_items' then
        perform write_new_reconciliation_items(p -> 'new_reconciliation_items', bad);
    end if;
    if p ? 'reconciliation_items' then perform write_reconciliation_items(p -> 'reconciliation_items', bad); end if;
    if p ? 'new_integration_events' then perform write_new_integration_events(p -> 'new_integration_events', bad); end if;
    if p ? 'integration_events' then perform write_integration_events(p -> 'integration_events', bad); end if;
    if p ? 'new_webhooks' then perform write_new_webhooks(p -> 'new_webhooks', bad); end if;
    if p ? 'webhooks' then perform write_webhooks(p -> 'webhooks', bad); end if;
    if p ? 'new_webhook_endpoints' then perform write_new_webhook_endpoints(p -> 'new_webhook_endpoints', bad); end if;
    if p ? 'webhook_endpoints' then perform write_webhook_endpoints(p -> 'webhook_endpoints', bad); end if;
    if p ? 'new_webhook_deliveries' then perform write_new_webhook_deliveries(p -> 'new_webhook_deliveries', bad); end if;
    if p ? 'webhook_deliveries' then perform write_webhook_deliveries(p -> 'webhook_deliveries', bad); end if;
    if p ? 'journals' then perform write_journals(p -> 'journals', p -> 'postings', bad); end if;
    if p ? 'events' then perform write_events(p -> 'events', bad); end if;
    if p ? 'audit' then perform write_audit(p -> 'audit', bad); end if;
    if p ? 'closed_keys' then perform close_keys(p -> 'closed_keys', bad); end if;
    if p ? 'freed_keys' then perform free_keys(p -> 'freed_keys', bad); end if;
    if p ? 'jobs' then
        perform write_jobs(p -> 'jobs', bad);
        perform pg_notify('bursar_jobs', '');
    end if;
    return nullif(refused, '[]');
end $$;
