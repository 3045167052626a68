"""`communities labeler init`: key and endpoint come into the DID document, and nothing else changes."""

import io
import json
from typing import Any

import pytest

from labeler import identity
from service.cli import CommandError
from tests import labeler_site
from tests.labeler_site import PASSPHRASE, Site, told
from tests.world.keys import did_key, make_key

site = labeler_site.site
Capture = pytest.CaptureFixture[str]
ROTATION = "did:key:zQ3shfWM2cGBYLRM8PZ5FNBmyHk4JJdGFG1Uyp2T1F5M4Sn5y"


def data(site: Site) -> dict[str, Any]:
    return site.account.plc_data


async def test_from_nothing_to_key_and_endpoint_in_the_document(site: Site, capsys: Capture) -> None:
    site.account.methods["other"] = did_key(make_key("p256", "other"))
    site.account.services["other"] = {"type": "Other", "endpoint": "https://other.example"}
    site.account.rotation_keys.append(did_key(make_key("k256", "mine")))
    before = data(site)
    assert await site.run("init") == 0
    said = capsys.readouterr().out
    ((state, public),) = site.label_keys()
    assert state == "new" and f"A signing key was made: {public}" in said
    assert f"add verification method #atproto_label: {public}" in said
    assert f"add service #atproto_labeler: AtprotoLabeler at {site.url}" in said and "run again: --token CODE" in said
    assert data(site) == before
    ((did, code),) = site.world.pds.identity.mails
    assert did == site.account.did

    assert await site.run("init", "--token", code) == 0
    assert "has the key" in capsys.readouterr().out and site.label_keys() == [("active", public)]
    after = data(site)
    assert after["verificationMethods"] == {**before["verificationMethods"], "atproto_label": public}
    service = {"type": "AtprotoLabeler", "endpoint": site.url}
    assert after["services"] == {**before["services"], "atproto_labeler": service}
    assert (after["rotationKeys"], after["alsoKnownAs"]) == (before["rotationKeys"], before["alsoKnownAs"])
    assert identity.shows(did, site.account.document, public, site.url)


async def test_once_more_changes_nothing(site: Site, capsys: Capture) -> None:
    await site.set_up()
    keys, mails = site.label_keys(), len(site.world.pds.identity.mails)
    capsys.readouterr()
    assert await site.run("init", "--json") == 0
    answer = told(capsys)
    assert answer["done"] and not answer["made"] and answer["changes"] == [] and answer["next"] == ""
    assert (site.label_keys(), len(site.world.pds.identity.mails)) == (keys, mails)
    assert len(site.world.pds.identity.operations) == 1


async def test_a_run_between_the_directory_and_the_database_is_gone_on_with(site: Site) -> None:
    """Killed after the submission: the document has the key, the row still says `new`."""
    await site.run("init")
    ((_, public),) = site.label_keys()
    site.account.methods["atproto_label"] = public
    site.account.services["atproto_labeler"] = {"type": "AtprotoLabeler", "endpoint": site.url}
    assert await site.run("init") == 0
    assert site.label_keys() == [("active", public)]


async def test_dry_run_changes_nothing(site: Site, capsys: Capture) -> None:
    before = data(site)
    assert await site.run("init", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "add verification method #atproto_label: a new key" in said and "without --dry-run" in said
    assert data(site) == before and site.world.pds.calls == {}
    assert not (site.folder / "data").exists()


async def test_an_app_password_is_not_enough_and_that_is_said(site: Site, capsys: Capture) -> None:
    """As the official PDS answers: 400 InvalidToken, Bad token scope."""
    assert await site.run("init", app_password=site.account.app_password) == 1
    said = capsys.readouterr().err
    assert "Bad token scope" in said and "sign in with the main password" in said
    assert site.account.app_password not in said


async def test_a_password_is_read_from_standard_input(
    site: Site, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(site.account.password + "\n"))
    assert await site.run("init", "--handle", site.account.handle, app_password="") == 0
    assert len(site.world.pds.identity.mails) == 1
    assert site.account.password not in "".join(capsys.readouterr())


async def test_at_a_terminal_the_code_is_asked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda text: site.world.pds.identity.mails[-1][1])
    assert await site.run("init") == 0
    assert site.label_keys()[0][0] == "active"


