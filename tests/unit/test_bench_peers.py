"""The pure parts of the benchmark beside peers: the job, the clock, the ratios, the table and the chart."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.peers import job
from bench.peers.chart import draw
from bench.peers.environments import pinned
from bench.peers.table import ContenderRow, Spread, markdown, plain, put_between_markers, ratios, row
from bench.peers.timeline import RunFailed, Sample, throughput, visible
from bench.peers.watch import Outputs
from streams.serde.codec import encode

SECOND = 1_000_000
ROUNDS = [{"jvm": 50_000.0, "ours": 40_000.0}, {"jvm": 40_000.0, "ours": 36_000.0, "weak": 4_000.0}, {"ours": 1.0}]


def opened(**changed: object) -> dict[str, object]:
    event: dict[str, object] = {
        "event_id": "e1",
        "source": "/test",
        "subject": "inc-1",
        "occurred_at": SECOND,
        "scope": "tenants",
        "component": "api",
        "impact": "complete_outage",
        "tier": None,
        "channel": "monitor",
    }
    return event | changed


@pytest.mark.parametrize(
    ("impact", "tier", "scope", "severity"),
    [
        ("complete_outage", None, "tenants", "P1"),
        ("critical_performance", None, "tenants", "P2"),
        ("critical_performance", 1, "tenants", "P1"),
        ("critical_performance", 2, "platform", "P1"),
        ("material_aspect", 3, "tenants", "P3"),
        ("material_aspect", 1, "tenants", "P2"),
        ("processing_delay", 1, "tenants", "P3"),
        ("cosmetic", 1, "platform", "P4"),
    ],
)
def test_severity(impact: str, tier: int | None, scope: str, severity: str) -> None:
    assert job.classify(opened(impact=impact, tier=tier, scope=scope)) == severity


def test_an_incident_from_bytes_to_bytes() -> None:
    kind, event = job.decode(encode("incident.opened", opened()))
    first = job.decide(None, kind, event)
    assert first == job.Incident("P1", "open", SECOND, SECOND + 15 * 60 * SECOND, 1)
    answered = job.decide(first, "incident.updated", {"occurred_at": 2 * SECOND})
    assert answered == job.Incident("P1", "answered", SECOND, 2 * SECOND + 30 * 60 * SECOND, 2)
    ended = job.decide(answered, "incident.resolved", {"occurred_at": 3 * SECOND})
    assert ended == job.Incident("P1", "resolved", SECOND, None, 3)
    assert [job.decode_state(job.encode_state(each)) for each in (first, answered, ended)] == [first, answered, ended]
    assert job.encode_decision(event, ended).startswith(b"\xc3\x01")


def test_what_is_visible_counts_no_markers() -> None:
    samples = [Sample(0.0, 0, (0, 0)), Sample(1.0, 3, (3, 2)), Sample(2.0, 5, (6, 4))]
    offsets = [[0, 1, 3, 4], [0, 2]]  # markers lie at 2 and 5, and at 1 and 3
    assert visible(samples, offsets) == [(0.0, 0), (1.0, 3), (2.0, 6)]


def test_pace_is_taken_between_commits_in_the_midst_of_the_work() -> None:
    slow = [(float(tenth), 100 * tenth) for tenth in range(6)]  # 100 a second up to the middle
    fast = [(5.0 + step / 8, 500 + 50 * step) for step in range(1, 10)]  # then 400
    found = throughput([*slow, *fast, (60.0, 1000)], 1000, 0.1)
    assert found.rate == pytest.approx(800 / 5)
    assert found.drift == pytest.approx(4)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ([], "only 0 of 1,000"),
        ([(0.0, 0), (1.0, 990)], "only 990 of 1,000"),
        ([(0.0, 0), (1.0, 1000)], "ran for 0.0 s and saw 0 steps"),
        ([(float(step), 125 * step) for step in range(9)], "ran for 7.0 s and saw 7 steps"),
        ([(step / 1000, 10 * step) for step in range(101)], "ran for 0.1 s and saw 80 steps"),
    ],
)
def test_a_run_without_a_pace_says_why(points: list[tuple[float, int]], why: str) -> None:
    with pytest.raises(RunFailed, match=why):
        throughput(points, 1000, 0.1)


def test_outputs_are_compared_in_number_and_content() -> None:
    def outputs(*values: bytes) -> Outputs:
        found = Outputs(1)
        for value in values:
            found.add(0, value)
        return found

    outputs(b"a", b"b").check(outputs(b"a", b"b"))
    with pytest.raises(RunFailed, match="1 outputs too many of 2"):
        outputs(b"a", b"b", b"b").check(outputs(b"a", b"b"))
    with pytest.raises(RunFailed, match="1 outputs missing of 2"):
        outputs(b"a").check(outputs(b"a", b"b"))
    with pytest.raises(RunFailed, match="not those of the job"):
        outputs(b"b", b"a").check(outputs(b"a", b"b"))


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios(ROUNDS, "ours", "jvm") == [0.8, 0.9]
    assert ratios(ROUNDS, "weak", "jvm") == [0.1]
    assert ratios(ROUNDS, "absent", "jvm") == []


def rows() -> list[ContenderRow]:
    return [
        row("ours", "our shard", "exactly once", ROUNDS[:2], "jvm"),
        row("jvm", "Kafka Streams 4, one thread", "exactly once", ROUNDS[:2], "jvm"),
        row("weak", "Weak | 1", "at least once", ROUNDS[:2], "jvm", ["ended with code 1: <no>"]),
        row("absent", "Absent", "exactly once", ROUNDS[:2], "jvm"),
    ]


def test_the_table_has_ratio_spread_and_failures() -> None:
    assert rows()[0].ratio == Spread(pytest.approx(0.85), 0.8, 0.9)
    lines = markdown(rows(), "jvm").splitlines()
    assert lines[0] == "| the same job on | guarantee | ratio to Kafka Streams 4, same round | events/s |"
    assert lines[2] == "| our shard | exactly once | 0.85 (0.80 to 0.90) | 38,000 (36,000 to 40,000) |"
    assert "Weak \\| 1" in lines[4]
    assert lines[4].endswith("4,000 (4,000 to 4,000); failed 1 ×: ended with code 1: <no> |")
    assert lines[5] == "| Absent | exactly once | – | – |"
    assert len(plain(rows(), "jvm").splitlines()) == 5


def test_the_table_replaces_what_is_between_the_markers() -> None:
    page = "before\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nafter\n"
    assert put_between_markers(page, "new\n") == "before\n<!-- peers:begin -->\nnew\n<!-- peers:end -->\nafter\n"
    with pytest.raises(ValueError, match="expected one"):
        put_between_markers("no markers", "new")


def test_the_page_has_its_markers() -> None:
    put_between_markers((Path(__file__).parents[2] / "docs" / "performance.md").read_text("utf-8"), "")


def test_the_chart_is_an_image_with_a_bar_for_each_ratio() -> None:
    chart = draw(rows(), "jvm", "2 rounds & <more>")
    root = ElementTree.fromstring(chart)
    space = "{http://www.w3.org/2000/svg}"
    bars = [(bar.attrib["class"], float(bar.attrib["width"])) for bar in root.iter(f"{space}rect")]
    assert [colour for colour, _ in bars] == ["exact", "exact", "weaker"]
    ours, jvm, weak = (width for _, width in bars)
    assert jvm > ours > weak > 0
    texts = [text.text for text in root.iter(f"{space}text")]
    assert "2 rounds & <more>" in texts
    assert "0.85 ×" in texts
    assert "prefers-color-scheme: dark" in chart


def test_peers_are_pinned() -> None:
    assert pinned("quix", "quixstreams").startswith("3.")
    assert pinned("faust", "faust-streaming")


@pytest.mark.parametrize("name", ["decided.avsc", "state.avsc"])
def test_own_schemas_stay_out_of_the_product_s_namespace(name: str) -> None:
    definition = json.loads((Path(job.__file__).parent / name).read_text("utf-8"))
    assert definition["namespace"] == "sla.bench.v1"
