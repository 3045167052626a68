"""Steps of the schema: records of communities tell their authors why they have no effect."""

REFUSED = """
-- `why`: the newest version of the record is refused for what it says, by the name `fault`, and this is the reason, for
-- people. Then `record`, of a community, is still the last version that could be read; where there is none, and of
-- other records, it is the JSON null. `cid` is of the newest version.
ALTER TABLE declaration ADD COLUMN why TEXT;

-- An account is shown its records of communities as they stand, the newest first.
CREATE INDEX declaration_listed ON declaration (actor, at, rkey, collection) WHERE gone = 0 AND collection IN (
    'social.communities.community', 'social.communities.membership', 'social.communities.role',
    'social.communities.submission');
"""
