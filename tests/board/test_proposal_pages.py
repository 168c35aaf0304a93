"""The pages of proposals: without scripts, from the form to the approved event; what is offered to whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from page_client import shown
from proposing_board import Deployment
from signed_in import HTML, csrf_of

from connect.actions.person import Role
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import DAY
from tests.waiting import TIMEOUT_S

URL = "https://board.example"
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.app.state.context.background.effects.close()
    made.engine.dispose()


def hidden(html: str, action: str) -> dict[str, str]:
    """What the form of an action carries besides its fields."""
    form = html[html.index(f'data-action="{action}"') :]
    names = ("action_id", "revision", "csrf_token", "incident")
    return {name: re.findall(rf'name="{name}" value="([^"]*)"', form)[0] for name in names}


def propose(client: TestClient, incident: str = "outage", action: str = "annul", **given: str) -> Any:
    sent = hidden(client.get(f"/proposals/new?incident={incident}").text, action)
    return client.post(f"/proposals/new/{action}", data={**sent, "reason": "a drill", **given})


def recorded(deployment: Deployment, client: TestClient, **given: str) -> str:
    """The address of a new proposal that was read back."""
    answer = propose(client, **given)
    assert answer.status_code == 303, shown(answer.text)
    deployment.turn()
    found: str = answer.headers["location"].partition("?")[0]
    return found


def with_effect(deployment: Deployment, client: TestClient, **given: str) -> str:
    address = recorded(deployment, client, **given)
    deployment.compute(address.rpartition("/")[2])
    return address


def decide(client: TestClient, address: str, word: str, **given: str) -> Any:
    html = client.get(address).text
    sent = {"csrf_token": csrf_of(html)}
    if found := re.search(r'name="effect_revision" value="(\d+)"', html):
        sent["effect_revision"] = found[1]
    return client.post(f"{address}/{word}", data={**sent, **given})


def offered(client: TestClient, address: str) -> set[str]:
    return set(re.findall(r'formaction="[^"]*/([a-z]+)"', client.get(address).text))


def test_from_the_incident_to_the_approved_event(deployment: Deployment) -> None:
    ann, bob = deployment.browser("ann"), deployment.browser("bob")
    assert "/proposals/new?incident=outage" in ann.get("/incidents/outage").text
    answer = propose(ann)
    assert answer.status_code == 303
    waiting = ann.get(answer.headers["location"])
    assert waiting.status_code == 200
    assert 'hx-trigger="every 1s"' in waiting.text
    assert "is not recorded yet" in shown(waiting.text)
    deployment.turn()
    address = answer.headers["location"].partition("?")[0]
    deployment.compute(address.rpartition("/")[2])
    text = shown(bob.get(address).text)
    assert "Annul: outage" in text
    assert "a drill" in text
    assert "Credits change by: -" in text
    assert "Issued so far $500.00 Will still be issued nothing Issued, and not collected back $500.00" in text
    assert "Final months get an adjusted statement 1 h 00 min after the approval" in text
    assert "Breaches that go: " in text
    assert " acme " in text
    assert offered(bob, address) == {"approve", "decline"}
    answer = decide(bob, address, "approve", reason=MARKUP)
    assert answer.headers["location"] == f"{address}?sent=approved"
    assert "Your decision is sent." in shown(bob.get(answer.headers["location"]).text)
    assert re.search(r'id="open-proposals"><span [^>]*>1<', bob.get("/").text)
    deployment.log()
    # What htmx loads has the number of the navigation too.
    text = bob.get(answer.headers["location"], headers={"HX-Request": "true"}).text
    assert 'hx-select-oob="#open-proposals"' in text
    assert 'id="open-proposals"></span>' in text
    assert "The event is about to be published." in shown(text)
    assert 'hx-trigger="every 1s"' in text
    deployment.turn()
    text = bob.get(address).text
    assert "It is in effect" in shown(text)
    assert "their adjusted statements are due about 2026-11-20 13:00" in shown(text)
    assert MARKUP not in text
    assert "every 1s" not in text
    assert [event["data"]["approver"]["id"] for event in deployment.sent] == ["bob"]
    assert "annulled" in shown(ann.get("/incidents/outage").text)
    assert "/proposals/new?" not in ann.get("/incidents/outage").text


def test_the_navigation_counts_what_waits_for_the_person(deployment: Deployment) -> None:
    ann, pat = deployment.browser("ann"), deployment.browser("pat", tenants={"acme"})
    assert "Proposals Maintenance Policies" in shown(ann.get("/").text)
    recorded(deployment, ann)  # of acme and globex
    assert "Proposals 1 Maintenance Policies" in shown(ann.get("/").text)
    assert "Proposals 1" not in shown(pat.get("/").text)
    deployment.clock.move(15 * DAY)
    late = deployment.browser("late")
    assert "Proposals Maintenance Policies" in shown(late.get("/").text)
    assert "expired" in shown(late.get("/proposals").text)


def test_who_is_offered_what(deployment: Deployment) -> None:
    ann = deployment.browser("ann")
    address = recorded(deployment, ann)
    assert offered(ann, address) == {"withdraw"}
    assert "another person has to decide" in shown(ann.get(address).text)
    viewer = deployment.browser("vera", Role.VIEWER)
    assert offered(viewer, address) == set()
    assert "You may not decide this" in shown(viewer.get(address).text)
    assert viewer.get("/proposals/new?incident=outage").status_code == 403
    assert "/proposals/new" not in viewer.get("/incidents/outage").text
    pat = deployment.browser("pat", tenants={"acme"})
    assert pat.get(address).status_code == 404
    assert "There are no proposals" in shown(pat.get("/proposals").text)
    both = deployment.browser("lee", tenants={"acme", "globex"})
    assert "decline" in offered(both, address)
    listed = both.get("/proposals").text
    title = "P1 API: complete outage"
    assert f'<span class="cut" title="{title}">{title}</span><span class="mono">outage</span>' in listed
    assert '<span class="cut" title="a drill">a drill</span>' in listed
    assert ann.post(f"{address}/withdraw", data={"reason": ""}).status_code == 403  # without the session's token
    assert decide(ann, address, "withdraw").status_code == 303
    deployment.turn()
    assert "withdrawn" in shown(both.get(address).text)
    assert offered(both, address) == set()
    assert deployment.sent == []


def test_the_first_who_may_propose_and_opens_the_page_starts_the_effect(deployment: Deployment) -> None:
    address = recorded(deployment, deployment.browser("ann"))
    effects = deployment.app.state.context.background.effects
    identity = address.rpartition("/")[2]
    deployment.browser("vera", Role.VIEWER).get(address)
    assert effects.latest(identity) is None
    bob = deployment.browser("bob")
    text = bob.get(address).text
    assert 'hx-trigger="every 1s"' in text
    assert offered(bob, address) == {"decline"}
    job = effects.latest(identity)
    assert effects.wait(job.id, TIMEOUT_S).status == "done"
    assert "Credits change by" in shown(bob.get(address).text)
    assert offered(bob, address) == {"approve", "decline"}
    assert effects.latest(identity).id == job.id


def test_an_effect_of_an_earlier_revision_is_not_approved(deployment: Deployment) -> None:
    ann, bob = deployment.browser("ann"), deployment.browser("bob")
    address = with_effect(deployment, ann, incident="open-p1")
    seen = re.findall(r'name="effect_revision" value="(\d+)"', bob.get(address).text)[0]
    event = {"specversion": "1.0", "id": "late-answer", "type": "incident.responded", "source": "/desk"}
    data = {"who": {"kind": "support", "id": "eva"}}
    event |= {"subject": "open-p1", "time": "2026-11-20T12:00:00Z", "data": data}
    deployment.lines.append(format_line(event))
    deployment.ingest_topics()
    answer = decide(bob, address, "approve", reason="keep me")
    assert answer.status_code == 409
    assert "no longer the present one" in shown(answer.text)
    assert "keep me" in answer.text
    assert offered(bob, address) == {"decline"}
    assert "Compute the effect again" in shown(bob.get(address).text)
    deployment.compute(address.rpartition("/")[2])
    assert decide(bob, address, "approve", effect_revision=seen).status_code == 409  # somebody else computed it
    assert decide(bob, address, "approve").status_code == 303


def test_two_decisions_and_why_one_has_no_effect(deployment: Deployment) -> None:
    address = with_effect(deployment, deployment.browser("ann"))
    bob, cho = deployment.browser("bob"), deployment.browser("cho")
    assert decide(bob, address, "approve").status_code == 303
    assert decide(cho, address, "decline", reason="no").status_code == 303
    deployment.turn()
    text = shown(cho.get(address).text)
    assert "Decisions without effect declined: cho" in text
    assert "(somebody had decided before)" in text
    answer = decide(cho, address, "decline")
    assert answer.status_code == 409
    assert "somebody has decided already" in shown(answer.text)


def test_a_wrong_form_comes_back_as_it_was_filled(deployment: Deployment) -> None:
    ann = deployment.browser("ann")
    answer = propose(ann, incident="open-p1", action="apply-policy", policy="none", version="1", reason=MARKUP)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert MARKUP not in answer.text
    assert "&lt;script&gt;alert" in answer.text
    moved = propose(ann, revision="1")
    assert moved.status_code == 409
    assert "the incident has changed since you opened the form" in shown(moved.text)
    assert propose(ann, action="amend", started_at="yesterday").status_code == 422
    assert ann.get("/proposals/new?incident=none").status_code == 404
    assert "There is nothing to propose" in shown(ann.get("/proposals/new?incident=annulled").text)
    address = recorded(deployment, ann)
    assert decide(deployment.browser("bob"), address, "decline", reason="あ" * 2000).status_code == 422


def test_an_amendment_shows_what_it_would_change(deployment: Deployment) -> None:
    ann = deployment.browser("ann")
    address = with_effect(deployment, ann, action="amend", counts_as_downtime="no")
    text = shown(deployment.browser("bob").get(address).text)
    assert "Amend: outage" in text
    assert "61,200 s → 0 s" in text
    assert decide(deployment.browser("bob2"), address, "approve").status_code == 303
    deployment.turn()
    assert "It is in effect" in shown(ann.get(address).text)


def test_pages_are_in_japanese_too(deployment: Deployment) -> None:
    ann = deployment.browser("ann")
    address = with_effect(deployment, ann)
    ann.get("/proposals", params={"lang": "ja"})  # stored in a cookie
    for path, expected in (
        ("/proposals", "承認待ち"),
        (address, "クレジットの増減"),
        ("/proposals/new?incident=outage", "提案する"),
        ("/proposals/none", "提案 none はありません"),
        ("/proposals/none?sent=proposed", "まだ記録されていません"),
    ):
        assert expected in shown(ann.get(path).text)


def test_an_incident_lists_its_proposals(deployment: Deployment) -> None:
    ann, bob = deployment.browser("ann"), deployment.browser("bob")
    assert 'id="proposals"' not in ann.get("/incidents/outage").text
    first, second = recorded(deployment, ann), recorded(deployment, bob, reason="a test")
    decide(bob, first, "decline")
    deployment.turn()
    page = deployment.browser("vera", Role.VIEWER).get("/incidents/outage").text
    listed = page[page.index('id="proposals"') :].partition("</section>")[0]
    assert set(re.findall(r'href="(/proposals/[^"]+)"', listed)) == {first, second}
    assert "declined" in listed
    assert "/incidents/" not in listed
    pat = deployment.browser("pat", tenants={"acme"})
    assert 'id="proposals"' not in pat.get("/incidents/outage").text, "it concerns globex too"
    assert "提案" in ann.get("/incidents/outage?lang=ja").text


def test_who_signed_in_with_a_token_is_offered_nothing_that_a_proxy_has_to_vouch_for(tmp_path: Path) -> None:
    made = Deployment(
        tmp_path, sign_in="proxy", public_url=URL, proxy_networks="10.0.0.0/8", roles="ops=responder", host="0.0.0.0"
    )
    try:
        headers = {"X-Forwarded-User": "kim", "X-Forwarded-Groups": "ops"}
        kim = TestClient(
            made.app, base_url=URL, client=("10.1.2.3", 5), headers={**HTML, **headers}, follow_redirects=False
        )
        bearer = {**HTML, "Authorization": f"Bearer {made.token('ann')}"}
        ann = TestClient(made.app, base_url=URL, headers=bearer, follow_redirects=False)
        assert "/proposals/new?" in kim.get("/incidents/outage").text
        address = recorded(made, kim)
        page = ann.get(address)
        assert page.status_code == 200
        assert "with a token" in shown(page.text)
        for form in ("/withdraw", "/decline", "/effect"):
            assert f"{address}{form}" not in page.text
            assert ann.post(f"{address}{form}").status_code == 403
        assert made.app.state.context.background.effects.all() == []
        assert "/proposals/new?" not in ann.get("/incidents/outage").text
        assert ann.get("/proposals/new?incident=outage").status_code == 403
        assert offered(kim, address) == {"withdraw"}
    finally:
        made.app.state.context.background.effects.close()
        made.engine.dispose()
