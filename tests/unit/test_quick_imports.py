"""Imports without garbage collections: the collector works again afterwards, and leaves out what was imported."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from cli.support.quick_imports import quick_imports


@pytest.mark.parametrize("imported", [True, False])
def test_nothing_is_collected_meanwhile_and_only_what_was_imported_is_kept(
    imported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    with quick_imports():
        assert not gc.isenabled()
        if imported:
            monkeypatch.setitem(sys.modules, "a_module_of_this_test", ModuleType("a_module_of_this_test"))
    assert gc.isenabled()
    assert frozen == [True] * imported


def test_the_collector_works_again_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
