"""As what somebody decides, for the log of decisions. Pure."""

from dataclasses import replace

from communities.access import Action, Role, Site, Standing, may_decide
from communities.directory import Settings
from communities.log import Acting


def acting_as(action: Action, settings: Settings, did: str, who: Standing) -> Acting:
    """As what an account that may take a decision takes it: by the nearest of the roles that allow it."""
    if settings.owner == did:
        return Acting.OWNER
    if who.above or (who.joined and who.role is Role.ADMIN):
        return Acting.ADMIN
    # Who has no role for the site decides by the one here, also what moderators may do to themselves alone.
    if who.moderates and (who.site is Site.NOBODY or may_decide(action, replace(who, site=Site.NOBODY))):
        return Acting.MODERATOR
    return Acting.SITE
