"""Messages about settings show no credentials, also where an address has some that should not be there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from board.settings import read_board_settings
from board.store.engine import open_engine
from streams.errors import SettingsError, without_credentials
from streams.settings import read_settings

MARK = "5ecret-p/a#ss"
ADDRESSES = (f"https://user:{MARK}@host:1/x", f"https//user:{MARK}@host", f"https://user:{MARK}@host:99999999")
REFUSED: dict[str, tuple[Callable[[], object], dict[str, str], tuple[str, ...]]] = {
    "brokers": (read_settings, {}, (f"user:{MARK}@kafka:9092", f"kafka:9092,kafka://user:{MARK}@kafka:9092")),
    "schema_registry_url": (lambda: read_settings().schema_registry(), {}, ADDRESSES),
    "kafka_sasl_oauthbearer_token_endpoint_url": (read_settings, {}, ADDRESSES),
    "board_public_url": (read_board_settings, {"SLA_BOARD_SIGN_IN": "oidc"}, ADDRESSES),
    "board_oidc_issuer": (read_board_settings, {"SLA_BOARD_SIGN_IN": "oidc"}, ADDRESSES),
    "board_database_url": (
        lambda: open_engine(read_board_settings().database_url),
        {},
        (f"postgresql//user:{MARK}@host", f"postgresql://user:{MARK}@host:port/x", f"mysql://user:{MARK}@host/x"),
    ),
}
CASES = [(setting, address) for setting, (_, _, addresses) in REFUSED.items() for address in addresses]


@pytest.mark.parametrize(("setting", "address"), CASES)
def test_an_address_with_credentials_is_refused_without_showing_them(
    setting: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, others, _ = REFUSED[setting]
    for name, value in {**others, f"SLA_{setting.upper()}": address}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        read()
    chain: BaseException | None = refused.value
    while chain is not None:
        assert MARK not in f"{chain!r} {chain}"
        chain = chain.__cause__
    assert f"SLA_{setting.upper()}" in str(refused.value) or setting == "schema_registry_url"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SLA_X: 'https://u:p@h/x' is wrong", "SLA_X: '***@h/x' is wrong"),  # pragma: allowlist secret
        ("SLA_X: 'https://token@h/x' is wrong", "SLA_X: '***@h/x' is wrong"),
        ("'u:p@ss@h:1' and 'k:2'", "'***@h:1' and 'k:2'"),
        ("allowed: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",) * 2,  # pragma: allowlist secret
        ("allowed: postgresql://USER@HOST/DATABASE",) * 2,
        ("give kim@example.com: or another",) * 2,
    ],
)
def test_credentials_are_what_stands_before_the_host(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
