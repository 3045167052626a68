"""What the service says as a labeler, read by upstream's own subscriber, its signatures checked by upstream's own code,
and shown by the real AppView to those who ask for the labeler.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.network.label_town import LabelTown, label_town
from tests.network.netbox import Netbox
from tests.network.person import Person, XrpcFailure, xrpc
from tests.service_process import until

pytestmark = pytest.mark.network

REPORT = "com.atproto.moderation.createReport"
REASONS = "com.atproto.moderation.defs#reason"


@pytest.fixture(scope="module")
def town(box: Netbox, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LabelTown]:
    """A labeler whose labels the AppView reads."""
    with label_town(box, tmp_path_factory.mktemp("labels"), pytestconfig, "labels") as town:
        town.declare("spoiler", "rude", "test")
        town.set_up()
        town.pump()
        yield town


def written(town: LabelTown, text: str, author: str = "alice") -> dict[str, str]:
    """A post that the AppView has."""
    post = town.person(author).post(text)
    town.settle()
    return post


def queried(town: LabelTown, uri: str) -> list[dict[str, Any]]:
    """What the service itself says of a subject."""
    query = {"uriPatterns": uri, "sources": town.labeler.did}
    labels: list[dict[str, Any]] = xrpc(town.endpoint, "com.atproto.label.queryLabels", query)["labels"]
    return labels


def test_a_label_is_shown_to_those_who_ask_for_the_labeler_and_a_negation_takes_it_away(town: LabelTown) -> None:
    post, did = written(town, "the butler did it"), town.labeler.did
    assert town.label("add", post["uri"], "spoiler")["added"] == ["spoiler"]
    assert town.pumped()["rejected"] == []
    labels, taken = town.view(post["uri"], did)
    assert [(one["src"], one["val"], one["uri"], "cid" in one) for one in labels] == [
        (did, "spoiler", post["uri"], False)
    ]
    assert did in taken
    # Who does not ask for the labeler hears nothing of it, nor who asks for another one.
    assert town.view(post["uri"], "")[0] == [] and did not in town.view(post["uri"], "")[1]
    assert town.view(post["uri"], town.person("bob").did)[0] == []

    town.label("remove", post["uri"], "spoiler")
    assert town.pumped()["rejected"] == []
    assert town.shown(post["uri"]) == set()


def test_one_negation_takes_the_labels_of_every_version_away(town: LabelTown) -> None:
    alice = town.person("alice")
    first = written(town, "once")
    rkey = first["uri"].rpartition("/")[2]
    second = alice.put("app.bsky.feed.post", rkey, text="twice")
    town.settle()
    for version in (first, second):
        town.label("add", first["uri"], "rude", "--cid", version["cid"])
    town.label("add", first["uri"], "rude")
    town.pumped()
    said = queried(town, first["uri"])
    assert {one.get("cid", "") for one in said} == {first["cid"], second["cid"], ""}
    assert not any(one.get("neg") for one in said)
    # The AppView tells one of them, whatever the version, and none only when every one is negated.
    assert {value for value, _ in town.shown(first["uri"])} == {"rude"}
    assert town.label("remove", first["uri"], "rude")["removed"] == ["rude"]
    assert town.pumped()["rejected"] == []
    assert town.shown(first["uri"]) == set()


def test_an_account_is_labelled(town: LabelTown) -> None:
    carol = town.person("carol")
    town.label("add", carol.did, "rude")
    town.pumped()
    headers = {"atproto-accept-labelers": town.labeler.did}

    def labels() -> list[str]:
        profile = xrpc(town.appview, "app.bsky.actor.getProfile", {"actor": carol.did}, None, headers)
        return [one["val"] for one in profile["labels"] if one["src"] == town.labeler.did and not one.get("neg")]

    assert labels() == ["rude"]
    town.label("remove", carol.did, "rude")
    town.pumped()
    assert labels() == []


def test_a_label_ends_when_its_time_is_over_and_is_negated_then(town: LabelTown) -> None:
    post = written(town, "for a while")
    town.label("add", post["uri"], "spoiler", "--for", "12s")
    town.pumped()
    labels, _ = town.view(post["uri"], town.labeler.did)
    assert [(one["val"], "exp" in one) for one in labels] == [("spoiler", True)]
    seq = town.pumped()["cursor"]
    until("the end of the label", lambda: town.shown(post["uri"]) == set(), deadline=60)
    # Consumers that do not look at the time are told too.
    until("its negation", lambda: town.pumped()["cursor"] > seq, deadline=60)
    (said,) = queried(town, post["uri"])
    assert said["neg"] is True and said["val"] == "spoiler"


def test_what_was_said_before_and_after_a_change_of_key_is_believed(town: LabelTown) -> None:
    old, new = written(town, "under the old key"), written(town, "under the new key")
    town.label("add", old["uri"], "spoiler")
    before = town.pumped()
    town.as_labeler("rotate-key")
    done = town.as_labeler("rotate-key", "--token", town.mailed_code())
    assert done["state"] == "done" and done["faults"] == [] and done["old"] != done["new"]
    town.label("add", new["uri"], "spoiler")

    # A subscriber that looked up the old key believes nothing new; one that looks it up again believes everything.
    until("the label that the old key does not fit", lambda: town.pumped()["rejected"])
    assert {one["why"] for one in town.pumped()["rejected"]} == {"bad signature"}
    town.pump()
    after = town.pumped()
    assert after["rejected"] == [] and after["cursor"] > before["cursor"]
    assert town.shown(old["uri"]) == town.shown(new["uri"]) == {("spoiler", "")}
    assert town.failing() == {}


def report(who: Person, proxy: str, subject: dict[str, str], reason: str = "Spam") -> dict[str, object]:
    """A report, as an app sends it through the PDS of `who`."""
    kind = "com.atproto.repo.strongRef" if "uri" in subject else "com.atproto.admin.defs#repoRef"
    answer: dict[str, object] = who.do(REPORT, proxy, reasonType=REASONS + reason, subject={"$type": kind} | subject)
    return answer


def arrived(town: LabelTown, number: object) -> dict[str, Any]:
    """A report as the operator reads it."""
    told: dict[str, Any] = town.command("reports", "--show", str(number))
    return told


def test_reports_arrive_through_the_pds(town: LabelTown) -> None:
    alice, bob, post = town.person("alice"), town.person("bob"), written(town, "buy this")
    labeler, service = f"{town.labeler.did}#atproto_labeler", f"{town.service_did}#communities"
    to_labeler, to_service = report(bob, labeler, post), report(bob, service, post)
    about_account = report(bob, labeler, {"did": alice.did}, "Rude")
    assert to_labeler["reportedBy"] == bob.did
    for answer, sent_to, subject in (
        (to_labeler, town.labeler.did, post["uri"]),
        (to_service, "", post["uri"]),
        (about_account, town.labeler.did, alice.did),
    ):
        found = arrived(town, answer["id"])
        assert (found["reporter"], found["labeler"], found["subject"]) == (bob.did, sent_to, subject)
        assert found["reaches"] == ["site"]
    assert report(bob, labeler, post)["id"] == to_labeler["id"]
    assert arrived(town, to_labeler["id"])["times"] == 2
    with pytest.raises(XrpcFailure) as caught:
        report(bob, labeler, post, "NoReasonAtAll")
    assert (caught.value.status, caught.value.name) == (400, "InvalidRequest")


def test_only_the_author_appeals(town: LabelTown) -> None:
    alice, bob, post = town.person("alice"), town.person("bob"), written(town, "not rude at all")
    event = town.label("add", post["uri"], "rude")["event"]
    town.pumped()
    labeler = f"{town.labeler.did}#atproto_labeler"
    with pytest.raises(XrpcFailure) as caught:
        report(bob, labeler, post, "Appeal")
    assert (caught.value.status, caught.value.name) == (403, "Forbidden")
    found = arrived(town, report(alice, labeler, post, "Appeal")["id"])
    assert (found["reporter"], found["subject"]) == (alice.did, post["uri"])
    assert found["appeals"] == [{"against": "site", "state": "open", "labelEvent": event, "labelledBy": "cli"}]


def canary(town: LabelTown, minutes: str, code: int = 0) -> dict[str, Any]:
    """The canary, with a new post."""
    post = written(town, "a bird in a mine")["uri"]
    told: dict[str, Any] = town.command("labeler", "canary", "--post", post, "--minutes", minutes, code=code)
    assert town.shown(post) == set()
    return told


def test_the_canary_says_how_long_it_took(town: LabelTown) -> None:
    told = canary(town, "1")
    assert told["missing"] == ""
    sent, shown, gone = told["sent_seconds"], told["shown_seconds"], told["gone_seconds"]
    print(f"canary: published after {sent:.2f} s, shown after {shown:.2f} s, gone after {gone:.2f} s")
    assert 0 <= sent <= shown < 60 and 0 <= gone < 60


SOON = "0.15"
"""Minutes that the canary waits where it is to wait in vain."""


def test_a_key_that_is_missing_in_the_did_document_is_named(town: LabelTown) -> None:
    (key,) = {one["key"] for one in town.command("labeler", "status")}
    town.box.ask("identify", did=town.labeler.did, verificationMethods={"atproto_label": None})
    try:
        found = town.failing()
        assert "has no key #atproto_label" in found["document"]
        assert found.keys() == {"document"}
        town.pump()
        told = canary(town, SOON, code=1)
        assert told["sent_seconds"] is not None and told["shown_seconds"] is None
        assert "knows the labeler and has not taken in the label" in told["missing"]
    finally:
        town.box.ask("identify", did=town.labeler.did, verificationMethods={"atproto_label": key})
        town.pump()
    assert town.failing() == {}


def test_an_endpoint_that_leads_elsewhere_is_named(town: LabelTown) -> None:
    entry = {"type": "AtprotoLabeler", "endpoint": "http://localhost:9"}
    town.box.ask("identify", did=town.labeler.did, services={"atproto_labeler": entry})
    try:
        found = town.failing()
        assert found.keys() == {"document"}
        assert f"leads to http://localhost:9, not to {town.endpoint}" in found["document"]
        town.pump()
        told = canary(town, SOON, code=1)
        assert "knows the labeler and has not taken in the label" in told["missing"]
    finally:
        town.box.ask(
            "identify", did=town.labeler.did, services={"atproto_labeler": entry | {"endpoint": town.endpoint}}
        )
        town.pump()
    assert town.failing() == {}


def test_a_record_that_is_missing_is_named(town: LabelTown) -> None:
    town.labeler.delete(f"at://{town.labeler.did}/app.bsky.labeler.service/self")
    town.settle()
    try:
        found = town.failing()
        assert found.keys() == {"record", "appview"}
        assert "there is no record app.bsky.labeler.service" in found["record"]
        told = canary(town, SOON, code=1)
        assert "does not know that the labeler says this" in told["missing"]
    finally:
        town.as_labeler("publish")
        town.settle()
    assert town.failing() == {}


def test_a_value_that_is_not_declared_is_refused_and_one_that_is_not_published_is_named(town: LabelTown) -> None:
    post = written(town, "too late")["uri"]
    assert "late" in town.refused("label", "add", post, "late")
    town.declare("spoiler", "rude", "test", "late")
    try:
        found = town.failing()
        assert found.keys() == {"record", "appview"}
        assert "clients drop late" in found["record"] and "does not know late yet" in found["appview"]
        assert town.as_labeler("publish")["differences"] == ["+ label late"]
        town.settle()
        assert town.failing() == {}
        town.label("add", post, "late")
        town.pumped()
        assert town.shown(post) == {("late", "")}
        town.label("remove", post, "late")
    finally:
        town.declare("spoiler", "rude", "test")
        town.as_labeler("publish")
        town.settle()


def test_a_publisher_that_is_paused_is_named(town: LabelTown) -> None:
    town.as_labeler("rotate-key", "--pause")
    try:
        found = town.failing()
        assert found.keys() == {"key"}
        assert "labels wait" in found["key"]
        post = written(town, "a bird in a mine")["uri"]
        assert "go on with `communities labeler rotate-key`" in town.refused("labeler", "canary", "--post", post)
    finally:
        town.command("labeler", "rotate-key", "--abandon")
    assert town.failing() == {}


def test_a_publisher_that_does_not_run_is_named(town: LabelTown) -> None:
    town.service.stop()
    try:
        found = town.failing()
        found.pop("clock", None)  # compared with the clock of our own server, too
        assert found.keys() == {"metadata", "stream"}
        assert all("cannot connect" in seen for seen in found.values())
        told = canary(town, SOON, code=1)
        assert told["sent_seconds"] is None and "the publisher has not signed it" in told["missing"]
    finally:
        town.start()
    assert town.failing() == {}
    # The subscriber comes back by itself.
    assert canary(town, "2")["missing"] == ""
