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


def queried(town: LabelTown, uri: str) -> list[dict[str, Any]]:
    """What the service itself says of a subject."""
    query = {"uriPatterns": uri, "sources": town.labeler.did}
    labels: list[dict[str, Any]] = xrpc(town.endpoint, "com.atproto.label.queryLabels", query)["labels"]
    return labels


def test_a_label_is_shown_to_those_who_ask_for_the_labeler_and_a_negation_takes_it_away(town: LabelTown) -> None:
    post, did = town.written("the butler did it"), town.labeler.did
    assert town.label("add", post["uri"], "spoiler")["added"] == ["spoiler"]
    assert town.pumped()["rejected"] == []
    labels, taken = town.view(post["uri"], did)
    assert [(one["src"], one["val"], one["uri"], "cid" in one) for one in labels] == [
        (did, "spoiler", post["uri"], False)
    ]
    assert did in taken
    # So it is for a reader who is signed in, through the PDS.
    bob = town.person("bob")
    asking = {"authorization": f"Bearer {bob.access}", "atproto-accept-labelers": did}
    (read,) = xrpc(bob.pds, "app.bsky.feed.getPosts", {"uris": post["uri"]}, None, asking)["posts"]
    assert [(one["src"], one["val"]) for one in read["labels"]] == [(did, "spoiler")]
    # Who does not ask for the labeler hears nothing of it, nor who asks for another one.
    assert town.view(post["uri"], "")[0] == [] and did not in town.view(post["uri"], "")[1]
    assert town.view(post["uri"], bob.did)[0] == []

    town.label("remove", post["uri"], "spoiler")
    assert town.pumped()["rejected"] == []
    assert town.shown(post["uri"]) == set()


def test_one_negation_takes_the_labels_of_every_version_away(town: LabelTown) -> None:
    alice = town.person("alice")
    first = town.written("once")
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
    post = town.written("for a while")
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
    old, new = town.written("under the old key"), town.written("under the new key")
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
    alice, bob, post = town.person("alice"), town.person("bob"), town.written("buy this")
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
    alice, bob, post = town.person("alice"), town.person("bob"), town.written("not rude at all")
    event = town.label("add", post["uri"], "rude")["event"]
    town.pumped()
    labeler = f"{town.labeler.did}#atproto_labeler"
    with pytest.raises(XrpcFailure) as caught:
        report(bob, labeler, post, "Appeal")
    assert (caught.value.status, caught.value.name) == (403, "Forbidden")
    found = arrived(town, report(alice, labeler, post, "Appeal")["id"])
    assert (found["reporter"], found["subject"]) == (alice.did, post["uri"])
    assert found["appeals"] == [{"against": "site", "state": "open", "labelEvent": event, "labelledBy": "cli"}]
