"""Amounts of money for people: minor units as ISO 4217 counts them, written by babel."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

from babel.core import get_global
from babel.numbers import format_currency

#: Currencies whose minor unit is not a hundredth (ISO 4217). Not babel's own digits: those are CLDR's, which leave out
#: minor units that are no longer used in daily life.
_NO_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_WITHOUT_MINOR_UNIT = frozenset(_NO_MINOR_UNIT.split())
_WITH_THOUSANDTHS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_WITH_TEN_THOUSANDTHS = frozenset(["CLF", "UYW"])
_UNITS_OF_ACCOUNT = frozenset(["CLF", "COU", "MXV", "UYI", "UYW"])


def formatted(amount_minor: int, currency: str) -> str:
    """An amount such as $1,234.50, ¥1,234 or -€0.05."""
    digits = digits_of(currency)
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    amount = Decimal(amount_minor).scaleb(-digits)
    return str(format_currency(amount, currency, pattern, locale="en", currency_digits=False))


def is_currency(code: str) -> bool:
    """Whether it is money today: legal tender somewhere by CLDR, or a unit of account that contracts are written in."""
    return code in _in_use()


@cache
def _in_use() -> frozenset[str]:
    today = get_global("territory_currencies")
    tender = (code for each in today.values() for code, _, until, is_tender in each if until is None and is_tender)
    return frozenset(tender) | _UNITS_OF_ACCOUNT


def digits_of(currency: str) -> int:
    """Decimals of a currency's minor unit."""
    if currency in _WITHOUT_MINOR_UNIT:
        return 0
    if currency in _WITH_THOUSANDTHS:
        return 3
    return 4 if currency in _WITH_TEN_THOUSANDTHS else 2
