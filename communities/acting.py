"""As what somebody decides, for the log of decisions. Pure."""

from dataclasses import replace

from communities.access import Action, Role, Site, Standing, may_decide
from communities.directory import Settings
from communities.log import Acting


def acting_as(action: Action, settings: Settings, did: str, who: Standing) -> Acting:
    """As what an account that may take a decision takes it: by its role in the community first, then by one above it,
    then for the site.
    """
    if settings.owner == did:
        return Acting.OWNER
    if may_decide(action, replace(who, above=False, site=Site.NOBODY)):
        return Acting.ADMIN if who.role is Role.ADMIN else Acting.MODERATOR
    return Acting.ADMIN if who.above else Acting.SITE
