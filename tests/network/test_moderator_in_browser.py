"""Moderators at work in a real browser, as in the Ozone web app: each signs in at their own PDS, on a page of an origin
of its own, and every call goes browser -> PDS -> service, to which the PDS vouches for them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from labeler.doors import METADATA
from tests.conftest import running
from tests.network.browser import Browser, Page, PageFailure, why_not
from tests.network.moderator_scene import Scene, moderator_scene
from tests.network.netbox import Netbox
from tests.network.person import Person, XrpcFailure, xrpc
from tests.network.test_labels import REPORT
from tests.service_process import until

pytestmark = pytest.mark.network

OZONE = "tools.ozone."
EVENTS = f"{OZONE}moderation.defs#"
LABELLED = f"{EVENTS}modEventLabel"
TAG = "community:"
BY_ITSELF = ("lang:und", "report:spam")
"""The tags that come of a report of a post in no language."""
PROXY = "atproto-proxy"
EMIT = f"{OZONE}moderation.emitEvent"


@pytest.fixture(scope="module")
def browser(box: Netbox, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Browser]:
    """Chromium."""
    if reason := why_not():
        pytest.skip(reason)
    browser = Browser(tmp_path_factory.mktemp("browser"))
    with running(pytestconfig, browser):
        browser.open()
        yield browser


@pytest.fixture(scope="module")
def scene(
    box: Netbox, browser: Browser, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Scene]:
    """The labeler with its team, and two communities whose founders moderate them."""
    with moderator_scene(box, browser, tmp_path_factory.mktemp("seen"), pytestconfig) as scene:
        yield scene


def arrived(scene: Scene) -> Counter[str]:
    """How often each method was called with a service token that the service has believed."""
    lines = re.findall(
        r'^communities_requests_total{kind="ozone (.+)"} (\d+)', scene.town.service.metrics(), re.MULTILINE
    )
    return Counter({name: int(count) for name, count in lines})


def sent(*pages: Page) -> Counter[str]:
    """How often pages have called each method of the moderation API, or one that is passed on, at the labeler."""
    asked = [one for page in pages for one in page.requests() if PROXY in one["headers"]]
    names = (urlsplit(one["url"]).path.removeprefix("/xrpc/").removeprefix(OZONE) for one in asked)
    return Counter(name for name in names if name != REPORT)


def used(scene: Scene, who: Person) -> int:
    """How many service tokens of somebody have been used up: one for each call that has changed something."""
    ((count,),) = scene.rows("SELECT count(*) FROM used_token WHERE iss = ?", who.did)
    return int(count)


def ended(fault: tuple[str, str]) -> tuple[int, str]:
    """The status and method of a refused call, as the console shows it; AssertionError for any other fault."""
    text, url = fault
    status = re.fullmatch(r"Failed to load resource: the server responded with a status of (\d+) \(.*\)", text)
    assert status, fault
    return int(status[1]), urlsplit(url).path.removeprefix("/xrpc/")


def refusal(page: Page, screen: str, *args: Any) -> tuple[int, str]:
    """The status and name of the error that a screen meets."""
    with pytest.raises(PageFailure) as caught:
        page.ask(screen, *args)
    return caught.value.status, caught.value.name


def test_the_page_starts(scene: Scene) -> None:
    town, page = scene.town, scene.open()
    found = page.ask("boot", town.box.info["plc"]["url"], town.labeler.did)
    metadata = found["metadata"]
    assert (metadata["did"], metadata["url"]) == (town.labeler.did, town.endpoint)
    assert found["data"]["services"]["atproto_labeler"]["endpoint"] == metadata["url"]
    assert found["data"]["verificationMethods"]["atproto_label"] == metadata["publicKey"]
    who = scene.decider.with_app_password()
    assert page.ask("signIn", who.pds, who.handle, who.password) == who.did
    told = page.ask("start")
    assert told["config"] == {"appview": {"url": town.appview}, "viewer": {"role": f"{OZONE}team.defs#roleModerator"}}
    assert told["options"] == {"options": []}
    assert told["declared"]["value"]["policies"]["labelValues"] == ["rude", "test"]
    assert [one["creator"]["did"] for one in told["services"]["views"]] == [town.labeler.did]
    assert page.faults() == []


def test_a_report_becomes_a_label_and_an_appeal_takes_it_back(scene: Scene) -> None:
    town, before = scene.town, arrived(scene)
    post, number = scene.reported("hedgehogs")
    page = scene.signed_in(scene.decider)
    queue = page.ask("queue")
    tags = [f"{TAG}hedgehogs", *BY_ITSELF]
    assert [(one["subject"]["uri"], one["tags"]) for one in queue["statuses"]] == [(post["uri"], tags)]
    assert [one["id"] for one in queue["reports"]] == [number]
    opened = page.ask("openReport", number)
    assert opened["report"]["subject"]["subject"] == post["uri"]
    assert (opened["assignment"]["did"], "endAt" in opened["assignment"]) == (scene.decider.did, True)
    panel = page.ask("panel", post["uri"])
    text = panel["shown"]["value"]["text"]
    assert text == panel["thread"]["post"]["record"]["text"] == panel["subject"]["record"]["value"]["text"]
    assert panel["profile"]["handle"] == panel["shown"]["repo"]["handle"] == scene.author.handle
    assert [one["event"]["$type"] for one in panel["events"]] == [f"{EVENTS}modEventTag", f"{EVENTS}modEventReport"]
    account = page.ask("panel", scene.author.did)
    assert (account["shown"]["did"], account["statuses"]) == (scene.author.did, [])

    closing = {"all": True, "note": "Thank you."}
    made = page.ask("emit", post, "modEventLabel", {"createLabelVals": ["rude"], "negateLabelVals": []}, closing)
    assert (made["createdBy"], made["event"]["createLabelVals"]) == (scene.decider.did, ["rude"])
    page.ask("emit", post, "modEventAcknowledge")
    assert page.ask("openReport", number)["report"]["status"] == "closed"
    polled = page.ask("poll")
    assert {one["event"]["$type"] for one in polled["events"]} == {LABELLED, f"{EVENTS}modEventAcknowledge"}
    assert [(one["did"], one["reportId"]) for one in polled["assignments"]] == [(scene.decider.did, number)]
    queue = page.ask("queue")
    assert (queue["statuses"], queue["reports"]) == ([], [])

    assert town.pumped()["rejected"] == []
    reader = scene.signed_in(scene.author)
    assert [(one["src"], one["val"]) for one in reader.ask("read", post["uri"])] == [(town.labeler.did, "rude")]
    assert reader.ask("appeal", post, "It was kindly meant.")["reportedBy"] == scene.author.did
    (status,) = page.ask("queue", "reviewEscalated")["statuses"]
    assert (status["subject"]["uri"], status["appealed"]) == (post["uri"], True)
    assert refusal(page, "emit", post, "modEventResolveAppeal") == (403, "NotPermitted")

    other = scene.signed_in(scene.second)
    other.ask("emit", post, "modEventLabel", {"createLabelVals": [], "negateLabelVals": ["rude"]})
    other.ask("emit", post, "modEventResolveAppeal")
    other.ask("emit", post, "modEventAcknowledge")
    statuses = other.ask("panel", post["uri"])["statuses"]
    assert {one["reviewState"] for one in statuses} == {f"{EVENTS}reviewClosed"}
    assert not any(one.get("appealed") for one in statuses) and [
        one["appealed"] for one in statuses if "appealed" in one
    ]
    assert town.pumped()["rejected"] == []
    assert reader.ask("read", post["uri"]) == []

    assert [ended(one) for one in page.faults()] == [(403, EMIT)]
    assert other.faults() == reader.faults() == []
    # The browser itself has asked the service only what it is; all else came from the PDS, with a service token each.
    assert {urlsplit(one["url"]).path for one in page.requests() if one["url"].startswith(town.endpoint)} == {METADATA}
    assert any(
        one["method"] == "OPTIONS" and urlsplit(one["url"]).path.endswith("emitEvent") for one in page.requests()
    )
    assert arrived(scene) - before == sent(page, other)
    assert (used(scene, scene.decider), used(scene, scene.second)) == (4, 3), "acts; what is refused uses up none"


def test_a_session_at_the_pds_is_worth_nothing_at_the_service(scene: Scene) -> None:
    session = {"authorization": f"Bearer {scene.decider.access}"}
    with pytest.raises(XrpcFailure) as caught:
        xrpc(scene.town.endpoint, f"{OZONE}server.getConfig", None, None, session)
    assert (caught.value.status, caught.value.name) == (401, "BadJwtType")


def test_who_moderates_one_community_sees_only_what_is_reported_to_it(scene: Scene) -> None:
    before = arrived(scene)
    (theirs, number), (elsewhere, hidden) = scene.reported("moles"), scene.reported("hedgehogs")
    page, whole = scene.signed_in(scene.keeper), scene.signed_in(scene.second)
    assert page.ask("start")["config"]["viewer"]["role"] == f"{OZONE}team.defs#roleModerator"
    queue, all_of_it = page.ask("queue"), whole.ask("queue")
    tags = [f"{TAG}moles", *BY_ITSELF]
    assert [(one["subject"]["uri"], one["tags"]) for one in queue["statuses"]] == [(theirs["uri"], tags)]
    assert [one["id"] for one in queue["reports"]] == [number]
    assert [one["id"] for one in all_of_it["reports"]] == [hidden, number]
    assert {one["subject"]["uri"] for one in all_of_it["statuses"]} == {theirs["uri"], elsewhere["uri"]}
    assert refusal(page, "openReport", hidden) == (400, "NotFound")
    panel = page.ask("panel", elsewhere["uri"])
    assert (panel["statuses"], panel["events"], "status" in panel["subject"]) == ([], [], False)
    assert panel["shown"]["uri"] == elsewhere["uri"], "which is public"

    page.ask("openReport", number)
    page.ask("emit", theirs, "modEventAcknowledge", {}, {"all": True})
    assert refusal(page, "emit", elsewhere, "modEventAcknowledge") == (400, "InvalidRequest")
    assert page.ask("queue")["reports"] == []
    assert [one["id"] for one in whole.ask("queue")["reports"]] == [hidden]
    polled = page.ask("poll")
    assert [one["subject"]["uri"] for one in polled["events"]] == [theirs["uri"]]
    assert [one["reportId"] for one in polled["assignments"]] == [number]
    assert arrived(scene) - before == sent(page, whole)
    assert {ended(one) for one in page.faults()} == {(400, f"{OZONE}report.getReport"), (400, EMIT)}
    assert whole.faults() == []


def test_who_does_not_moderate_is_refused(scene: Scene) -> None:
    page, before, uses = scene.signed_in(scene.reporter), arrived(scene), used(scene, scene.reporter)
    for screen in ("start", "queue", "poll"):
        assert refusal(page, screen) == (401, "AuthenticationRequired")
    assert refusal(page, "openReport", 1) == (401, "AuthenticationRequired")
    assert refusal(page, "emit", {"did": scene.author.did}, "modEventAcknowledge") == (401, "AuthenticationRequired")
    until("all of it is refused", lambda: len(page.faults()) == sum(sent(page).values()))
    assert {ended(one)[0] for one in page.faults()} == {401}
    assert arrived(scene) - before == sent(page) and used(scene, scene.reporter) == uses
