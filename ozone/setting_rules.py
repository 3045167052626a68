"""What the settings must be by which moderation itself goes, and whose they are: `policyList`,
`protectedTags`, and AUTOMATION of ours. Pure.

Others are the clients' own, and are kept as they come.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ozone.roles import BY_TOKEN, Role
from xrpc.syntax import is_did

NAMES = "tools.ozone.setting."
POLICIES, PROTECTED = NAMES + "policyList", NAMES + "protectedTags"
AUTOMATION = "social.communities.setting.automation"
"""How much programs may do in moderators' names (`ozone.automation`)."""
LIMITED = frozenset(("labelsPerDay", "takedownsPerDay", "reportsPerDay"))
MOST_A_DAY = 1_000_000


class SettingFault(Exception):
    """A setting is not as it must be; the message says what is wrong, in which entry."""


def check(key: str, value: Mapping[str, Any], manager: Role) -> None:
    """Raise SettingFault unless the team may have this setting. `manager`: the role that may change it."""
    judge = _RULES.get(key)
    if judge is None:
        return
    if manager is not Role.ADMIN:
        raise SettingFault(f"{key} is for admins: managerRole must be {Role.ADMIN.token}")
    for name, entry in value.items():
        if not name.strip() or type(entry) is not dict:
            raise SettingFault(f"{name[:100]!r} must be a name with an object")
        judge(name[:100], entry)


def _policy(name: str, policy: Mapping[str, Any]) -> None:
    """`{"name", "description", "severityLevels"?: {level: {"isDefault"?, ...}}}`."""
    for field in ("name", "description"):
        if type(policy.get(field)) is not str or not policy[field].strip():
            raise SettingFault(f"policy {name!r} must have a {field}")
    levels = policy.get("severityLevels", {})
    if type(levels) is not dict or not all(type(level) is dict for level in levels.values()):
        raise SettingFault(f"policy {name!r}: severityLevels must be an object of objects")
    defaults = [level.get("isDefault", False) for level in levels.values()]
    if not all(type(default) is bool for default in defaults):
        raise SettingFault(f"policy {name!r}: isDefault must be true or false")
    if sum(defaults) > 1:
        raise SettingFault(f"policy {name!r}: only one severity level can be the default")


def _tag(name: str, tag: Mapping[str, Any]) -> None:
    """`{"roles"?: [role, ...], "moderators"?: [DID, ...]}`, one of both at least, none of them empty."""
    if "roles" not in tag and "moderators" not in tag:
        raise SettingFault(f"tag {name!r} must say which roles or moderators it is for")
    _list(name, tag, "roles", BY_TOKEN.__contains__, "roles such as " + Role.ADMIN.token)
    _list(name, tag, "moderators", is_did, "DIDs")


def _list(name: str, tag: Mapping[str, Any], field: str, good: Callable[[str], bool], what: str) -> None:
    found = tag.get(field)
    if field not in tag:
        return
    if type(found) is not list or not found or not all(type(one) is str and good(one) for one in found):
        raise SettingFault(f"tag {name!r}: {field} must be a list of {what}, and not empty")


def _tools(name: str, tools: Mapping[str, Any]) -> None:
    """`{tool: {"labelsPerDay"?, "takedownsPerDay"?, "reportsPerDay"?}}`, and it is called `tools`."""
    if name != "tools":
        raise SettingFault(f"{name!r} is unknown: the value is an object with tools")
    for tool, limits in tools.items():
        if not tool.strip() or type(limits) is not dict:
            raise SettingFault(f"tool {tool[:100]!r} must be a name with an object")
        for limit, most in limits.items():
            if limit not in LIMITED:
                raise SettingFault(f"tool {tool[:100]!r}: {limit[:100]!r} is none of {', '.join(sorted(LIMITED))}")
            if type(most) is not int or not 0 <= most <= MOST_A_DAY:
                raise SettingFault(f"tool {tool[:100]!r}: {limit} must be a whole number from 0 to {MOST_A_DAY:,}")


_RULES: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
    POLICIES: _policy,
    PROTECTED: _tag,
    AUTOMATION: _tools,
}
