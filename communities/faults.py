"""Why records of communities have no effect, by name, and what their authors are told of it. Pure.

A record is *refused* for what it says itself: then a reason is kept with the name (`reason`). Every other fault is of
what stands around it, and may end by itself.
"""

MOST_WHY = 300
"""Characters of a reason."""

INVALID, NOT_AVAILABLE, TOO_LARGE = "InvalidRecord", "TypeNotAvailable", "TooLarge"
TYPE_CHANGED_WHY = "the type of a community never changes"
NOT_HERE, PASSED_ON, REMOVED, EXPIRED = "CommunityNotFound", "PassedOn", "Removed", "Expired"
NOT_MEMBER, BANNED, SUPERSEDED = "NotMember", "Banned", "Superseded"

_AGAIN = "put that right and write the record again"
REMEDIES = {
    INVALID: _AGAIN,
    "InvalidSlug": "write the record under a key that is a slug",
    "ReservedSlug": "write the record under another key",
    NOT_AVAILABLE: "write the record again with the type open",
    "TypeChanged": "write the record again with the type that it had, or found another community",
    TOO_LARGE: "leave some out and write the record again",
    "InvalidCommunity": _AGAIN,
    "NotTheOwner": "delete this record, and let the owner write it",
    "UnknownRole": "write the record again with the role moderator or admin",
    "NotYourPost": "delete this record, and let the post's author submit it",
}
"""What to do about each name by which a record is refused."""
SENTENCES = {
    # Of communities.
    "FounderNotAllowed": "The operator of this service chooses whose communities it shows, and yours are not among"
    " them: ask the operator.",
    "SlugTaken": "Another community here has this slug, or had it: write the record under another key.",
    "TypeChanged": "The type of a community never changes: write the record again with the type that it had, or found"
    " another community.",
    "TooMany": "You own as many communities here as one account may: end one, and write this record again.",
    PASSED_ON: "The community has passed to its successor: leave this record in place, so that whoever names it is"
    " still understood.",
    # Of communities whose parent does not count.
    "UnknownParent": "There is no such community here as its parent names, so it stands alone: name one by the at-uri"
    " of its record, with its owner's DID.",
    "ParentCycle": "It would be part of itself by way of its parents, so it stands alone: name another parent.",
    "MoreVisible": "It is more visible than its parent, so it stands alone: name a parent that is as visible.",
    "TooDeep": "Too many communities would stand above it, so it stands alone: name a parent further up.",
    "NotParentAdmin": "You are no admin of its parent, nor of any above that, so it stands alone: have an admin there"
    " make you one.",
    # Of whatever names a community.
    NOT_HERE: "There is no community here of the record that this one names: see that the at-uri is right; once there"
    " is one, this record counts.",
    # Of memberships.
    "InviteOnly": "This community is not joined by a record: join in a way that it names in joinBy, or ask a moderator"
    " to invite you.",
    BANNED: "You are banned from this community: ask its moderators, and write this record again when the ban has"
    " ended.",
    "Archived": "The community is archived and takes nobody in: write this record again if it is opened.",
    "AlreadyRequested": "You have asked to join already: wait for a moderator.",
    "AlreadyInvited": "You are invited already: accept the invitation.",
    "AlreadyMember": "You are a member already: delete this record, which changes nothing.",
    "NotInvited": "You are not invited to this community: ask a moderator to invite you.",
    "Left": "You have left this community since: delete this record, or write it again to join once more.",
    REMOVED: "A moderator has taken you out, or declined your request: write this record again to ask once more.",
    # Of roles.
    SUPERSEDED: "Something else was decided about this account's role since: write this record again if it is to"
    " count.",
    NOT_MEMBER: "The account is no member of the community: this record counts once it has joined.",
    EXPIRED: "The role has ended, as its expiresAt says: write this record again with a later one, or delete it.",
}
"""What authors are told of each other fault: one sentence that says what is wrong and what to do."""
_GOES_ON = "; until then the community is as the last version that could be read has it"


def reason(text: str) -> str:
    """A reason as it is kept: at most MOST_WHY characters, none of which controls anything."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[:MOST_WHY])


def message(name: str, why: str | None, *, goes_on: bool = False) -> str:
    """What the author of a record is told. `why`: of one that is refused; `goes_on`: whether its community is there,
    as an earlier version of the record declares it.
    """
    if why is None:
        return SENTENCES.get(name, "It has no effect here: ask the operator of this service, and name this fault.")
    return f"It is refused: {why}; {REMEDIES.get(name, _AGAIN)}{_GOES_ON if goes_on else ''}."
