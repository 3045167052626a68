"""An example of each record and of each method's call and answer. They are shown in docs/LEXICONS.md and held against
the lexicons by the tests.
"""

from typing import Any

from lexicons.catalog import OURS

_FIRST = "2026-01-31T12:00:00.000Z"
_OWNER, _MEMBER = "did:plc:u67flkjuxwlzuwprxwie4kdl", "did:plc:v5pyzk3xbxzqo2ucmx4tbzfm"
_BIRDS = f"at://{_OWNER}/{OURS}community/birds"
_POST = {
    "uri": f"at://{_MEMBER}/app.bsky.feed.post/3kznmn7xqxl22",
    "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq",
}
_ASKED = {
    "uri": f"at://{_OWNER}/app.bsky.feed.post/3kznmm2xqxl2k",
    "cid": "bafyreibvjvcv745gig4mvqs4hctx4zfkono4rjejm2ta6gtyzkqxfjeily",
}
_LIMITS = {
    "labels": ["spam", "spoiler"],
    "collections": ["app.bsky.feed.post", "account"],
    "reasons": ["com.atproto.moderation.defs#reasonSpam"],
}
RECORDS: dict[str, dict[str, Any]] = {
    "community": {
        "type": "open",
        "name": "Birds",
        "description": "Birds and the people who watch them.",
        "rules": [{"name": "No baiting", "text": "No pictures of birds that were lured with live bait."}],
        "posting": "anyone",
        "joinBy": ["record", "follow"],
        "include": {"hashtags": ["birds", "birding"]},
        "exclude": {"hashtagsOver": 8},
        "ranking": {"halfLifeHours": 24, "weights": {"like": 1, "reply": 3}, "authorCap": 3},
        "log": {"who": "role", "showSubject": False},
        "account": _OWNER,
        "commands": ["remove", "restore", "ban"],
        "adminCommands": ["ban"],
        "createdAt": _FIRST,
    },
    "role": {
        "community": _BIRDS,
        "subject": _MEMBER,
        "role": "moderator",
        "scope": ["posts", "pins"],
        **_LIMITS,
        "createdAt": _FIRST,
    },
    "membership": {"community": _BIRDS, "volume": 4, "createdAt": _FIRST},
    "submission": {
        "community": _BIRDS,
        "post": _POST,
        "createdAt": _FIRST,
    },
}
_RULES = [{"name": "No baiting", "text": "No pictures of birds that were lured with live bait."}]
_COUNTS = {
    "memberCount": 212,
    "postCount": 3040,
    "lastPostAt": "2026-02-03T13:20:00.000Z",
    "createdAt": _FIRST,
}
_OWL = {"slug": "owls", "uri": f"at://{_OWNER}/{OURS}community/owls", "name": "Owls"}
_MODERATOR = {
    "did": _MEMBER,
    "status": "member",
    "role": "moderator",
    "scope": ["posts", "pins"],
    **_LIMITS,
    "since": "2026-02-01T08:00:00.000Z",
    "until": "2027-02-01T08:00:00.000Z",
}
_VIEWER = {
    "membership": _MODERATOR,
    "canDiscover": True,
    "canRead": True,
    "post": "admitted",
    "decides": ["approve", "remove", "restore", "pin", "unpin"],
    "volume": 3,
}
_NOBODY = {"canDiscover": True, "canRead": True, "post": "admitted", "joinsAs": "member", "decides": []}
_REMOVAL = {
    "community": "birds",
    "seq": 2,
    "at": "2026-02-03T13:00:00.000000Z",
    "action": "remove",
    "rule": "No baiting",
    "actor": _OWNER,
    "role": "admin",
    "subject": _POST["uri"],
    "cid": _POST["cid"],
    "reason": "The owl was lured with mice.",
    "salts": {
        "actor": "bc0b79004a37e113c331688868f23f64",
        "role": "811b9e5633eb621407c686bd7a113bed",
        "subject": "6836906b65d74e2725afd49c59a25134",
        "cid": "fe2b1983c98f6410572188f6d4fe07ee",
        "reason": "2d3d990f520b18e1fb4b16c41726e8f1",
        "until": "04393ef4862f063a274961af5beaf45d",
    },
    "commitments": {},
    "prev": "171d48befe3372e060f6c8e98d5af7a13c7f8ae610fa4bdee3983c32d67c90c4",
    "hash": "843b1cd766eb3ce049a160418c25ab9a4141151249379434d88e917afd9c6463",
}
_SHOWN_BY_ROLE = {
    "community": "birds",
    "seq": 2,
    "at": "2026-02-03T13:00:00.000000Z",
    "action": "remove",
    "rule": "No baiting",
    "role": "admin",
    "salts": {"role": "811b9e5633eb621407c686bd7a113bed"},
    "commitments": {
        "actor": "902fbff30bf1f68eae8a63b45a6f812bd4947ea4210fd7e26ce3a1d894fd96b4",
        "subject": "d29d2ff292a3cc677525fb1976282d272257a87fdd2cabe8958fb9ed5b54034b",
        "cid": "527a2acd60ce8cfd824f1eccf8cd376228795300cece08533c5c374e722224b0",
        "reason": "dad7b5e9f6951fe21cdb5615b57d5a533ad9ec937b8e21a141e388b18973ece3",
        "until": "6813e507a0855605a1f67c41d762e9dcbeb334016fd171ce974fdf05b49bf0b0",
    },
    "prev": "171d48befe3372e060f6c8e98d5af7a13c7f8ae610fa4bdee3983c32d67c90c4",
    "hash": "843b1cd766eb3ce049a160418c25ab9a4141151249379434d88e917afd9c6463",
}
_PROMOTION = {
    "community": "birds",
    "seq": 3,
    "at": "2026-02-03T14:00:00.000000Z",
    "action": "setRole",
    "actor": _OWNER,
    "role": "owner",
    "subject": _MEMBER,
    "salts": {
        "actor": "ce7d3954f0a3e2f7f9af570cc9003671",
        "role": "c0008c8b04a1716ee21644003dd0e4b6",
        "subject": "6e22e0988b2c166de06a7578b279d911",
        "cid": "2a8afa47496b1d2b1945ffda7e953b27",
        "reason": "060079af669c24cb606f936d1498b549",
        "until": "90dc76e88c8d791e9fa3f87c0c1f58dd",
    },
    "commitments": {},
    "prev": "843b1cd766eb3ce049a160418c25ab9a4141151249379434d88e917afd9c6463",
    "hash": "31e6c6531ccc5b0a8fcc7baa90874de1e7675fec9bf8e98630990b1501e2e927",
}
_COMMAND = {
    "uri": f"at://{_OWNER}/app.bsky.feed.post/3kznmn7xqxl27",
    "cid": _POST["cid"],
    "community": "birds",
    "text": "remove No baiting The owl was lured with mice.",
    "subject": _POST,
    "at": "2026-02-03T13:00:00.000000Z",
    "state": "done",
    "outcome": "Done: remove by No baiting, number 2 of the log.",
    "decision": 2,
    "doneAt": "2026-02-03T13:00:00.250000Z",
}
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "getCommunity": (
        {"community": "birds"},
        {
            "slug": "birds",
            "uri": _BIRDS,
            "name": "Birds",
            "description": "Birds and the people who watch them.",
            "about": "For everybody who looks up.",
            "rules": _RULES,
            "type": "open",
            "posting": "anyone",
            "joinBy": ["record", "xrpc", "follow"],
            "state": "active",
            "owner": _OWNER,
            "account": "did:web:birds.example",
            "parent": {"slug": "animals", "name": "Animals"},
            "children": [_OWL],
            **_COUNTS,
            "feeds": [
                {"sort": "newest", "uri": f"at://{_OWNER}/app.bsky.feed.generator/birds"},
                {"sort": "hot", "uri": f"at://{_OWNER}/app.bsky.feed.generator/birds.hot"},
            ],
            "viewer": _NOBODY,
        },
    ),
    "listCommunities": (
        {"q": "birds", "sort": "relevance", "parent": "animals", "limit": 1},
        {
            "cursor": "1:birds",
            "communities": [
                {
                    "slug": "birds",
                    "uri": _BIRDS,
                    "name": "Birds",
                    "description": "Birds and the people who watch them.",
                    "type": "open",
                    "state": "active",
                    **_COUNTS,
                    "viewer": _NOBODY,
                }
            ],
        },
    ),
    "listMembers": (
        {"community": _BIRDS, "status": "member", "role": "moderator", "limit": 50, "cursor": "50"},
        {"members": [_MODERATOR]},
    ),
    "getMembership": ({"community": "birds", "member": _MEMBER}, {"membership": _MODERATOR}),
    "getViewer": ({"community": "birds"}, _VIEWER),
    "getDecisions": ({"community": "birds", "limit": 1, "cursor": "3"}, {"cursor": "2", "decisions": [_SHOWN_BY_ROLE]}),
    "explain": (
        {"community": "birds", "post": _POST["uri"]},
        {
            "evidences": ["hashtag:birds", "keyword:barn owl"],
            "revision": "17",
            "state": "removed",
            "why": "A moderator took it out: No baiting.",
            "decision": _REMOVAL,
            "score": [{"name": "likes", "value": "12"}, {"name": "replies", "value": "6"}],
            "hiddenBy": ["It was removed from this community."],
        },
    ),
    "getEvidence": (
        {"community": "birds", "subject": _POST["uri"]},
        {
            "versions": [
                {
                    **_POST,
                    "value": {
                        "$type": "app.bsky.feed.post",
                        "text": "It sat down right beside the worms that I had laid out.",
                        "reply": {"root": _ASKED, "parent": _ASKED},
                        "createdAt": "2026-02-03T12:50:00.000Z",
                    },
                    "keptAt": "2026-02-03T13:10:00.000000Z",
                    "handle": "wren.example.com",
                    "parent": _ASKED["uri"],
                    "parentText": "How did you get so near?",
                }
            ],
            "member": _MODERATOR,
            "posts": 41,
            "reports": 3,
            "waiting": 1,
            "decisions": [_REMOVAL],
        },
    ),
    "listRecords": (
        {"collection": f"{OURS}community", "limit": 1, "cursor": "3"},
        {
            "cursor": "2",
            "records": [
                {
                    "uri": _BIRDS,
                    "cid": _POST["cid"],
                    "collection": f"{OURS}community",
                    "indexedAt": "2026-02-03T13:00:00.000000Z",
                    "inEffect": False,
                    "fault": {
                        "name": "InvalidRecord",
                        "message": "It is refused: social.communities.community: name: must have at most 24 graphemes;"
                        " put that right and write the record again; until then the community is as the last version"
                        " that could be read has it.",
                    },
                }
            ],
        },
    ),
    "listOwnReports": (
        {"limit": 1, "cursor": "3"},
        {
            "cursor": "2",
            "reports": [
                {
                    "id": 41,
                    "createdAt": "2026-02-03T12:00:00.000000Z",
                    "lastAt": "2026-02-03T12:30:00.000000Z",
                    "reasonType": "com.atproto.moderation.defs#reasonRude",
                    "reason": "The owl was lured.",
                    "subject": _POST["uri"],
                    "cid": _POST["cid"],
                    "convoId": "3kznmn7xqxl22",
                    "places": [
                        {
                            "community": "birds",
                            "state": "closed",
                            "outcome": "removed",
                            "note": "Thank you.",
                            "closedAt": "2026-02-03T13:00:00.000000Z",
                        },
                        {"labeler": "did:plc:kdpcqmy5cbh4lfjomtxbchhe", "state": "received"},
                    ],
                }
            ],
        },
    ),
    "listOwnDecisions": (
        {"limit": 1, "cursor": "3"},
        {
            "cursor": "2",
            "decisions": [
                {
                    "kind": "removal",
                    "subject": _POST["uri"],
                    "cid": _POST["cid"],
                    "community": "birds",
                    "rule": "No baiting",
                    "reason": "The owl was lured with mice.",
                    "role": "admin",
                    "actor": _OWNER,
                    "since": "2026-02-03T13:00:00.000000Z",
                    "until": "2026-03-03T13:00:00.000000Z",
                    "withheld": False,
                    "appeal": {
                        "state": "open",
                        "at": "2026-02-03T15:00:00.000000Z",
                        "dueAt": "2026-02-10T15:00:00.000000Z",
                    },
                },
                {
                    "kind": "label",
                    "subject": _POST["uri"],
                    "labeler": "did:plc:kdpcqmy5cbh4lfjomtxbchhe",
                    "labels": ["graphic"],
                    "role": "site",
                    "since": "2026-02-03T13:00:00.000000Z",
                    "withheld": True,
                    "appeal": {
                        "state": "denied",
                        "at": "2026-02-03T15:00:00.000000Z",
                        "closedAt": "2026-02-04T09:00:00.000000Z",
                        "note": "It shows a torn mouse.",
                        "audience": "did:plc:kdpcqmy5cbh4lfjomtxbchhe#atproto_labeler",
                        "method": "com.atproto.moderation.createReport",
                        "reasonType": "com.atproto.moderation.defs#reasonAppeal",
                    },
                },
            ],
        },
    ),
    "getModeration": (
        {"community": "birds", "days": 30},
        {
            "community": "birds",
            "since": "2026-01-04T00:00:00.000000Z",
            "until": "2026-02-03T00:00:00.000000Z",
            "decisions": [{"action": "remove", "rule": "No baiting", "count": 12}],
            "reports": {"medianHours": 3, "p90Hours": 20},
            "appeals": {"granted": 2, "denied": 4, "waiting": 1, "overturnedPercent": 33},
        },
    ),
    "listCommands": ({"limit": 1, "cursor": "3"}, {"cursor": "2", "commands": [_COMMAND]}),
    "join": (
        {"community": "birds", "volume": 4},
        {
            "viewer": {
                "membership": {
                    "did": _MEMBER,
                    "status": "member",
                    "role": "member",
                    "since": "2026-02-01T08:00:00.000Z",
                },
                "canDiscover": True,
                "canRead": True,
                "post": "admitted",
                "decides": [],
                "volume": 4,
            }
        },
    ),
    "leave": (
        {"community": "birds"},
        {"viewer": _NOBODY, "record": f"at://{_MEMBER}/{OURS}membership/3kznmn7xqxl23"},
    ),
    "decide": (
        {
            "community": "birds",
            "action": "remove",
            "subject": {"$type": "com.atproto.repo.strongRef", **_POST},
            "reason": "The owl was lured with mice.",
            "rule": "No baiting",
            "withhold": False,
        },
        {"decision": _REMOVAL},
    ),
    "label": (
        {
            "community": "birds",
            "subject": {"$type": "com.atproto.repo.strongRef", **_POST},
            "add": ["graphic", "cruel"],
            "remove": ["spam"],
            "reason": "A torn mouse.",
            "rule": "No baiting",
            "labeler": "did:plc:kdpcqmy5cbh4lfjomtxbchhe",
        },
        {
            "event": {
                "id": 17,
                "at": "2026-02-03T13:00:00.000000Z",
                "labeler": "did:plc:kdpcqmy5cbh4lfjomtxbchhe",
                "community": "birds",
                "actor": _OWNER,
                "role": "owner",
                "subject": _POST["uri"],
                "cid": _POST["cid"],
                "added": ["graphic"],
                "removed": ["spam"],
                "reason": "A torn mouse.",
                "rule": "No baiting",
            },
            "waiting": ["cruel"],
        },
    ),
    "resolveAppeal": (
        {
            "community": "birds",
            "labeler": "did:plc:kdpcqmy5cbh4lfjomtxbchhe",
            "subject": _POST["uri"],
            "action": "grant",
            "reason": "The mice were dead already.",
        },
        {
            "appeals": [
                {
                    "id": 5,
                    "subject": _POST["uri"],
                    "state": "granted",
                    "labeler": "did:plc:kdpcqmy5cbh4lfjomtxbchhe",
                    "at": "2026-02-03T15:00:00.000000Z",
                    "dueAt": "2026-02-10T15:00:00.000000Z",
                    "closedAt": "2026-02-04T09:00:00.000000Z",
                }
            ]
        },
    ),
    "undo": (
        {
            "community": "birds",
            "batch": "spring cleaning",
            "reason": "It took owls for planes.",
            "dryRun": False,
            "limit": 2,
        },
        {
            "events": [
                {
                    "id": 57,
                    "type": "modEventTakedown",
                    "at": "2026-02-03T13:00:00.000000Z",
                    "actor": _OWNER,
                    "subject": _POST["uri"],
                    "undone": True,
                    "by": [61],
                },
                {
                    "id": 56,
                    "type": "modEventTag",
                    "at": "2026-02-03T12:59:00.000000Z",
                    "actor": _OWNER,
                    "subject": _POST["uri"],
                    "undone": False,
                    "why": "DecidedSince",
                },
            ],
            "cursor": "56",
        },
    ),
    "setRole": (
        {"community": "birds", "subject": _MEMBER, "role": "moderator", "scope": ["posts", "pins"], **_LIMITS},
        {
            "decision": _PROMOTION,
            "member": {key: _MODERATOR[key] for key in ("did", "status", "role", "scope", *_LIMITS, "since")},
        },
    ),
}
"""What is asked (parameters of a query, body of a procedure), and what is answered."""
