"""Step 25: what a moderator's role is limited to besides its scope."""

LIMITS = """
-- `limits`: JSON of `labels`, `collections` and `reasons`, each a list of what is theirs; what is left out is not
-- limited.
ALTER TABLE membership ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
"""
