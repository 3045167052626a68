"""`communities labeler rotate-key`: from one key to the next, wherever it is stopped (S163)."""

from typing import Any

import pytest
from cbrrr import decode_dag_cbor

from labeler import rotation
from labeler.label import check
from labeler.signing_key import generate
from models import labelers
from models.database import open_database, sql, writing
from service import labeler_rotate
from service.cli import CommandError
from service.pds import PdsError
from tests import labeler_site
from tests.labeler_site import Site, told
from xrpc.key import parse_did_key

site = labeler_site.site
Capture = pytest.CaptureFixture[str]


class StoppedError(Exception):
    """The command was ended here."""


def states(site: Site) -> list[str]:
    return [state for state, _ in site.label_keys()]


def code(site: Site) -> str:
    return site.world.pds.identity.mails[-1][1]


def unsigned(site: Site) -> list[tuple[int, dict[str, Any]]]:
    """What stands, without signatures."""
    found = []
    for seq, signed in site.stored():
        label: Any = decode_dag_cbor(signed)
        found.append((seq, {name: value for name, value in label.items() if name != "sig"}))
    return found


def good(site: Site, public: str) -> int:
    return sum(check(signed, parse_did_key(public)) for _, signed in site.stored())


async def test_s163_everything_is_signed_anew_and_nothing_else_changes(site: Site, capsys: Capture) -> None:
    await site.set_up()
    site.publish(1203)
    ((_, old),) = site.label_keys()
    before = unsigned(site)
    assert await site.run("rotate-key") == 0
    assert states(site) == ["active", "new"], "nothing pauses while a code is on its way"
    capsys.readouterr()
    assert await site.run("rotate-key", "--token", code(site), "--json") == 0
    answer = told(capsys)
    (state, first), (now, second) = site.label_keys()
    assert (state, first, now) == ("retired", old, "active") and second != old
    assert site.account.methods["atproto_label"] == second == answer["new"]
    assert (answer["state"], answer["signed"], answer["faults"], answer["forgotten"]) == ("done", 1203, [], 1)
    assert unsigned(site) == before and (good(site, second), good(site, old)) == (1203, 0)
    assert await site.run("status", "--json") == 0
    keys = told(capsys)[0]["keys"]
    assert [(key["public"], key["stored"]) for key in keys] == [(old, False), (second, True)], "the old is on record"
    assert await site.run("doctor", "--only", "stream", "metadata", "document", "key") == 0


