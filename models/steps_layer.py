"""Steps of the schema: communities as a layer on the protocol, memberships and decisions."""

LAYER = """
-- Communities, memberships, roles and submissions are records in people's repositories (collection
-- social.communities.*), together with follows and blocks of and by accounts of communities. `about`: at-uri of the
-- community, or empty. `subject`: the account or post that it is about. `gone`: a submission that was deleted, which
-- is a withdrawal. `fault`: the named reason for which it has no effect.
CREATE TABLE declaration (
    actor INTEGER NOT NULL,
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    about TEXT NOT NULL,
    subject TEXT NOT NULL,
    record TEXT NOT NULL,
    at INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0,
    fault TEXT,
    PRIMARY KEY (actor, collection, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX declaration_about ON declaration (about, collection);
CREATE INDEX declaration_subject ON declaration (subject, collection);
CREATE INDEX declaration_community ON declaration (at, rkey) WHERE collection = 'social.communities.community';

-- `uri`: at-uri of the record that declares it; NULL: the file does. `created_at`: when it was first seen here.
ALTER TABLE community ADD COLUMN uri TEXT;
ALTER TABLE community ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX community_uri ON community (uri) WHERE uri IS NOT NULL;
UPDATE community SET created_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000000;
CREATE INDEX community_newest ON community (created_at);

-- How somebody stands to a community: requested, invited, member or banned. `role`: 1 member, 2 moderator, 3 admin;
-- `scope`: parts of a moderator's work, by space, `*` for all. `until`: when the ban or the role ends. `since`: when
-- the status began. `via`: how (record, xrpc, tag, follow, invitation); `rkey`: of that record, `granted`: of the one
-- that gave the role. `volume`: 1 to 5, how much of it the member's feed of everything shows.
CREATE TABLE membership (
    community INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('requested', 'invited', 'member', 'banned')),
    role INTEGER NOT NULL DEFAULT 1,
    scope TEXT NOT NULL DEFAULT '*',
    until INTEGER,
    since INTEGER NOT NULL,
    via TEXT NOT NULL,
    rkey TEXT NOT NULL DEFAULT '',
    granted TEXT NOT NULL DEFAULT '',
    volume INTEGER NOT NULL DEFAULT 3,
    PRIMARY KEY (community, actor)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_actor ON membership (actor);
CREATE INDEX membership_roles ON membership (role) WHERE role > 1;
CREATE INDEX membership_until ON membership (until) WHERE until IS NOT NULL;
CREATE INDEX membership_listed ON membership (community, status, role, since, actor);

-- Every change of a membership; of what an account did itself, its last ones. `act`: what was done; `by`: who did it.
CREATE TABLE membership_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    act TEXT NOT NULL,
    by TEXT NOT NULL,
    status TEXT,
    role INTEGER,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX membership_event_actor ON membership_event (actor);

-- The decision in force on a post in a community: approved or removed, in the version `cid`. `decision`: its number in
-- the log. It stands whether or not the post is indexed.
CREATE TABLE decided (
    community INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'removed')),
    decision INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (community, actor, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX decided_post ON decided (actor, rkey);
CREATE INDEX decided_at ON decided (at);

-- `feed_item.hidden` says now all that keeps a post out of sight, added up: 1 its author's account is not shown, 2 it
-- waits for approval, 4 it was removed, 8 its author is banned. The queue of a community is the range of 2.

-- `moderator`: pinned by a moderator, not by the declaration.
ALTER TABLE pin ADD COLUMN moderator INTEGER NOT NULL DEFAULT 0;

-- How many members and posts a community has, kept by the triggers below. `last_post_at`: of what is shown.
CREATE TABLE community_count (
    community INTEGER PRIMARY KEY,
    members INTEGER NOT NULL DEFAULT 0,
    posts INTEGER NOT NULL DEFAULT 0,
    last_post_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX community_count_members ON community_count (members);
CREATE INDEX community_count_posts ON community_count (posts);
CREATE INDEX community_count_recent ON community_count (last_post_at);
INSERT INTO community_count (community, posts, last_post_at)
    SELECT c.id, count(i.post), coalesce(max(i.sort_at), 0)
    FROM community c LEFT JOIN feed_item i ON i.community = c.id AND i.hidden = 0 GROUP BY c.id;
CREATE TRIGGER community_counted AFTER INSERT ON community BEGIN
    INSERT INTO community_count (community) VALUES (new.id) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER item_comes AFTER INSERT ON feed_item WHEN new.hidden = 0 BEGIN
    UPDATE community_count SET posts = posts + 1, last_post_at = max(last_post_at, new.sort_at)
        WHERE community = new.community;
END;
CREATE TRIGGER item_goes AFTER DELETE ON feed_item WHEN old.hidden = 0 BEGIN
    UPDATE community_count SET posts = posts - 1, last_post_at = coalesce((SELECT max(sort_at) FROM feed_item
        WHERE community = old.community AND hidden = 0), 0) WHERE community = old.community;
END;
CREATE TRIGGER item_moves AFTER UPDATE OF hidden ON feed_item WHEN (new.hidden = 0) != (old.hidden = 0) BEGIN
    UPDATE community_count SET posts = posts + (new.hidden = 0) - (old.hidden = 0), last_post_at = coalesce((SELECT
        max(sort_at) FROM feed_item WHERE community = new.community AND hidden = 0), 0) WHERE community = new.community;
END;
CREATE TRIGGER member_comes AFTER INSERT ON membership WHEN new.status = 'member' BEGIN
    UPDATE community_count SET members = members + 1 WHERE community = new.community;
END;
CREATE TRIGGER member_goes AFTER DELETE ON membership WHEN old.status = 'member' BEGIN
    UPDATE community_count SET members = members - 1 WHERE community = old.community;
END;
CREATE TRIGGER member_changes AFTER UPDATE OF status ON membership
    WHEN (new.status = 'member') != (old.status = 'member') BEGIN
    UPDATE community_count SET members = members + (new.status = 'member') - (old.status = 'member')
        WHERE community = new.community;
END;
"""

