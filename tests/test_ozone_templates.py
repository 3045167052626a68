"""tools.ozone.communication.*: the texts of a team, by the role that its moderators have in it."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models.database import writing
from ozone.roles import Role
from ozone.templates import MOST_BYTES, MOST_TEMPLATES
from tests.didnet import Account, plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_site import Desk, callers, desk, unlimited

LIST, CREATE = "communication.listTemplates", "communication.createTemplate"
UPDATE, DELETE = "communication.updateTemplate", "communication.deleteTemplate"
BODY = {"name": "Spam", "subject": "Your post", "contentMarkdown": "Hello {{handle}},\n\nit was **spam**."}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with one template, number 1, that nothing changes, for many calls that are refused."""
    with unlimited(tmp_path_factory.mktemp("templates")) as found:
        assert found.act(CREATE, found.staff(), BODY).json["id"] == "1"
        yield found


def listed(place: Desk, who: Account, aud: str = LABELER) -> list[dict[str, Any]]:
    reply = place.ask(LIST, who, aud=aud)
    assert reply.status == 200, reply.body
    found: list[dict[str, Any]] = reply.json["communicationTemplates"]
    return found


def test_a_template_comes_changes_and_goes(place: Desk) -> None:
    admin, other = place.staff(), place.member(Role.MODERATOR)
    made = place.act(CREATE, admin, BODY | {"lang": "pt-BR"}).json
    assert made == BODY | {
        "id": "1", "lang": "pt-BR", "disabled": False, "lastUpdatedBy": admin.did,
        "createdAt": made["createdAt"], "updatedAt": made["createdAt"],
    }  # fmt: skip
    assert listed(place, other) == [made]
    place.place.clock.now += 5
    changed = place.act(UPDATE, other, {"id": "1", "subject": "", "disabled": True}).json
    assert changed == made | {
        "subject": "", "disabled": True, "lastUpdatedBy": other.did, "updatedAt": changed["updatedAt"],
    }  # fmt: skip
    assert made["updatedAt"] < changed["updatedAt"]
    every = {"name": "Spam 2", "contentMarkdown": "é\0", "lang": "de", "subject": "s", "disabled": False}
    assert place.act(UPDATE, admin, {"id": "1", **every}).json.items() >= every.items()
    (now,) = listed(place, other)
    assert now.items() >= every.items() and now["createdAt"] == made["createdAt"], "those that are disabled are listed"
    assert place.act(DELETE, other, {"id": "1"}).status == 200
    assert listed(place, admin) == []
    again = place.act(CREATE, admin, BODY).json
    assert (again["id"], "lang" in again) == ("2", False), "no number comes twice"


def test_a_name_is_there_once(place: Desk) -> None:
    admin, duplicate = place.staff(), (400, "DuplicateTemplateName")
    first, second = (place.act(CREATE, admin, BODY | {"name": name}).json["id"] for name in ("b", "a"))
    assert place.act(CREATE, admin, BODY | {"name": "b"}).fault == duplicate
    assert place.act(UPDATE, admin, {"id": second, "name": "b", "subject": "new"}).fault == duplicate
    assert [(one["id"], one["name"], one["subject"]) for one in listed(place, admin)] == [
        (second, "a", BODY["subject"]),
        (first, "b", BODY["subject"]),
    ]
    assert place.act(UPDATE, admin, {"id": first, "name": "b", "subject": "new"}).json["subject"] == "new", "its own"
    assert place.act(CREATE, admin, BODY | {"name": "B"}).status == 200
    assert place.act(DELETE, admin, {"id": first}).status == 200
    assert place.act(UPDATE, admin, {"id": second, "name": "b"}).status == 200, "the name is free again"


WRITES = ((CREATE, BODY | {"name": "New"}), (UPDATE, {"id": "1", "subject": "New"}), (DELETE, {"id": "1"}))


def test_who_sees_and_changes_templates(place: Desk) -> None:
    """S135: moderators of the team do; who is one by a community alone sees none, whatever else they are."""
    for who, kind in callers(place):
        made = place.act(CREATE, place.staff(), BODY).json
        calls = [(method, body | ({"id": made["id"]} if "id" in body else {})) for method, body in WRITES]
        if kind == "team":
            assert who and made in listed(place, who)
            assert {place.act(method, who, body).status for method, body in calls} == {200}
            (new,) = listed(place, who)
            calls = [(DELETE, {"id": new["id"]})]
            assert {place.act(method, who, body).status for method, body in calls} == {200}
            continue
        fault = (401, "AuthenticationRequired" if kind == "community" else kind)
        assert {place.act(method, who, body).fault for method, body in calls} == {fault}
        if kind == "community":
            assert who and listed(place, who) == []
        else:
            assert place.ask(LIST, who).fault == fault
        assert listed(place, place.staff()) == [made]
        assert place.act(DELETE, place.staff(), {"id": made["id"]}).status == 200


