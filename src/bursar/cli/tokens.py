"""Bearer tokens signed with the data directory's own key."""

from bursar.cli import fail
from bursar.infra.auth import ROLES, sign
from bursar.infra.keyfiles import token_key
from bursar.kit import ids
from bursar.kit.clock import SystemClock
from bursar.settings import Settings

SECONDS_OF_A_DAY = 86_400


def make_token(
    settings: Settings, *, roles: str, customer_id: str | None, vendor_id: str | None, subject: str | None, days: float
) -> str:
    """A token for `days`. Ends the command where a role is unknown."""
    wanted = [role.strip() for role in roles.split(",") if role.strip()]
    unknown = sorted(set(wanted) - ROLES)
    if unknown or not wanted:
        fail(f"there is no role {', '.join(unknown) or '(none)'}; there are: {', '.join(sorted(ROLES))}")
    now = SystemClock().now()
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": subject or customer_id or vendor_id or wanted[0],
        "roles": wanted,
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp() + days * SECONDS_OF_A_DAY),
        "jti": ids.new(now),
    }
    if customer_id:
        claims["customerId"] = customer_id
    if vendor_id:
        claims["vendorId"] = vendor_id
    return sign(token_key(settings.keys_path), claims)
