"""Payment methods as an adapter gets them, and what it tells of them."""

from enum import StrEnum

import msgspec


class MethodType(StrEnum):
    CARD = "CARD"
    BANK_ACCOUNT = "BANK_ACCOUNT"
    DIGITAL_WALLET = "DIGITAL_WALLET"


class Secret:
    """Is never shown: no log line, no traceback says what is in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Card(Secret, msgspec.Struct, frozen=True, omit_defaults=True):
    """A card as its holder types it in. cvc: there once, while the card is added; kept by nobody."""

    number: str
    exp_month: int
    exp_year: int
    holder_name: str | None = None
    cvc: str | None = None


class BankAccount(Secret, msgspec.Struct, frozen=True, omit_defaults=True):
    """An account: by routing_number and account_number (US), or by iban. account_type: CHECKING or SAVINGS."""

    country: str
    holder_name: str
    routing_number: str | None = None
    account_number: str | None = None
    iban: str | None = None
    bic: str | None = None
    account_type: str = "CHECKING"


class Wallet(Secret, msgspec.Struct, frozen=True):
    """A wallet's own token. provider: PAYPAL, APPLE_PAY or GOOGLE_PAY."""

    provider: str
    token: str


class Instrument(msgspec.Struct, frozen=True):
    """A payment method as an adapter gets it. id: ours. token: this provider's own for it, where it has given one;
    else one of the three others is there. is_gone: its owner has removed it, and nothing else is left: an inquiry looks
    by its key alone, and repeats nothing.
    """

    id: str
    type: MethodType
    token: str | None = None
    card: Card | None = None
    bank_account: BankAccount | None = None
    wallet: Wallet | None = None
    is_gone: bool = False


class MethodDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider tells of a payment method that it keeps: enough to show it, not to use it."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    bin: str | None = None
    country: str | None = None
    bank_name: str | None = None
    email: str | None = None
