"""Amounts of money for people: minor units as ISO 4217 counts them, written by babel."""

from __future__ import annotations

from decimal import Decimal

from babel.numbers import format_currency

#: Currencies whose minor unit is not a hundredth (ISO 4217). Not babel's own digits: those are CLDR's, which leave out
#: minor units that are no longer used in daily life.
_DIGITS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


def formatted(amount_minor: int, currency: str) -> str:
    """An amount such as $1,234.50, ¥1,234 or -€0.05."""
    digits = _DIGITS.get(currency, 2)
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    amount = Decimal(amount_minor).scaleb(-digits)
    return str(format_currency(amount, currency, pattern, locale="en", currency_digits=False))
