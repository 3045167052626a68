"""What keeps a post out of a community that one of its selectors matched, and what has to be known to look for them."""

from dataclasses import dataclass, replace

from communities.commands import is_command
from communities.community import BY_TAG, Community, Exclude, Include, Require
from communities.post import Post
from communities.text import fold_tag

UNDECLARED = "undeclared"
"""The language of a post that declares none."""

JOIN_TAG, LEAVE_TAG = "add", "remove"
"""What stands before the slug in the tags with which people join and leave communities that allow it."""


@dataclass(slots=True)
class Rule:
    """The rules of one community. `include`: its selectors; `joins`: the tags with which people join and leave;
    `calls`: the account that takes the commands `commands` of moderators, empty: none does.
    """

    include: Include
    joins: tuple[str, ...]
    exclude_tags: frozenset[str]
    exclude_replies: bool
    exclude_langs: frozenset[str]
    exclude_media: frozenset[str]
    exclude_domains: tuple[str, ...]
    exclude_dids: frozenset[str]
    require_langs: frozenset[str]
    require_media: frozenset[str]
    max_hashtags: int
    calls: str = ""
    commands: frozenset[str] = frozenset()

    @property
    def selectors(self) -> tuple[object, ...]:
        """All by which the index finds the community."""
        return self.include, self.joins, self.calls


def refusal(rule: Rule, did: str, post: Post) -> str | None:
    """Why `rule` refuses a post that one of its selectors matched, in words for people, or None."""
    if rule.calls and is_command(post, rule.calls, rule.commands):
        return "it is a command to the community's account (commands)"
    if did in rule.exclude_dids:
        return "its author is excluded (exclude.dids)"
    if not rule.exclude_tags.isdisjoint(post.tags):
        return f"it carries #{min(rule.exclude_tags & post.tags)} (exclude.hashtags)"
    if rule.exclude_replies and post.parent is not None:
        return "it is a reply (exclude.replies)"
    if rule.max_hashtags and len(post.tags) > rule.max_hashtags:
        return f"it has {len(post.tags)} hashtags, more than {rule.max_hashtags} (exclude.hashtags_over)"
    if rule.exclude_langs or rule.require_langs:
        langs = post.langs or frozenset((UNDECLARED,))
        if not rule.exclude_langs.isdisjoint(langs):
            return f"its language is {min(rule.exclude_langs & langs)} (exclude.languages)"
        if rule.require_langs and rule.require_langs.isdisjoint(langs):
            return f"its language is {', '.join(sorted(langs))} (require.languages)"
    if not rule.exclude_media.isdisjoint(post.media):
        return f"it has a {min(rule.exclude_media & post.media)} (exclude.media)"
    if rule.require_media and rule.require_media.isdisjoint(post.media):
        return f"it has no {' or '.join(sorted(rule.require_media))} (require.media)"
    hosts = post.domains if rule.exclude_domains else frozenset()
    if hosts is None:
        return "it has more links in other letters than ASCII than can be looked at (exclude.domains)"
    for host in hosts:
        for domain in rule.exclude_domains:
            if host == domain or host.endswith("." + domain):
                return f"it links to {domain} (exclude.domains)"
    return None


_NOTHING, _ANYTHING = Exclude(), Require()
_NONE: frozenset[str] = frozenset()
_UNBOUND = (_NONE, False, _NONE, _NONE, (), _NONE, _NONE, _NONE, 0)


def rule_of(community: Community) -> Rule:
    """What a community declares, in the form that posts are held against."""
    joins: tuple[str, ...] = ()
    if BY_TAG in community.join_by:
        joins = (fold_tag(JOIN_TAG + community.slug), fold_tag(LEAVE_TAG + community.slug))
    exclude, require, include = community.exclude, community.require, community.include
    if community.account is not None:
        # Whoever mentions the community's own account submits the post.
        include = replace(include, mentions=tuple(dict.fromkeys((*include.mentions, community.account))))
    taken = frozenset((*community.commands, *community.admin_commands))
    calls = community.account if community.account and taken else ""
    if exclude == _NOTHING and require == _ANYTHING:
        # Nearly all: the sets of nothing are then the same for all of them.
        return Rule(include, joins, *_UNBOUND, calls, taken or _NONE)
    return Rule(
        include=include,
        joins=joins,
        exclude_tags=frozenset(map(fold_tag, exclude.hashtags)),
        exclude_replies=exclude.replies,
        exclude_langs=frozenset(exclude.languages),
        exclude_media=frozenset(exclude.media),
        exclude_domains=exclude.domains,
        exclude_dids=frozenset(exclude.dids),
        require_langs=frozenset(require.languages),
        require_media=frozenset(require.media),
        max_hashtags=exclude.hashtags_over,
        calls=calls,
        commands=taken,
    )
