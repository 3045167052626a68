"""The account as which the service forwards reports: how it is found and signed in, and what its PDS answers."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from service.forwarding import PAUSE_SECONDS
from tests.didnet import plc
from tests.forward_site import (
    ACCOUNT_HANDLE,
    PASSWORD,
    UPSTREAM,
    Forwards,
    error,
    forwarding_desk,
)

DAY_SECONDS = 86_400
WHY = {
    "password": "could not sign in: its PDS answered 401 AuthenticationRequired",
    "no json": "could not sign in: its PDS answered 200",
    "another": "could not sign in: its PDS answered 200",
    "gone": "its DID has no document now",
    "plain": "would get its password unencrypted",
    "handle": "has another handle",
    "private": "could not sign in: its PDS could not be reached",
}
"""Why an account could not sign in, as it is noted."""
WAITS, DONE, FAILED = f"forward:{UPSTREAM}", f"forwarded:{UPSTREAM}", f"forward-failed:{UPSTREAM}"


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own worker sends nothing."""
    monkeypatch.setattr("service.forwarding.LOOK_SECONDS", 1e6)


@pytest.fixture
def place(tmp_path: Path, still: None) -> Iterator[Forwards]:
    with forwarding_desk(tmp_path) as found:
        yield found


def test_a_session_that_has_lapsed_is_made_anew_and_kept(place: Forwards) -> None:
    who = place.town.moderator("python")
    for number in range(3):
        assert place.forward(who, place.town.writer.post(number + 1)).status == 200
    place.step()
    place.step()
    assert place.pds.signed_in == 1
    place.pds.token = "another"
    assert place.step() == 0.0
    assert place.pds.signed_in == 2 and [row[:2] for row in place.rows()] == [("sent", 1)] * 3


def test_an_answer_without_a_number_is_an_answer(place: Forwards) -> None:
    who = place.town.moderator("python")
    place.pds.faults = [web.Response(text="thanks"), web.json_response({"id": "7"}), web.Response(body=b"x" * 70_000)]
    uris = [place.town.writer.post(number + 1) for number in range(3)]
    for uri in uris:
        place.forward(who, uri)
        place.step()
        assert place.tags(uri) == [DONE]
        assert place.events(who, uri)[0]["event"]["comment"].endswith("its number there was not told.")
    place.step(DAY_SECONDS)
    assert len(place.pds.sent) == 3


@pytest.mark.parametrize("fault", ["password", "no json", "another", "gone", "plain", "handle", "private"])
def test_where_the_account_cannot_sign_in_nothing_is_sent(
    tmp_path: Path, still: None, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {"handle": {"forward_account": ACCOUNT_HANDLE, "appview_url": "{net}"}}.get(fault, {})
    with forwarding_desk(tmp_path, **settings) as place:
        who, uri = place.town.moderator("python"), place.town.writer.post(1)
        if fault == "password":
            place.pds.sign_in = error(401, "AuthenticationRequired")
        elif fault == "no json":
            place.pds.sign_in = web.Response(text="hello")
        elif fault == "another":
            place.pds.sign_in = web.json_response({"did": plc(7), "accessJwt": "x"})
        elif fault == "handle":
            place.town.site.net.answers["/xrpc/com.atproto.identity.resolveHandle"] = {"did": plc(801)}
            place.pds.publish(handle="other.example.com")
        elif fault == "gone":
            del place.town.site.net.answers[f"/{plc(801)}"]
        else:
            place.pds.publish({"plain": "http://pds.example.com", "private": "https://10.1.2.3"}[fault])
        place.forward(who, uri)
        assert place.step() == PAUSE_SECONDS, "PDSes count such calls"
        ((state, tries, _, why),) = place.rows()
        assert (state, tries) == ("waiting", 1) and WHY[fault] in why
        assert place.pds.sent == [] and place.tags(uri) == [WAITS]
        assert PASSWORD not in caplog.text + repr(place.town.site.config)


def test_an_account_is_found_by_its_handle(tmp_path: Path, still: None) -> None:
    settings = {"forward_account": ACCOUNT_HANDLE, "appview_url": "{net}"}
    with forwarding_desk(tmp_path, **settings) as place:
        place.town.site.net.answers["/xrpc/com.atproto.identity.resolveHandle"] = {"did": plc(801)}
        uri = place.town.writer.post(1)
        place.forward(place.town.moderator("python"), uri)
        place.step()
        assert place.tags(uri) == [DONE]


def test_a_token_that_is_refused_at_once_is_no_refusal_of_the_report(place: Forwards) -> None:
    uri = place.town.writer.post(1)
    place.forward(place.town.moderator("python"), uri)
    place.pds.faults = [error(400, "ExpiredToken")]
    place.step()
    assert place.rows()[0][:2] == ("waiting", 1) and place.tags(uri) == [WAITS]
    place.step(60)
    assert place.tags(uri) == [DONE] and place.pds.signed_in == 2
