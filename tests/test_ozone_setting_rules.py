"""What `policyList` and `protectedTags` must be, as tables."""

from typing import Any

import pytest

from ozone.roles import Role
from ozone.setting_rules import AUTOMATION, POLICIES, PROTECTED, SettingFault, check

ADMIN = Role.ADMIN.token
POLICY = {"name": "Spam", "description": "Unwanted."}
GOOD: list[tuple[str, Any]] = [
    (POLICIES, {}),
    (POLICIES, {"spam": POLICY}),
    (POLICIES, {"spam": POLICY, "rude": POLICY | {"more": [1], "severityLevels": {}}}),
    (POLICIES, {"spam": POLICY | {"severityLevels": {"sev-1": {"isDefault": True}, "sev-2": {"isDefault": False}}}}),
    (POLICIES, {"spam": POLICY | {"severityLevels": {"sev-1": {}, "sev-2": {"description": "Bad."}}}}),
    (PROTECTED, {}),
    (AUTOMATION, {}),
    (AUTOMATION, {"tools": {}}),
    (AUTOMATION, {"tools": {"bot": {}, "ozone-ui/workspace": {"labelsPerDay": 0, "reportsPerDay": 1_000_000}}}),
    (PROTECTED, {"vip": {"roles": [ADMIN]}}),
    (
        PROTECTED,
        {"vip": {"moderators": ["did:plc:u67flkjuxwlzuwprxwie4kdl"]}, "x": {"roles": [role.token for role in Role]}},
    ),
]
BAD: list[tuple[str, Any, str]] = [
    (POLICIES, {"spam": None}, "object"),
    (POLICIES, {"spam": []}, "object"),
    (POLICIES, {" ": POLICY}, "name"),
    (POLICIES, {"spam": {"name": "Spam"}}, "description"),
    (POLICIES, {"spam": {"description": "Unwanted."}}, "name"),
    (POLICIES, {"spam": POLICY | {"name": ""}}, "name"),
    (POLICIES, {"spam": POLICY | {"description": " "}}, "description"),
    (POLICIES, {"spam": POLICY | {"name": 1}}, "name"),
    (POLICIES, {"good": POLICY, "spam": POLICY | {"description": None}}, "spam"),
    (POLICIES, {"spam": POLICY | {"severityLevels": []}}, "severityLevels"),
    (POLICIES, {"spam": POLICY | {"severityLevels": {"sev-1": True}}}, "severityLevels"),
    (POLICIES, {"spam": POLICY | {"severityLevels": {"sev-1": {"isDefault": 1}}}}, "isDefault"),
    (POLICIES, {"spam": POLICY | {"severityLevels": {"a": {"isDefault": True}, "b": {"isDefault": True}}}}, "default"),
    (AUTOMATION, {"tools": []}, "object"),
    (AUTOMATION, {"tool": {}}, "tool"),
    (AUTOMATION, {"tools": {"": {}}}, "name"),
    (AUTOMATION, {"tools": {"bot": 7}}, "bot"),
    (AUTOMATION, {"tools": {"bot": {"labels": 7}}}, "none of labelsPerDay"),
    (AUTOMATION, {"tools": {"bot": {"labelsPerDay": -1}}}, "whole number"),
    (AUTOMATION, {"tools": {"bot": {"takedownsPerDay": 1.5}}}, "whole number"),
    (AUTOMATION, {"tools": {"bot": {"reportsPerDay": True}}}, "whole number"),
    (AUTOMATION, {"tools": {"bot": {"labelsPerDay": 1_000_001}}}, "whole number"),
    (PROTECTED, {"vip": None}, "object"),
    (PROTECTED, {"": {"roles": [ADMIN]}}, "name"),
    (PROTECTED, {"vip": {}}, "roles or moderators"),
    (PROTECTED, {"vip": {"roles": []}}, "roles"),
    (PROTECTED, {"vip": {"moderators": []}}, "moderators"),
    (PROTECTED, {"vip": {"roles": [ADMIN], "moderators": []}}, "moderators"),
    (PROTECTED, {"vip": {"roles": ["admin"]}}, "roles"),
    (PROTECTED, {"vip": {"roles": ADMIN}}, "roles"),
    (PROTECTED, {"vip": {"roles": None}}, "roles"),
    (PROTECTED, {"vip": {"roles": [[ADMIN]]}}, "roles"),
    (PROTECTED, {"vip": {"moderators": ["alice.example.com"]}}, "moderators"),
    (PROTECTED, {"vip": {"moderators": [1]}}, "moderators"),
]


@pytest.mark.parametrize(("key", "value"), GOOD, ids=str)
def test_good_values(key: str, value: Any) -> None:
    check(key, value, Role.ADMIN)
    for role in (Role.VERIFIER, Role.TRIAGE, Role.MODERATOR):
        with pytest.raises(SettingFault, match="managerRole"):
            check(key, value, role)


@pytest.mark.parametrize(("key", "value", "said"), BAD, ids=str)
def test_bad_values(key: str, value: Any, said: str) -> None:
    with pytest.raises(SettingFault, match=said):
        check(key, value, Role.ADMIN)
    check("tools.ozone.setting.other", value, Role.TRIAGE)


def test_what_is_quoted_has_an_end() -> None:
    with pytest.raises(SettingFault) as fault:
        check(POLICIES, {"x" * 50_000: {}}, Role.ADMIN)
    assert len(str(fault.value)) < 300