async def test_the_publisher_has_no_key_from_the_submission_to_the_new_key(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.set_up()
    await site.run("rotate-key")
    assert states(site) == ["active", "new"]
    seen: list[list[str]] = []
    plain = labeler_rotate.submit

    def submit(session: Any, operation: Any) -> None:
        seen.append(states(site))
        plain(session, operation)

    monkeypatch.setattr(labeler_rotate, "submit", submit)
    site.world.plc.overrides[site.account.did] = site.account.document
    monkeypatch.setattr("service.labeler_rotate.DIRECTORY_SECONDS", 0.1)
    with pytest.raises(CommandError, match=r"does not show the new key .* Labels wait until it does"):
        await site.run("rotate-key", "--token", code(site))
    assert states(site) == ["held", "new"]
    with pytest.raises(ValueError, match="not enough values"):
        site.signer()
    with pytest.raises(CommandError, match="is being replaced; go on with `communities labeler rotate-key`"):
        await site.run("init")
    site.world.plc.overrides.clear()
    assert await site.run("rotate-key") == 0
    assert states(site) == ["retired", "active"] and seen == [["held", "new"]]


async def test_a_refused_submission_leaves_the_old_key_at_work(site: Site, capsys: Capture) -> None:
    await site.set_up()
    await site.run("rotate-key")
    site.world.pds.identity.refusing = "no"
    assert await site.run("rotate-key", "--token", code(site)) == 1
    assert states(site) == ["active", "new"]
    assert "submitPlcOperation: 400 InvalidRequest no" in capsys.readouterr().err


async def test_a_submission_without_an_answer_that_came_through_is_gone_on_with(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PDS fails after the directory has it: the document decides, not the answer."""
    await site.set_up()
    await site.run("rotate-key")
    plain = labeler_rotate.submit

    def half(session: Any, operation: Any) -> None:
        plain(session, operation)
        raise PdsError("no answer")

    monkeypatch.setattr(labeler_rotate, "submit", half)
    assert await site.run("rotate-key", "--token", code(site)) == 0
    assert states(site) == ["retired", "active"]


async def test_pause_stops_at_once_and_abandon_goes_back(site: Site, capsys: Capture) -> None:
    await site.set_up()
    ((_, old),) = site.label_keys()
    assert await site.run("rotate-key", "--pause") == 0
    assert states(site) == ["held", "new"]
    capsys.readouterr()
    assert await site.run("status", "--json") == 1
    assert told(capsys)[0]["paused"] is True
    assert await site.run("rotate-key", "--abandon") == 0
    assert site.label_keys() == [("active", old)]
    with pytest.raises(CommandError, match="nothing to abandon"):
        await site.run("rotate-key", "--abandon")
    await site.run("rotate-key")
    assert await site.run("rotate-key", "--token", code(site)) == 0
    assert states(site) == ["retired", "active"]


async def test_a_key_that_was_paused_for_good_reason_stays_paused_when_the_submission_fails(site: Site) -> None:
    """S163, compromise: a step that fails must not let a key in wrong hands sign again."""
    await site.set_up()
    await site.run("rotate-key", "--pause")
    site.world.pds.identity.refusing = "no"
    assert await site.run("rotate-key", "--token", code(site)) == 1
    assert states(site) == ["held", "new"]


async def test_what_the_document_has_is_not_abandoned(site: Site) -> None:
    await site.set_up()
    await site.run("rotate-key")
    site.account.methods["atproto_label"] = site.label_keys()[1][1]
    with pytest.raises(CommandError, match="has the new key already"):
        await site.run("rotate-key", "--abandon")
    assert await site.run("rotate-key") == 0
    assert states(site) == ["retired", "active"]


async def test_signing_anew_goes_on_where_it_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.set_up()
    site.publish(40)
    await site.run("rotate-key")
    monkeypatch.setattr("service.labeler_rotate.BATCH", 10)
    plain, calls = rotation.resign_some, [0]

    def stopping(*given: Any) -> int:
        calls[0] += 1
        if calls[0] == 3:
            raise StoppedError
        return plain(*given)

    with monkeypatch.context() as stopped:
        stopped.setattr(rotation, "resign_some", stopping)
        with pytest.raises(StoppedError):
            await site.run("rotate-key", "--token", code(site))
    second = site.label_keys()[1][1]
    assert good(site, second) == 20, "each batch is committed"
    mails = len(site.world.pds.identity.mails)
    assert await site.run("rotate-key") == 0
    assert good(site, second) == 40 and states(site) == ["retired", "active"]
    assert len(site.world.pds.identity.mails) == mails, "no second change was begun"


async def test_a_key_that_another_run_made_active_meanwhile_is_not_overruled(site: Site) -> None:
    """Compare and swap on the active key."""
    await site.set_up()
    await site.run("rotate-key")
    database = open_database(site.folder / "data" / "communities.db")
    labeler = labelers.find(sql(database), site.account.did) or 0
    first, second = labelers.keys(sql(database), labeler)
    with writing(database) as connection:
        rotation.switch(connection, labeler, first.id, second.id)
    for step in (
        lambda connection: rotation.hold(connection, labeler, first.id),
        lambda connection: rotation.resume(connection, labeler, first.id),
        lambda connection: rotation.switch(connection, labeler, first.id, second.id),
        lambda connection: rotation.switch(connection, labeler, None, first.id),
    ):
        with pytest.raises(rotation.RotationError), writing(database) as connection:
            step(connection)
    assert [key.state for key in labelers.keys(sql(database), labeler)] == ["retired", "active"]
    database.close()


async def test_before_init_there_is_nothing_to_change(site: Site) -> None:
    with pytest.raises(CommandError, match="has no key yet; run `communities labeler init`"):
        await site.run("rotate-key")


async def test_a_bad_signature_in_the_sample_keeps_the_old_key(
    site: Site, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.set_up()
    site.publish(5)
    await site.run("rotate-key")
    plain, wrong = rotation.resign_some, generate()
    monkeypatch.setattr(rotation, "resign_some", lambda c, signer, n: plain(c, signer._replace(key=wrong), n))
    capsys.readouterr()
    assert await site.run("rotate-key", "--token", code(site), "--json") == 1
    answer = told(capsys)
    assert answer["faults"] == [1, 2, 3, 4, 5] and answer["forgotten"] == 0 and "the old key was kept" in answer["next"]