DECISIONS = """
-- The log of what was decided for communities (communities/log.py): appended to, and never changed. `actor`: a DID.
-- `salts`: of the fields that the public log may hide, 16 bytes each, in their order. `hash` is `prev` of the next one.
CREATE TABLE decision (
    community INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL CHECK (at BETWEEN 0 AND 253402300799999999),
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT,
    cid TEXT,
    reason TEXT,
    rule TEXT,
    until INTEGER CHECK (until BETWEEN 0 AND 253402300799999999),
    salts BLOB NOT NULL CHECK (length(salts) = 96),
    prev BLOB NOT NULL CHECK (length(prev) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (community, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_subject ON decision (community, subject);
CREATE TRIGGER decision_update BEFORE UPDATE ON decision
    BEGIN SELECT raise(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER decision_delete BEFORE DELETE ON decision
    BEGIN SELECT raise(ABORT, 'a decision is never deleted'); END;
-- It also keeps REPLACE out, which deletes what stands in its way without calling the trigger of that.
CREATE TRIGGER decision_insert BEFORE INSERT ON decision
    WHEN NEW.seq != 1 + coalesce((SELECT max(seq) FROM decision WHERE community = NEW.community), 0)
    OR NEW.prev != (SELECT hash FROM decision WHERE community = NEW.community AND seq = NEW.seq - 1)
    BEGIN SELECT raise(ABORT, 'a decision follows the last one'); END;
"""

FAMILIES = """
-- The communities that name one as their parent are found by its name; who may name it are few.
ALTER TABLE community ADD COLUMN parent TEXT GENERATED ALWAYS AS (json_extract(rule, '$.parent')) VIRTUAL;
CREATE INDEX community_parent ON community (parent, owner) WHERE parent IS NOT NULL;
-- Those of the file are few, among many.
CREATE INDEX community_of_file ON community (id) WHERE uri IS NULL AND declared = 1;

-- The languages of the posts of a generation: `languages` is a JSON array of the different ones (BCP 47 primary tags,
-- by space), `marks` for each post one byte, its place in there.
ALTER TABLE generation ADD COLUMN languages TEXT NOT NULL DEFAULT '';
ALTER TABLE generation ADD COLUMN marks BLOB;
"""

REVISED = """
-- `revised` rises with every change of a community: whoever keeps what follows from them reads those that are above
-- what it has seen.
ALTER TABLE community ADD COLUMN revised INTEGER NOT NULL DEFAULT 0;
UPDATE community SET revised = id;
CREATE INDEX community_revised ON community (revised);
CREATE TRIGGER community_comes AFTER INSERT ON community BEGIN
    UPDATE community SET revised = 1 + (SELECT max(revised) FROM community) WHERE id = new.id;
END;
CREATE TRIGGER community_changes AFTER UPDATE OF slug, name, owner, rule, declared, uri ON community BEGIN
    UPDATE community SET revised = 1 + (SELECT max(revised) FROM community) WHERE id = new.id;
END;

-- The communities of an account of their own are found by it.
ALTER TABLE community ADD COLUMN account TEXT GENERATED ALWAYS AS (json_extract(rule, '$.account')) VIRTUAL;
CREATE INDEX community_account ON community (account) WHERE account IS NOT NULL;

-- Communities whose rules are others than those that the stored posts were held against. `after`: the last post that
-- was; NULL: the look at the posts has not begun.
CREATE TABLE reapply (
    community INTEGER PRIMARY KEY,
    after INTEGER
) STRICT;
"""
