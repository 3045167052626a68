"""How an account stands by the word of its own host, however the host says it (B4)."""

from dataclasses import dataclass

GONE = {
    "RepoNotFound": "deleted",
    "RepoDeactivated": "deactivated",
    "RepoSuspended": "suspended",
    "RepoTakendown": "takendown",
}
"""Errors that are no failures."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the account is active; `status` is how not, `rev` where its repository stands, if that was said."""

    active: bool
    status: str | None = None
    rev: str = ""


DELETED = Standing(False, "deleted")
NOWHERE = Standing(False, "deactivated")
"""Nobody is named who could say."""


def by_error(status: int, error: str) -> Standing | None:
    """What an answer other than 200 says of the account; None when it says nothing."""
    how = GONE.get(error)
    return Standing(False, how) if how and status in (400, 404) else None


def by_answer(said: object) -> Standing | None:
    """What an answer of getRepoStatus says; None when it is none."""
    if not isinstance(said, dict) or type(active := said.get("active")) is not bool:
        return None
    status, rev = said.get("status"), said.get("rev")
    return Standing(active, status if type(status) is str else None, rev if type(rev) is str else "")