async def test_a_sign_in_code_is_asked_for_and_taken(site: Site, capsys: Capture) -> None:
    site.account.sign_in_code = "ABCDE-12345"
    assert await site.run("init") == 2
    assert "run the command again with --sign-in-code CODE" in capsys.readouterr().err
    assert await site.run("init", "--sign-in-code", "ABCDE-12345") == 0


async def test_another_account_than_the_labeler_is_refused(site: Site, capsys: Capture) -> None:
    other = site.world.account("other")
    assert await site.run("init", handle=other.handle, app_password=other.password) == 2
    assert f"{other.handle} is {other.did}, but the labeler is {site.account.did}" in capsys.readouterr().err


async def test_a_wrong_code(site: Site, capsys: Capture) -> None:
    await site.run("init")
    assert await site.run("init", "--token", "WRONG") == 1
    assert "Token is invalid; leave --token out to have a new code sent" in capsys.readouterr().err


@pytest.mark.parametrize("field", ["rotationKeys", "alsoKnownAs", "verificationMethods", "services"])
async def test_an_operation_that_says_more_than_was_asked_for_is_not_submitted(
    site: Site, capsys: Capture, field: str
) -> None:
    before = data(site)
    wrong = [ROTATION] if field in ("rotationKeys", "alsoKnownAs") else {**before[field], "atproto_label": ROTATION}
    site.world.pds.identity.altered = {field: wrong}
    await site.run("init")
    assert await site.run("init", "--token", site.world.pds.identity.mails[-1][1]) == 1
    assert f"differs from what was asked for in {field}; it was not submitted" in capsys.readouterr().err
    assert data(site) == before and site.world.pds.calls["com.atproto.identity.submitPlcOperation"] == 0


async def test_what_the_pds_refuses_is_passed_on(site: Site, capsys: Capture) -> None:
    site.world.pds.identity.refusing = "Rotation keys do not include server's rotation key"
    await site.run("init")
    assert await site.run("init", "--token", site.world.pds.identity.mails[-1][1]) == 1
    assert "submitPlcOperation: 400 InvalidRequest Rotation keys do not include" in capsys.readouterr().err
    assert site.label_keys()[0][0] == "new"


async def test_a_directory_that_is_late_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.run("init")
    old = site.account.document
    site.world.plc.overrides[site.account.did] = old
    monkeypatch.setattr("service.labeler_init.DIRECTORY_SECONDS", 0.1)
    code = site.world.pds.identity.mails[-1][1]
    with pytest.raises(CommandError, match="does not show the change after 0 s; run the command again later"):
        await site.run("init", "--token", code)
    assert site.label_keys()[0][0] == "new"
    site.world.plc.overrides.clear()
    assert await site.run("init") == 0
    assert site.label_keys()[0][0] == "active"


async def test_another_labelers_key_is_not_replaced_unasked(site: Site, capsys: Capture) -> None:
    theirs = did_key(make_key("k256", "theirs"))
    site.account.methods["atproto_label"] = theirs
    with pytest.raises(CommandError, match="has another key or endpoint for labels already") as refused:
        await site.run("init")
    assert theirs in str(refused.value) and "--replace" in str(refused.value)
    assert site.world.pds.identity.mails == []
    assert await site.run("init", "--replace") == 0
    assert await site.run("init", "--replace", "--token", site.world.pds.identity.mails[-1][1]) == 0
    assert site.account.methods["atproto_label"] == site.label_keys()[0][1] != theirs


