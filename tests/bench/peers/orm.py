"""The ordinary stack: FastAPI, pydantic, SQLAlchemy's async ORM on asyncpg, one uvicorn process, uvloop, httptools.

What a competent team would write, and idiomatic: a session by Depends, objects added to it and flushed together at the
commit, the row locked with SELECT FOR UPDATE before it changes, a transaction before and one after the provider is
asked. It writes the rows that Bursar writes. Nothing is held back: the answer that is kept for the idempotency key is
also the one that is sent, so it is serialized once; a token is verified with joserfc.

    python -m tests.bench.peers.orm --port 8001 --url postgresql://… --jwks keys/token.jwks
"""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bursar.kit.clock import SystemClock
from tests.bench.peers import orm_service as service
from tests.bench.peers.orm_schemas import (
    AuthorizePayment,
    CapturePayment,
    CompletePayment,
    CreatePayment,
    PaymentView,
)
from tests.bench.peers.orm_tables import Payment
from tests.bench.peers.orm_work import Caller, Refusal, Work, replay

POOL_SIZE = 20
CLAIMS = jwt.JWTClaimsRegistry(
    exp={"essential": True},
    iss={"essential": True, "value": "bursar"},
    aud={"essential": True, "value": "bursar"},
    sub={"essential": True},
)
clock = SystemClock()
router = APIRouter(prefix="/api/v1/payments/core")


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


async def get_caller(request: Request, authorization: Annotated[str, Header()]) -> Caller:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401, "send a bearer token")
    try:
        decoded = jwt.decode(token, request.app.state.keys, algorithms=["ES256", "EdDSA", "RS256"])
        CLAIMS.validate(decoded.claims)
    except (JoseError, ValueError) as error:
        raise HTTPException(401, "the token is not valid") from error
    return Caller(decoded.claims["sub"], frozenset(decoded.claims.get("roles", ())))


async def get_work(
    request: Request,
    session: Annotated[AsyncSession, Depends(get_session)],
    caller: Annotated[Caller, Depends(get_caller)],
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255)],
) -> Work:
    if caller.roles.isdisjoint({"service", "admin"}):
        raise HTTPException(403, "one of these roles is needed: service, admin")
    return Work.of(
        session,
        now=clock.now(),
        caller=caller,
        key=idempotency_key,
        path=request.url.path,
        body=await request.body(),
        method=request.method,
    )


Session = Annotated[AsyncSession, Depends(get_session)]
KnownCaller = Annotated[Caller, Depends(get_caller)]
Write = Annotated[Work, Depends(get_work)]


def answered(status: int, body: str, headers: dict[str, str]) -> Response:
    return Response(body, status, headers, media_type="application/json")


@router.post("", status_code=201, response_model=PaymentView)
async def create_payment(body: CreatePayment, work: Write) -> Response:
    try:
        return answered(*await service.create(work, body))
    except IntegrityError as error:
        return answered(*await replay(work, error))


@router.get("/{payment_id}", response_model=PaymentView)
async def get_payment(payment_id: str, session: Session, caller: KnownCaller) -> Payment:
    if caller.roles.isdisjoint({"service", "finance", "admin", "support", "risk"}):
        raise HTTPException(403, "a reader's role is needed")
    payment = await session.get(Payment, payment_id)
    if payment is None:
        raise HTTPException(404, "no such payment")
    return payment


@router.put("/{payment_id}/authorize", response_model=PaymentView)
async def authorize_payment(payment_id: str, body: AuthorizePayment, work: Write) -> Response:
    try:
        return answered(*await service.authorize(work, payment_id, method_id=body.payment_method_id))
    except IntegrityError as error:
        return answered(*await replay(work, error))


@router.put("/{payment_id}/capture", response_model=PaymentView)
async def capture_payment(payment_id: str, body: CapturePayment, work: Write) -> Response:
    try:
        return answered(*await service.capture(work, payment_id, amount=body.amount, is_final=body.final_capture))
    except IntegrityError as error:
        return answered(*await replay(work, error))


@router.put("/{payment_id}/complete", response_model=PaymentView)
async def complete_payment(payment_id: str, body: CompletePayment, work: Write) -> Response:
    try:
        return answered(*await service.complete(work, payment_id))
    except IntegrityError as error:
        return answered(*await replay(work, error))


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    body = {"title": error.detail, "status": error.status, "instance": request.url.path}
    return Response(json.dumps(body), error.status, media_type="application/problem+json")


def make_app(url: str, keys: KeySet) -> FastAPI:
    """The application on the database at `url`, with the keys that tokens are verified with."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=POOL_SIZE, max_overflow=0
        )
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.keys = keys
        yield
        await engine.dispose()

    app = FastAPI(title="The ordinary stack", lifespan=lifespan)
    app.include_router(router)
    app.add_exception_handler(Refusal, refused)

    @app.get("/readyz")
    async def is_ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--jwks", type=Path, required=True)
    options = parser.parse_args()
    uvicorn.run(
        make_app(options.url, KeySet.import_key_set(json.loads(options.jwks.read_text()))),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
