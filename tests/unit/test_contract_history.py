"""The contract facts of one tenant: any order of arrival gives the same history, and a long one is no burden."""

from __future__ import annotations

import itertools

import pytest
from story import contract, run

from streams.sla import contracts
from streams.sla.contracts import Contract, ContractCopies, ContractHistory
from streams.sla.events import Money, Position

MANY = 2_000


def terms(valid_from: int, time: int, name: str = "c") -> Contract:
    money, position = Money(100, "JPY"), Position("sla.contract-events", 0, 0)
    return Contract(valid_from, time, name, "/crm", None, "gold", money, None, None, False, position)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Contract]:
    """The contracts whose place in the order was asked for."""
    asked: list[Contract] = []
    real = contracts._precedence

    def counted(contract: Contract) -> tuple[int, int, str, str]:
        asked.append(contract)
        return real(contract)

    monkeypatch.setattr(contracts, "_precedence", counted)
    return asked


def test_any_order_of_arrival_gives_the_same_history() -> None:
    """R24."""
    facts = [terms(5, 3, "a"), terms(5, 2, "b"), terms(1, 9, "c"), terms(7, 2, "a")]
    for order in itertools.permutations(facts):
        history = ContractHistory()
        for fact in order:
            history.add(fact)
        assert [*history] == [terms(1, 9, "c"), terms(5, 2, "b"), terms(5, 3, "a"), terms(7, 2, "a")]
        assert history.first == terms(7, 2, "a")
        at_once = ContractHistory(order)
        assert ([*at_once], at_once.first) == ([*history], history.first)


def test_each_fact_of_a_long_history_is_compared_with_few(compared: list[Contract]) -> None:
    copies = ContractCopies()
    for number in range(MANY):
        copies.add("acme", terms(number * 7919 % MANY, number, f"c{number}"))
    assert len(compared) <= MANY * 13


def test_a_tenant_of_many_facts_is_renamed_and_evicted_in_few_steps(compared: list[Contract]) -> None:
    copies = ContractCopies()
    for number in range(MANY):
        copies.add("acme", terms(number, number, f"c{number}"))
    compared.clear()
    assert len(copies.rename("acme", "erased-1")) == MANY
    assert len(copies.evict("erased-1", MANY // 2)) == MANY // 2
    assert len(compared) <= MANY * 15
    left = copies.evict("erased-1", 2 * MANY)
    assert [each.valid_from for each in left] == list(range(MANY // 2, MANY - 1))
    assert copies.knows("erased-1", terms(MANY - 1, 0, f"c{MANY - 1}"))
    assert not copies.knows("erased-1", terms(0, 0, "c0"))


def test_a_change_of_terms_is_found_among_many(compared: list[Contract]) -> None:
    history = ContractHistory(terms(number, number, f"c{number}") for number in range(MANY))
    compared.clear()
    change = history.change(terms(1_000, 1_000, "c1000"))
    assert change is not None
    assert (change.start, change.end, change.before) == (1_000, 1_001, terms(999, 999, "c999"))
    assert len(compared) <= 20


def test_a_fact_does_not_cost_all_others_of_its_month(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[contracts.Span] = []
    real = contracts.Span

    def counted(start: int, end: int, contract: Contract) -> contracts.Span:
        made.append(real(start, end, contract))
        return made[-1]

    monkeypatch.setattr(contracts, "Span", counted)
    hours = [f"2026-03-{1 + hour // 24:02}T{hour % 24:02}:00:00Z" for hour in range(300)]
    run(*(contract(at, id=at) for at in hours))
    assert len(made) < 10 * len(hours)
