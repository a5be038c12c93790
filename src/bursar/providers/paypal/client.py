"""The HTTP side of PayPal: one client, one OAuth token kept and renewed ahead of its end, and every call's failure told
by what it leaves possible.

NotSent: this call certainly did nothing. Lost: it may have been carried out. Refused: PayPal said no, for good.
"""

import asyncio
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog

from bursar.kit.clock import Clock
from bursar.providers.paypal.documents import Fault, Token

CONNECT_SECONDS: Final = 3
RENEW_AHEAD: Final = timedelta(minutes=2)
"""A token is not used in its last minutes: it might end on the way."""
ANSWER_BYTES_MAX: Final = 1 << 20
CONNECTIONS_MAX: Final = 64

log = structlog.get_logger()
T = TypeVar("T")


class NotSent(Exception):  # noqa: N818  it says what is certain, whoever is at fault
    """Nothing was done by this call. retry_after: seconds, where PayPal wants to be left alone."""

    def __init__(self, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Lost(Exception):  # noqa: N818
    """The call may have been carried out: its answer did not come, or is no answer to it."""


class Refused(Exception):  # noqa: N818
    """PayPal refused the call and did nothing. issue: its most exact name for the reason. links: of the refusal."""

    def __init__(self, status: int, fault: Fault) -> None:
        detail = fault.details[0] if fault.details else None
        self.status = status
        self.issue = (detail.issue if detail else "") or fault.name
        self.fault = fault
        words = (detail.description if detail else "") or fault.message
        super().__init__(f"{self.issue}: {words}" if words else self.issue)


class Client:
    """Calls PayPal at `base_url`. Every call ends within `timeout_seconds`, and none is made a second time, but for one
    whose token PayPal no longer took.
    """

    def __init__(
        self, *, client_id: str, client_secret: str, base_url: str, clock: Clock, timeout_seconds: float
    ) -> None:
        self.clock = clock
        self._seconds = timeout_seconds
        self._credentials = httpx.BasicAuth(client_id, client_secret)
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout,
            trust_env=False,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )
        self._renewing = asyncio.Lock()
        self._token = ""
        self._token_until = clock.now()

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str, answer: type[T], params: dict[str, str] | None = None) -> T:
        """Look something up. Raises NotSent, Lost, Refused."""
        return _decode(await self._call("GET", path, {"params": params}), answer)

    async def post(self, path: str, answer: type[T], *, key: str, body: dict[str, Any] | None = None) -> T:
        """Have something done once under `key`. Raises NotSent, Lost, Refused."""
        content = {"content": b"" if body is None else msgspec.json.encode(body)}
        headers = {"PayPal-Request-Id": key, "Prefer": "return=representation", "Content-Type": "application/json"}
        return _decode(await self._call("POST", path, content | {"headers": headers}), answer)

    async def post_form(self, path: str, answer: type[T], *, key: str, part: dict[str, Any]) -> T:
        """Have something done that PayPal takes as a form, whose part `input` is JSON. Raises as `post`."""
        files = {"input": (None, msgspec.json.encode(part), "application/json")}
        return _decode(await self._call("POST", path, {"files": files, "headers": {"PayPal-Request-Id": key}}), answer)

    async def delete(self, path: str) -> None:
        """Have something removed. Raises NotSent, Lost, Refused."""
        await self._call("DELETE", path, {})

    async def _call(self, method: str, path: str, options: dict[str, Any]) -> bytes:
        token = await self._valid_token()
        response, content = await self._send(method, path, options, token)
        if response.status_code == 401:
            token = await self._valid_token(instead_of=token)
            response, content = await self._send(method, path, options, token)
        return self._judge(response, content)

    async def _send(self, method: str, path: str, options: dict[str, Any], token: str) -> tuple[httpx.Response, bytes]:
        headers = {**options.get("headers", {}), "Authorization": f"Bearer {token}"}
        return await self._exchange(method, path, **{**options, "headers": headers})

    async def _exchange(self, method: str, path: str, **options: Any) -> tuple[httpx.Response, bytes]:
        """One request and its whole answer."""
        try:
            async with asyncio.timeout(self._seconds), self._http.stream(method, path, **options) as response:
                content = b""
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > ANSWER_BYTES_MAX:
                        raise Lost("an answer without an end")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"no connection: {type(error).__name__}") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise Lost(f"no answer: {type(error).__name__}") from error
        return response, content

    def _judge(self, response: httpx.Response, content: bytes) -> bytes:
        status = response.status_code
        if 200 <= status < 300:
            return content
        if status == 429:
            raise NotSent("PayPal wants to be left alone", self._retry_after(response))
        if status == 401:
            log.critical("paypal.credentials_refused")
            raise NotSent("PayPal refuses our credentials")
        if status in (408, 409) or not 400 <= status < 500:
            raise Lost(f"answered {status}")
        try:
            fault = msgspec.json.decode(content, type=Fault)
        except msgspec.DecodeError as error:
            raise Lost(f"answered {status} without a reason") from error
        raise Refused(status, fault)

    def _retry_after(self, response: httpx.Response) -> int | None:
        text = response.headers.get("Retry-After", "")
        if text.isdecimal():
            return int(text[:9])
        try:
            at: datetime = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0, int((at - self.clock.now()).total_seconds())) if at.tzinfo else None

    async def _valid_token(self, instead_of: str = "") -> str:
        """A token that will live for a while; a new one instead of one that PayPal refused. Raises NotSent."""
        async with self._renewing:
            is_good = self._token not in ("", instead_of) and self.clock.now() < self._token_until - RENEW_AHEAD
            if not is_good:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        try:
            response, content = await self._exchange(
                "POST", "/v1/oauth2/token", auth=self._credentials, data={"grant_type": "client_credentials"}
            )
            if response.status_code == 400:
                raise NotSent("PayPal gives us no token")
            token = _decode(self._judge(response, content), Token)
        except (Lost, Refused) as error:
            raise NotSent(f"no token: {error}") from error
        self._token = token.access_token
        self._token_until = self.clock.now() + timedelta(seconds=token.expires_in)


def part(given: str) -> str:
    """One part of a path: whatever an id holds, it leads nowhere else."""
    return quote(given, safe="")


def _decode(content: bytes, answer: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=answer)
    except msgspec.DecodeError as error:
        raise Lost(f"an answer that is no {answer.__name__}") from error
