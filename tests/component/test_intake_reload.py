"""The intake reads mapping and secrets again: a wrong one is refused, and requests end with the one they began with."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from intake_bench import Bench, recorded, run, served, types
from structlog.testing import capture_logs

from connect.intake.loaded_mapping import MappingLoader
from streams.config_files.reload import ConfigReload, ask_on_hangup
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.instants import SECOND

MAPPING = """\
version: 1
sources:
  prometheus:
    format: alertmanager
    secrets: [{file: TOKEN}]
    rate: {per_second: 0.1, burst: 2}
    component: [{value: api}]
    impact: [{value: IMPACT}]
    tenants: [{scope: platform}]
"""
ALERTS = recorded("alertmanager-firing")


class Files:
    """A mapping file and a token as Kubernetes mounts them: links through `..data` to a folder that is exchanged."""

    def __init__(self, place: Path) -> None:
        self.mapping, self._place, self._version = place / "intake.yaml", place, 0
        self.write()
        for name in ("intake.yaml", "token"):
            (place / name).symlink_to(Path("..data") / name)

    def write(self, *, impact: str = "cosmetic", token: str = "first-token-000001") -> None:
        self._version += 1
        folder = self._place / f"..version-{self._version}"
        folder.mkdir()
        text = MAPPING.replace("IMPACT", impact).replace("TOKEN", str(self._place / "token"))
        (folder / "intake.yaml").write_text(text, encoding="utf-8")
        (folder / "token").write_text(f"{token}\n", encoding="utf-8")
        (self._place / "..new").symlink_to(folder.name)
        (self._place / "..new").rename(self._place / "..data")


async def reload_of(bench: Bench, files: Files, environment: Mapping[str, str] | None = None) -> ConfigReload[object]:
    loader = MappingLoader(files.mapping, environment or {})
    bench.intake.use(loader.load())
    return ConfigReload("mapping", loader, bench.intake.use, bench.intake.keep_mapping)  # type: ignore[arg-type]


async def send(bench: Bench, token: str = "first-token-000001") -> int:
    status, _, _ = await bench.hook("prometheus", ALERTS, Authorization=f"Bearer {token}")
    bench.clock.at += 30 * SECOND
    return status


def impacts(bench: Bench) -> list[str]:
    decoded = [decode(record.value) for record in bench.publisher.acknowledged]
    return [str(each[1]["impact"]) for each in decoded if not isinstance(each, Rejection) and "impact" in each[1]]


def metric(bench: Bench, name: str, **labels: str) -> float | None:
    return bench.intake.metrics.registry.get_sample_value(name, labels)


def test_a_changed_secret_and_a_changed_mapping_hold_without_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files = Files(tmp_path)
            reload = await reload_of(bench, files)
            assert await send(bench) == 202
            files.write(token="second-token-00001")
            await reload.look(at_once=False)
            assert await send(bench) == 202, "seen once: it may be half written"
            await reload.look(at_once=False)
            assert [await send(bench), await send(bench, "second-token-00001")] == [401, 202]
            before = await (await bench.client.get("/ready")).json()
            files.write(token="second-token-00001", impact="complete_outage")
            await reload.look(at_once=True)
            assert await send(bench, "second-token-00001") == 202
            after = await (await bench.client.get("/ready")).json()
            assert (before["ready"], after["ready"]) == (True, True)
            assert before["mapping"]["digest"] != after["mapping"]["digest"]
            assert metric(bench, "sla_intake_mapping_info", digest=after["mapping"]["digest"]) == 1
            assert metric(bench, "sla_intake_mapping_info", digest=before["mapping"]["digest"]) is None
            assert metric(bench, "sla_intake_mapping_loaded_timestamp_seconds") == (bench.clock.at / SECOND) - 30

    run(scenario)


def test_a_fault_while_a_mapping_is_taken_over_is_told_and_the_next_content_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files, fails = Files(tmp_path), [OverflowError("too large")]

            def use(mapping: object) -> None:
                if fails:
                    raise fails.pop()
                bench.intake.use(mapping)  # type: ignore[arg-type]

            loader = MappingLoader(files.mapping, {})
            bench.intake.use(loader.load())
            reload = ConfigReload("mapping", loader, use, bench.intake.keep_mapping)
            with capture_logs() as logs:
                await reload.look(at_once=True)
            assert [each["event"] for each in logs] == ["mapping_reload_failed", "mapping_refused"]
            assert reload.problem == "reading or using it failed: OverflowError: too large"
            await reload.look(at_once=True)
            assert reload.problem is None

    run(scenario)


def test_a_wrong_mapping_is_refused_once_with_its_line_and_the_old_one_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files = Files(tmp_path)
            reload = await reload_of(bench, files)
            files.write(impact="huge")
            with capture_logs() as logs:
                for _ in range(5):
                    await reload.look(at_once=False)
            (entry,) = [each for each in logs if each["event"] == "mapping_refused"]
            assert f"{files.mapping}:8: sources.prometheus.impact[0].value: 'huge'" in entry["reason"]
            async with bench.client.get("/ready") as answer:
                told = await answer.json()
                assert (answer.status, told["ready"], told["mapping"]["refused"]) == (200, True, entry["reason"])
            assert metric(bench, "sla_intake_mapping_outdated") == 1
            assert metric(bench, "sla_intake_mapping_loads_total", result="refused") == 1
            assert await send(bench) == 202
            files.write(token="short")
            await reload.look(at_once=True)
            assert f"the file {tmp_path / 'token'} is too short" in str(reload.problem)
            assert "short;" not in str(reload.problem).replace("too short;", "")
            files.write()
            with capture_logs() as logs:
                await reload.look(at_once=True)
            assert [each["event"] for each in logs] == ["mapping_reloaded"]
            assert (reload.problem, metric(bench, "sla_intake_mapping_outdated")) == (None, 0)
            async with bench.client.get("/ready") as answer:
                assert "refused" not in (await answer.json())["mapping"]

    run(scenario)


def test_a_secret_that_comes_after_the_mapping_that_names_it_is_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files = Files(tmp_path)
            reload = await reload_of(bench, files)
            late = tmp_path / "late"
            files.mapping.unlink()
            text = MAPPING.replace("IMPACT", "cosmetic").replace("TOKEN", str(late))
            files.mapping.write_text(text, encoding="utf-8")
            await reload.look(at_once=True)
            assert f"the file {late} can't be read" in str(reload.problem)
            late.write_text("third-token-000001", encoding="utf-8")
            for _ in range(2):
                await reload.look(at_once=False)
            assert reload.problem is None
            assert await send(bench, "third-token-000001") == 202

    run(scenario)


def test_a_secret_with_a_name_that_no_file_has_is_refused_and_the_next_content_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files = Files(tmp_path)
            reload = await reload_of(bench, files)
            files.mapping.unlink()
            mapping = MAPPING.replace("IMPACT", "cosmetic")
            files.mapping.write_text(mapping.replace("TOKEN", r'"token\0"'), encoding="utf-8")
            await reload.look(at_once=True)
            assert "can't be read (ValueError)" in str(reload.problem)
            files.mapping.write_text(mapping.replace("TOKEN", str(tmp_path / "token")), encoding="utf-8")
            for _ in range(2):
                await reload.look(at_once=False)
            assert reload.problem is None

    run(scenario)


def test_a_request_in_progress_ends_with_the_mapping_it_began_with(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files = Files(tmp_path)
            reload = await reload_of(bench, files)
            arriving = asyncio.Event()

            async def slowly():  # type: ignore[no-untyped-def]
                yield ALERTS[:10]
                arriving.set()
                await reloaded.wait()
                yield ALERTS[10:]

            reloaded = asyncio.Event()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer first-token-000001"}
            asked = asyncio.create_task(
                bench.client.post("/v1/hooks/prometheus", data=slowly(), headers=headers).__aenter__()
            )
            await arriving.wait()
            files.write(impact="complete_outage", token="second-token-00001")
            await reload.look(at_once=True)
            reloaded.set()
            assert (await asked).status == 202
            assert set(impacts(bench)) == {"cosmetic"}
            assert await send(bench, "second-token-00001") == 202
            assert set(impacts(bench)) == {"cosmetic", "complete_outage"}

    run(scenario)


def test_a_hangup_asks_for_a_look_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            files = Files(tmp_path)
            reload, asked = await reload_of(bench, files), ask_on_hangup()
            looking = asyncio.create_task(reload.run(asked))
            files.write(impact="complete_outage")
            os.kill(os.getpid(), signal.SIGHUP)
            while metric(bench, "sla_intake_mapping_loads_total", result="loaded") != 3:
                await asyncio.sleep(0)
            looking.cancel()
            assert await send(bench) == 202
            assert set(impacts(bench)) == {"complete_outage"}

    run(scenario)


def test_a_reload_grants_no_second_burst(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served() as bench:
            reload = await reload_of(bench, Files(tmp_path))
            for expected in (202, 202, 429):
                assert (await bench.hook("prometheus", ALERTS, Authorization="Bearer first-token-000001"))[
                    0
                ] == expected
                await reload.look(at_once=True)
            assert types(bench).count("incident.opened") == 4

    run(scenario)


def test_a_file_that_is_written_while_it_is_loaded_is_loaded_again_before_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("1", encoding="utf-8")

    class Loader:
        def load(self) -> str:
            found = file.read_text(encoding="utf-8")
            if found == "2":
                file.write_text("3", encoding="utf-8")
            return found

        def files(self) -> list[Path]:
            return [file]

    async def scenario() -> None:
        used = list[str]()
        reload = ConfigReload("mapping", Loader(), used.append, used.append)
        file.write_text("2", encoding="utf-8")
        await reload.look(at_once=True)
        for _ in range(4):
            await reload.look(at_once=False)
        assert used == ["3"], "what was read while it changed is not used"

    run(scenario)


def test_a_file_that_is_named_first_and_changes_after_it_was_read_is_loaded_again(tmp_path: Path) -> None:
    main, secret = tmp_path / "some.yaml", tmp_path / "secret"
    main.write_text("a", encoding="utf-8")
    secret.write_text("1", encoding="utf-8")

    class Loader:
        named: list[Path] = []
        changes = ["2"]

        def load(self) -> str:
            found = main.read_text(encoding="utf-8")
            self.named = [secret] if found == "b" else []
            if self.named:
                found += secret.read_text(encoding="utf-8")
                if self.changes:
                    secret.write_text(self.changes.pop(), encoding="utf-8")
            return found

        def files(self) -> list[Path]:
            return [main, *self.named]

    async def scenario() -> None:
        used = list[str]()
        reload = ConfigReload("mapping", Loader(), used.append, used.append)
        main.write_text("b", encoding="utf-8")
        for _ in range(4):
            await reload.look(at_once=False)
        assert used[-1] == "b2"
        count = len(used)
        for _ in range(4):
            await reload.look(at_once=False)
        assert len(used) == count

    run(scenario)
