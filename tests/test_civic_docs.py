"""The examples of docs/CLIENTS.md are calls that are answered."""

import json
import re
from pathlib import Path

from tests.civic_site import NSID, SERVICE, town

TEXT = (Path(__file__).parents[1] / "docs" / "CLIENTS.md").read_text(encoding="utf-8")
QUERY = re.compile(rf"curl 'https://[a-z.]+/xrpc/{re.escape(NSID)}(\w+)\?([^']*)'")
PROCEDURE = re.compile(rf"curl https://[a-z.]+/xrpc/{re.escape(NSID)}(\w+) (?:.*\n)+?.*-d '([^']*)'")


def test_every_example_works(tmp_path: Path) -> None:
    with town(tmp_path) as place:
        place.put("python", place.person(2))
        admin = place.admin("python")
        queries, procedures = QUERY.findall(TEXT), PROCEDURE.findall(TEXT)
        for method, query in queries:
            sent = f"Bearer {place.token(admin, method)}"
            reply = place.site.ask(
                query, *([sent] if method in ("getMembership", "listRecords") else []), method=NSID + method
            )
            assert reply.status == 200, (method, reply.body)
        for method, body in procedures:
            who = place.person() if method == "join" else admin
            if method == "leave":
                who = place.member("python")
            reply = place.act(method, who, json.loads(body))
            assert reply.status == 200, (method, reply.body)
        assert {method for method, _ in queries} == {
            "getCommunity", "getMembership", "getViewer", "listCommunities", "listMembers", "listRecords",
        }  # fmt: skip
        assert [method for method, _ in procedures] == ["join", "leave", "decide", "setRole"]


def test_the_header_names_our_service_entry(tmp_path: Path) -> None:
    with town(tmp_path) as place:
        document = place.site.request("GET", "/.well-known/did.json").json
        entries = {document["id"] + service["id"]: service["serviceEndpoint"] for service in document["service"]}
    headers = set(re.findall(r"'atproto-proxy: ([^']*)'", TEXT))
    assert headers == {f"{SERVICE}#communities"} and entries[headers.pop()] == f"https://{SERVICE[8:]}"
