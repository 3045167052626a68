"""Why something is reported: the 47 reasons of the network, what each stands under, and what people call it. Pure.

Source: com.atproto.moderation.defs, tools.ozone.report.defs.
"""

LEGACY, OZONE = "com.atproto.moderation.defs#reason", "tools.ozone.report.defs#reason"
_GROUPS = {
    "Violence": "Animal Threats GraphicContent Glorification ExtremistContent Trafficking Other",
    "Sexual": "AbuseContent NCII Deepfake Animal Unlabeled Other",
    "ChildSafety": "CSAM Groom Privacy Harassment Other",
    "Harassment": "Troll Targeted HateSpeech Doxxing Other",
    "Misleading": "Bot Impersonation Spam Scam Elections Other",
    "Rule": "SiteSecurity ProhibitedSales BanEvasion Other",
    "SelfHarm": "Content ED Stunts Substances Other",
}
_OLDER = {
    "Violence": "Violation",
    "ChildSafety": "Violation",
    "Rule": "Violation",
    "SelfHarm": "Violation",
    "Sexual": "Sexual",
    "Harassment": "Rude",
    "Misleading": "Misleading",
}
PARENTS: dict[str, str] = {
    f"{OZONE}Other": f"{LEGACY}Other",
    f"{OZONE}Appeal": f"{LEGACY}Appeal",
    **{
        f"{OZONE}{group}{name}": f"{LEGACY}{'Spam' if group + name == 'MisleadingSpam' else _OLDER[group]}"
        for group, names in _GROUPS.items()
        for name in names.split()
    },
}
"""Of each of the newer reasons the older one that it stands under."""
APPEALS = frozenset((f"{LEGACY}Appeal", f"{OZONE}Appeal"))
REASONS = frozenset((*(LEGACY + name for name in "Spam Violation Misleading Sexual Rude Other".split()), *PARENTS)) - (
    APPEALS
)
"""Why something may be reported; appeals are something else."""


def reason_name(reason_type: str) -> str:
    """A reason for people: `harassment troll` of `...#reasonHarassmentTroll`."""
    name = reason_type.partition("#reason")[2]
    return "".join(f" {c.lower()}" if c.isupper() and not name[max(at - 1, 0)].isupper() else c.lower()
                   for at, c in enumerate(name)).strip()  # fmt: skip
