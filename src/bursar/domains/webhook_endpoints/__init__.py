"""Webhook endpoints: who outside is told of events, by the Standard Webhooks specification.

Promises: an event that an active endpoint asked for is sent to it at least once, until it is delivered or given up
after the schedule's last try; an event of a stream is not sent before the one before it is delivered or given up;
endpoints do not delay each other; no address is connected to that was not checked; a secret is shown once and lies
encrypted. Status changes only through model.MACHINE.
"""
