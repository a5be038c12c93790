"""What must hold of webhook endpoints and deliveries."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "webhook_endpoints: an endpoint's status is what its last change of status says": """
        select 'webhook endpoint ' || w.id || ' is ' || w.status || ', its last one is ' || coalesce(e.type, 'missing')
        from webhook_endpoints w
        left join lateral (
            select type from events where stream = w.id and type not like '%updated' and type not like '%rotated'
            order by version desc limit 1) e on true
        where not coalesce(e.type = any (case w.status
            when 'ACTIVE' then array['webhook_endpoint.created', 'webhook_endpoint.enabled']
            when 'DISABLED' then array['webhook_endpoint.disabled']
            else array['webhook_endpoint.removed'] end), false)""",
    "webhook_endpoints: nothing was sent before what comes before it in its stream": """
        select 'delivery ' || d.id || ' has ended before ' || b.id
        from webhook_deliveries b
        join webhook_deliveries d on d.endpoint_id = b.endpoint_id and d.stream = b.stream and d.position > b.position
        where b.status = 'PENDING' and b.is_ordered and d.is_ordered and d.status <> 'PENDING'""",
    "webhook_endpoints: no delivery lacks its event": """
        select 'delivery ' || d.id from webhook_deliveries d
        left join events e on e.tx = d.event_tx and e.position = d.event_position
        where d.content is null and e.id is distinct from d.event_id""",
    "webhook_endpoints: each has its lane": """
        select 'webhook endpoint ' || w.id from webhook_endpoints w
        where not exists (select from webhook_lanes l where l.endpoint_id = w.id)""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
