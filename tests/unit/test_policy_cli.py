"""`sla policy check` and `show`: exit codes, what they print in English and Japanese, examples in the help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from cli.policy.commands import policy_app
from streams.policy.load import default_policies_dir

SHIPPED = default_policies_dir() / "scalr-emergency" / "1.yaml"

Run = Callable[..., Result]

app = typer.Typer()
app.add_typer(policy_app, name="policy")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words: CliRunner().invoke(app, ["policy", *map(str, words)])


def test_check_of_what_is_shipped_is_fine(run: Run) -> None:
    result = run("check", default_policies_dir(), SHIPPED)
    assert result.exit_code == 0
    assert "fine: scalr-emergency 1, digest " in result.stdout
    assert result.stderr == ""


def test_check_names_every_mistake_of_every_file(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    text = SHIPPED.read_text(encoding="utf-8")
    first.write_text(text.replace("PT2H", "2h").replace("step: whole", "step: full"), encoding="utf-8")
    second.write_text(text.replace("default_severity", "default_severty"), encoding="utf-8")
    result = run("check", first, second, SHIPPED)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == [
        "severities.P1.response.within",
        "severities.P2.updates.every",
        "credit.step",
        "default_severty",
    ]
    assert lines[3].startswith(f"{second}:")
    assert "did you mean default_severity?" in lines[3]
    assert lines[-1] == "4 problems"
    assert "fine: scalr-emergency 1" in result.stdout


def test_check_warns_without_failing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    shadowed = "  - {name: late, when: {impact: [cosmetic]}, severity: P3}\ndefault_severity: P2"
    text = SHIPPED.read_text(encoding="utf-8").replace("default_severity: P2", shadowed)
    file.write_text(text, encoding="utf-8")
    result = run("check", file)
    assert result.exit_code == 0
    assert result.stderr == f"{file}: warning: rules[5]: 'late' never decides; before it come cosmetic\n"


def test_check_of_a_tree_wants_names_that_fit_but_lone_files_may_be_called_anything(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "9.yaml"
    file.parent.mkdir()
    file.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    assert run("check", file).exit_code == 0
    for directory in (tmp_path, tmp_path / "mine"):
        result = run("check", directory)
        assert result.exit_code == 1
        assert "policy: 'scalr-emergency' is not how the directory is called; allowed: 'mine'" in result.stderr
        assert "version: '1' is not how the file is called; allowed: '9'" in result.stderr


def test_check_of_a_tree_refuses_versions_from_the_same_instant(run: Run, tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    directory = tmp_path / "scalr-emergency"
    directory.mkdir()
    (directory / "1.yaml").write_text(text, encoding="utf-8")
    (directory / "2.yaml").write_text(text.replace('version: "1"', 'version: "2"'), encoding="utf-8")
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert "effective_from: 1.yaml starts at the same instant" in result.stderr


def test_check_defaults_prints_yaml_that_is_the_same_policy(run: Run, tmp_path: Path) -> None:
    result = run("check", "--defaults", default_policies_dir() / "code-hosting" / "1.yaml")
    assert result.exit_code == 0
    filled = yaml.safe_load(result.stdout)
    assert filled["statements"] == {"grace": "PT72H", "provisional_every": "PT24H", "adjust_after": "PT1H"}
    assert filled["severities"]["P1"]["warn_at"] == [0.5, 0.75, 0.9]
    again = tmp_path / "again.yaml"
    again.write_text(result.stdout, encoding="utf-8")
    digests = [run("check", path).stdout.split()[-1] for path in (again, default_policies_dir() / "code-hosting")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "absent.yaml"], "there is no file absent.yaml"),
        (["show", "absent.yaml"], "absent.yaml can't be read"),
        (["show", "absent"], "there are: code-hosting, demo-live, scalr-emergency"),
        (["show", "scalr-emergency", "--version", "7"], "has no version '7'; there are: 1"),
        (["show", "scalr-emergency", "--lang", "fr"], "'fr'"),
        (["check"], ""),
    ],
)
def test_wrong_use_ends_with_2_and_says_why(run: Run, words: list[str], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_check_of_an_empty_directory_is_wrong_use(run: Run, tmp_path: Path) -> None:
    result = run("check", tmp_path)
    assert result.exit_code == 2
    assert "there is no policy in" in result.stderr


def test_show_of_a_faulty_file_ends_with_2_and_its_problems(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(SHIPPED.read_text(encoding="utf-8").replace("PT24H, clock", "24h, clock"), encoding="utf-8")
    result = run("show", file)
    assert result.exit_code == 2
    assert "severities.P3.response.within: '24h' is not a duration" in result.stderr


def cells(output: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in output.splitlines()]


def test_show_in_english(run: Run) -> None:
    result = run("show", "scalr-emergency")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    rows = cells(result.stdout)
    assert [
        "P1",
        "complete outage, critical performance problem; or outage of an important part (tier 1)",
        "2 hours, 24x7",
        "at least every hour",
        "phone",
    ] in rows
    assert ["P3", "delayed processing", "24 hours, 24x7", "at least every 6 hours", "ticket"] in rows
    assert ["P4", "cosmetic fault", "1 business day", "on request, within 1 business day", "ticket"] in rows
    assert ["Backups", "backups", "no", "yes"] in rows
    assert "at least 99.9 % uptime of: Web console, API, Automatic scaling, Backups." in result.stdout
    assert "For every full percentage point below 99 %: credit of 10 %" in result.stdout
    assert "within 60 days" in result.stdout


def test_show_in_japanese(run: Run) -> None:
    result = run("show", SHIPPED, "--lang", "ja")
    assert result.exit_code == 0
    rows = cells(result.stdout)
    assert [
        "P2",
        "重要な機能の停止（ティア 2、3、不明）、またはほかに当てはまらないもの",
        "4時間以内（24時間365日）",
        "少なくとも2時間ごと",
        "電話",
    ] in rows
    assert ["P4", "表示上の不具合", "1営業日以内", "ご要望から1営業日以内", "チケット"] in rows
    assert ["ゲストエージェント", "guest_agent", "あり", "なし"] in rows
    assert "毎月の稼働率 99.9% 以上を保証：管理画面、API、自動スケーリング、バックアップ。" in result.stdout


def test_show_takes_the_latest_version_or_the_one_named(run: Run, tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    directory = tmp_path / "scalr-emergency"
    directory.mkdir()
    (directory / "1.yaml").write_text(text, encoding="utf-8")
    later = text.replace('version: "1"', 'version: "2"')
    later = later.replace("effective_from: null", "effective_from: 2027-01-01T00:00:00Z")
    (directory / "2.yaml").write_text(later, encoding="utf-8")
    latest = run("show", "scalr-emergency", "--policies", tmp_path)
    assert "scalr-emergency 2 (from 2027-01-01T00:00:00Z)" in latest.stdout
    first = run("show", "scalr-emergency", "--policies", tmp_path, "--version", "1")
    assert "scalr-emergency 1\n" in first.stdout


def test_show_words_what_a_policy_may_say_besides(run: Run, tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    for old, new in [
        ("holidays: null", "holidays: JP"),
        ("notice: PT0S", "notice: P5D"),
        ("step: whole", "step: pro_rata"),
        ("claim: required", "claim: automatic"),
        ("{within: PT2H, clock: always}", "{within: PT1H30M, clock: business}"),
        ("updates: {every: PT1H, remind_before: PT10M}", "updates: null\n    resolution: {business_days: 2}"),
        ("channels: [phone]", "channels: []"),
        ("impact: [cosmetic]", "component: [ui, api], scope: [tenants]"),
    ]:
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    english = run("show", file)
    assert english.exit_code == 0
    for piece in [
        "closed on public holidays of JP",
        "announced at least 5 days ahead",
        "in exact proportion",
        "come without asking",
        "1 hour 30 minutes of business time; resolved within 2 business days",
        "no target",
        "any way",
        "any impact (Web console, API, single customers)",
    ]:
        assert piece in english.stdout
    japanese = run("show", file, "--lang", "ja")
    assert "営業時間で1時間30分以内、解決は2営業日以内" in japanese.stdout
    assert "すべての影響（管理画面、API、個別のお客様）" in japanese.stdout


@pytest.mark.parametrize("command", ["check", "show"])
def test_help_shows_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: sla policy {command} " in result.stdout