def test_labelers_have_templates_of_their_own(place: Desk) -> None:
    """S135."""
    admin = place.staff()
    here = place.act(CREATE, admin, BODY).json
    there = place.act(CREATE, admin, BODY, aud=OTHER).json
    for method, body in ((UPDATE, {"subject": "x"}), (DELETE, {})):
        assert place.act(method, admin, {"id": here["id"], **body}, aud=OTHER).fault == (400, "InvalidRequest")
    assert (listed(place, admin), listed(place, admin, OTHER)) == ([here], [there])


BAD: list[tuple[str, Any]] = [
    *((CREATE, {name: value for name, value in BODY.items() if name != left}) for left in BODY),
    *((CREATE, BODY | {field: value}) for field in BODY for value in (None, 1, [], "x" * (MOST_BYTES[field] + 1))),
    *((CREATE, BODY | {"name": name}) for name in ("", " \t\n", "é" * 129)),
    *((CREATE, BODY | {"lang": lang}) for lang in (None, "", 1, "en_US", "x" * 200)),
    *((CREATE, BODY | {"createdBy": did}) for did in ("", "alice", 1)),
    *(
        (UPDATE, {"id": "1", field: value})
        for field in BODY
        for value in (None, 1, [], "x" * (MOST_BYTES[field] + 1))
    ),
    *((UPDATE, {"id": "1", "name": name}) for name in ("", "  ")),
    *((UPDATE, {"id": "1", "lang": lang}) for lang in (None, "", "en_US")),
    *((UPDATE, {"id": "1", "disabled": disabled}) for disabled in (None, 1, "true")),
    *itertools.product(
        (UPDATE, DELETE),
        (
            {}, *({"id": one} for one in (None, 1, "", "0", "2", "-1", "01", " 1", "1.0", "١")),
            *({"id": one} for one in ("9" * 18, "9" * 40, "x")),
        ),
    ),
    *itertools.product((CREATE, UPDATE, DELETE), ([], "x", b"", b"{", b"\xff")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "body"), BAD, ids=lambda value: str(value)[:60])
def test_missing_malformed_and_oversized_fields(shared: Desk, method: str, body: Any) -> None:
    before = shared.rows("template")
    assert shared.act(method, shared.staff(), body).fault == (400, "InvalidRequest")
    assert shared.rows("template") == before


def test_the_longest_fields_fit(place: Desk) -> None:
    longest = {field: "x" * most for field, most in MOST_BYTES.items()}
    assert place.act(CREATE, place.staff(), longest).json.items() >= longest.items()


def test_s166_there_is_an_end_of_templates(place: Desk) -> None:
    """For each labeler; what is there can still be changed."""
    admin = place.staff()
    for name in ("first", "other"):
        place.act(CREATE, admin, BODY | {"name": name}, aud=OTHER if name == "other" else LABELER)
    with writing(place.place.writer.database) as connection:
        connection.executemany(
            "INSERT INTO template (labeler, name, subject, content, at, made_by, changed_at, changed_by)"
            " SELECT labeler, ?, '', '', 1, 'x', 1, 'did:plc:x' FROM template WHERE name = 'first'",
            [(f"n{n}",) for n in range(MOST_TEMPLATES - 1)],
        )
    assert len(listed(place, admin)) == MOST_TEMPLATES
    assert place.act(CREATE, admin, BODY).fault == (400, "InvalidRequest")
    assert place.act(CREATE, admin, BODY, aud=OTHER).status == 200
    assert place.act(UPDATE, admin, {"id": "1", "name": "still"}).status == 200
    assert place.act(DELETE, admin, {"id": "1"}).status == 200
    assert place.act(CREATE, admin, BODY).status == 200


def test_s23_a_token_is_used_once(place: Desk) -> None:
    who = place.member(Role.MODERATOR)
    for method, body in ((CREATE, BODY), (UPDATE, {"id": "1", "subject": "new"}), (DELETE, {"id": "1"})):
        sent = place.token(who, method)
        with ThreadPoolExecutor(8) as pool:
            replies = [*pool.map(lambda _: place.act(method, who, body, sent=sent), range(16))]  # noqa: B023
        assert sorted(reply.status for reply in replies) == [200] + [401] * 15
        assert {reply.fault for reply in replies if reply.status != 200} == {(401, "JwtReplayed")}


def test_s137_what_else_a_body_says_is_not_believed(place: Desk) -> None:
    who = place.member(Role.MODERATOR)
    more = {"createdBy": plc(1), "updatedBy": plc(1), "lastUpdatedBy": plc(1), "createdAt": "2020-01-01T00:00:00Z"}
    made = place.act(CREATE, who, BODY | more | {"id": "77", "disabled": True}).json
    assert (made["id"], made["disabled"], made["lastUpdatedBy"]) == ("1", False, who.did)
    changed = place.act(UPDATE, who, {"id": "1"} | more).json
    assert changed["lastUpdatedBy"] == who.did and changed["createdAt"] == made["createdAt"] > "2020-01-02"
    assert place.place.writer.sql("SELECT made_by, changed_by FROM template") == [(who.did, who.did)]