async def test_a_labeler_that_comes_with_its_key_keeps_it(site: Site) -> None:
    """As one that was run with other software: the key in the settings is the one that stands."""
    key = make_key("k256", "theirs")
    secret = f"{key._key.to_int():064x}"  # type: ignore[attr-defined]
    site.account.methods["atproto_label"] = did_key(key)
    site.account.services["atproto_labeler"] = {"type": "AtprotoLabeler", "endpoint": site.url}
    assert await site.run("init", labeler_key=secret, labeler_passphrase="") == 0
    assert site.label_keys() == [("active", did_key(key))] and site.world.pds.calls == {}
    stored = b"".join(path.read_bytes() for path in (site.folder / "data").iterdir())
    assert bytes.fromhex(secret) not in stored


async def test_s169_the_key_is_in_no_file_in_the_clear_and_nothing_secret_is_printed(
    site: Site, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await site.set_up()
    await site.run("status")
    with pytest.raises(CommandError) as refused:
        await site.run("init", labeler_passphrase="another one 123")
    secret: bytes = site.signer().key.secret
    shown = "".join(capsys.readouterr()) + caplog.text + str(refused.value)
    for word in (PASSPHRASE, secret.hex(), repr(secret), site.account.password, "another one 123"):
        assert word not in shown
    stored = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    assert secret not in stored and secret.hex().encode() not in stored and PASSPHRASE.encode() not in stored


async def test_what_must_be_set_is_named(site: Site) -> None:
    with pytest.raises(CommandError, match="COMMUNITIES_LABELER_PASSPHRASE must be set: it seals"):
        await site.run("init", labeler_passphrase="")
    await site.set_up()
    with pytest.raises(CommandError, match="does not open the key of"):
        await site.run("init", labeler_passphrase="another one 123")


async def test_a_directory_that_does_not_answer(site: Site) -> None:
    site.world.plc.failing = 503
    with pytest.raises(CommandError, match=r"/data: answered 503; check COMMUNITIES_PLC_URL"):
        await site.run("init")


async def test_a_did_web_is_told_what_its_document_must_have(site: Site, capsys: Capture) -> None:
    text = (site.folder / "labels.toml").read_text().replace(site.account.did, "did:web:127.0.0.1%3A1")
    (site.folder / "labels.toml").write_text(text)
    with pytest.raises(CommandError, match="could not be reached"):
        await site.run("init")
    port = site.url.rpartition(":")[2]
    did = f"did:web:127.0.0.1%3A{port}"
    (site.folder / "labels.toml").write_text(text.replace("did:web:127.0.0.1%3A1", did))
    document: dict[str, Any] = {"id": did}

    async def answer(_: Any) -> Any:
        from aiohttp import web

        return web.json_response(document)

    site.answers["/.well-known/did.json"] = answer
    capsys.readouterr()
    assert await site.run("init", "--json") == 0
    said = told(capsys)
    assert not said["done"] and "put these entries into the document" in said["next"]
    document |= json.loads(said["changes"][0])
    assert await site.run("init", "--json") == 0
    assert told(capsys)["done"] is True


def test_only_what_is_missing_changes() -> None:
    state = {"verificationMethods": {"atproto": "did:key:a"}, "services": {}, "rotationKeys": [], "alsoKnownAs": []}
    change = identity.change_of(state, "did:key:l", "https://l.example")
    assert change is not None and not change.replaces and len(change.lines) == 2
    done = {**state, "verificationMethods": change.methods, "services": change.services}
    assert identity.change_of(done, "did:key:l", "https://l.example") is None
    moved = identity.change_of(done, "did:key:l", "https://m.example")
    assert moved is not None and moved.replaces and len(moved.lines) == 1
    for bad in ({}, {"verificationMethods": [], "services": {}}):
        with pytest.raises(ValueError, match="has no verificationMethods"):
            identity.change_of(bad, "did:key:l", "https://l.example")
