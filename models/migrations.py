"""The schema, as the ordered list of steps that made it. `PRAGMA user_version` counts the steps that a file has had.

A step is never edited once released; the next change is a new step, tested from the step before it with rows in place.
Times are integer microseconds since 1970 (UTC), booleans 0 or 1.
"""

import apsw

_FIRST = """
-- Small facts of the installation: keys, the digest of the rules, how far background work has come.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Where each event stream was read up to. A cursor belongs to one URL: it means nothing on another host.
CREATE TABLE source (
    url TEXT NOT NULL,
    kind TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    event_at INTEGER NOT NULL,
    PRIMARY KEY (url, kind)
) STRICT, WITHOUT ROWID;

-- Declared communities. `rule` is the declaration as JSON. A slug is never used again for another community.
CREATE TABLE community (
    id INTEGER PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    owner TEXT,
    rule TEXT NOT NULL,
    declared INTEGER NOT NULL
) STRICT;

-- Accounts that rows point to. `rev` is the fence: no commit at or below it is applied again. `account_seq` is the
-- stream position of the last applied #account. `purge`: its rows are to go.
CREATE TABLE actor (
    id INTEGER PRIMARY KEY,
    did TEXT NOT NULL UNIQUE,
    rev TEXT NOT NULL DEFAULT '',
    active INTEGER NOT NULL DEFAULT 1,
    status TEXT,
    account_seq INTEGER NOT NULL DEFAULT 0,
    purge INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX actor_purge ON actor (id) WHERE purge = 1;

-- Posts that belong to at least one community. `record` is the DAG-CBOR block as it stands in the repository. Ids are
-- never used again (AUTOINCREMENT), so a page cursor can never point at another post. Counts are of distinct active
-- accounts.
CREATE TABLE post (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    actor INTEGER NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    record BLOB NOT NULL,
    sort_at INTEGER NOT NULL,
    event_at INTEGER NOT NULL,
    likes INTEGER NOT NULL DEFAULT 0,
    reposts INTEGER NOT NULL DEFAULT 0,
    replies INTEGER NOT NULL DEFAULT 0,
    quotes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (actor, rkey)
) STRICT;
CREATE INDEX post_event_at ON post (event_at);

-- What a feed shows, newest first: a page is one range scan of this key, and needs no other table. `hidden`: the
-- author's account is not active. A URI that is none would make the AppView refuse the whole page, so none can be
-- stored.
CREATE TABLE feed_item (
    community INTEGER NOT NULL,
    hidden INTEGER NOT NULL,
    sort_at INTEGER NOT NULL,
    post INTEGER NOT NULL,
    uri TEXT NOT NULL CHECK (
        uri GLOB 'at://did:[a-z]*:?*[A-Za-z0-9._-]/app.bsky.feed.post/?*'
        AND NOT uri GLOB '*[^A-Za-z0-9._:%~/-]*'
        AND NOT uri GLOB 'at://*/*/*/*' AND NOT uri GLOB '*/.' AND NOT uri GLOB '*/..'
        AND length(uri) <= 1100 AND length(uri) - instr(uri, '/app.bsky.feed.post/') <= 531
    ),
    evidence TEXT NOT NULL,
    PRIMARY KEY (community, hidden, sort_at, post)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_item_post ON feed_item (post);

-- Likes (1), reposts (2), replies (3) and quotes (4) of indexed posts, one row a record.
CREATE TABLE engagement (
    actor INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rkey TEXT NOT NULL,
    post INTEGER NOT NULL,
    PRIMARY KEY (actor, kind, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX engagement_post ON engagement (post, kind, actor);

-- Posts shown first. `gone`: its author deleted it.
CREATE TABLE pin (
    community INTEGER NOT NULL,
    position INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    rkey TEXT NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (community, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX pin_post ON pin (actor, rkey);

-- Members of the lists that rules name. `read_at` is 0 until the list has been read from its owner's PDS.
CREATE TABLE list (uri TEXT PRIMARY KEY, read_at INTEGER NOT NULL DEFAULT 0, error TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE list_item (
    owner TEXT NOT NULL,
    rkey TEXT NOT NULL,
    list TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (owner, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX list_item_list ON list_item (list);

-- What viewers said of feed items (app.bsky.feed.sendInteractions); each once.
CREATE TABLE interaction (
    viewer TEXT NOT NULL,
    item TEXT NOT NULL,
    event TEXT NOT NULL,
    req_id TEXT NOT NULL,
    feed TEXT NOT NULL,
    feed_context TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (viewer, item, event, req_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX interaction_at ON interaction (at);

-- Service tokens of procedures: each is used once. `expires` is seconds since 1970.
CREATE TABLE used_token (iss TEXT NOT NULL, jti TEXT NOT NULL, expires INTEGER NOT NULL, PRIMARY KEY (iss, jti))
    STRICT, WITHOUT ROWID;
CREATE INDEX used_token_expires ON used_token (expires);

-- Events that were passed over because they could not be read or stored, as they came. Bounded; the oldest go first.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    seq INTEGER NOT NULL,
    reason TEXT NOT NULL,
    frame BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- What each process last said of itself, as JSON.
CREATE TABLE process (name TEXT PRIMARY KEY, at INTEGER NOT NULL, report TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

_REPOS = """
-- Accounts whose whole repository is followed, or has to be read once. `state`: pending, resyncing, synced,
-- desynchronized, error or unresolvable. `data`: the root of its tree at the account's rev (NULL: unknown). `why`: what
-- made it not synced, or the last failure. `tries`: failures in a row. `due_at`: not to be read before. `checked_at`:
-- when its host was last asked how it stands.
CREATE TABLE repo (
    actor INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    data BLOB,
    why TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    checked_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX repo_due ON repo (due_at) WHERE state != 'synced';
CREATE INDEX repo_checked ON repo (checked_at) WHERE state = 'synced';

-- Which stream `account_seq` is a position of: it fences events of that stream only. `purge`: 1, its rows are to go; 2,
-- they are to go if its host confirms that it is gone.
-- `allowed`: 0 when this site has taken the account down, whatever its host says. `shown`: both say that it is there.
ALTER TABLE actor ADD COLUMN allowed INTEGER NOT NULL DEFAULT 1;
ALTER TABLE actor ADD COLUMN shown INTEGER GENERATED ALWAYS AS (active AND allowed) VIRTUAL;
CREATE INDEX actor_confirm ON actor (id) WHERE purge = 2;
ALTER TABLE actor ADD COLUMN account_source TEXT NOT NULL DEFAULT '';
UPDATE actor SET account_source = coalesce((SELECT url FROM source ORDER BY event_at DESC LIMIT 1), '')
    WHERE account_seq > 0;
"""

_UNPROVEN = """
-- `split`: its last commit came operation by operation, and some of them may be missing.
ALTER TABLE actor ADD COLUMN split INTEGER NOT NULL DEFAULT 0;
UPDATE actor SET split = 1 WHERE EXISTS (SELECT 1 FROM source WHERE url NOT LIKE 'ws%');

-- `counted`: whether counts hold its likes, reposts, replies and quotes. It follows `shown`, later when there are many.
ALTER TABLE actor ADD COLUMN counted INTEGER NOT NULL DEFAULT 1;
UPDATE actor SET counted = shown;
CREATE INDEX actor_count ON actor (id) WHERE counted != shown;

-- `ahead`: it is not active by its host's word, which the stream may still be behind.
ALTER TABLE actor ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;

-- `read_at`: when its repository was last read.
ALTER TABLE repo ADD COLUMN read_at INTEGER NOT NULL DEFAULT 0;

-- What repositories held that were read ahead of the stream, until it has come as far: likes, reposts and posts that
-- may be about a post which the stream has still to bring.
CREATE TABLE late (
    actor INTEGER NOT NULL,
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    PRIMARY KEY (actor, collection, rkey)
) STRICT, WITHOUT ROWID;
"""

_TID = "234567abcdefghijklmnopqrstuvwxyz"
_BITS = " | ".join(f"((instr('{_TID}', substr(k, {n + 1}, 1)) - 1) << {60 - 5 * n})" for n in range(13))
_LAST_KEY = (
    "SELECT max(e.rkey) AS k FROM engagement e JOIN actor a ON a.id = e.actor WHERE e.post = post.id AND a.counted"
    " AND length(e.rkey) = 13 AND NOT e.rkey GLOB '*[^2-7a-z]*'"
)

_RANKING = f"""
-- `active_at`: when somebody last liked, reposted, answered or quoted it, as far as that counted; at least `sort_at`.
-- Of what is stored, the keys of the records tell (https://atproto.com/specs/tid). `video`: it is a video, and no GIF.
ALTER TABLE post ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE post ADD COLUMN video INTEGER NOT NULL DEFAULT 0;
UPDATE post SET active_at = max(sort_at, coalesce((
    SELECT min(({_BITS}) >> 10, CAST(strftime('%s', 'now') AS INTEGER) * 1000000) FROM ({_LAST_KEY})
), 0));
-- Which stored posts are videos is found out by looking at them again.
INSERT INTO meta (key, value) SELECT 'reapply_after', '0' WHERE EXISTS (SELECT 1 FROM post)
    ON CONFLICT (key) DO UPDATE SET value = '0';

-- The order of a ranked feed at a moment, as pages continue through it. `id` is that moment, and never the same again,
-- not even after a backup was put back. `posts`: their ids, eight bytes each, the least significant first.
CREATE TABLE generation (
    id INTEGER PRIMARY KEY,
    community INTEGER NOT NULL,
    sort TEXT NOT NULL,
    posts BLOB NOT NULL
) STRICT;
CREATE INDEX generation_feed ON generation (community, sort, id);
"""

_LAYER = """
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
CREATE INDEX membership_listed ON membership (community, status, role, since, actor);

-- Every change of a membership, for ever. `act`: what was done; `by`: who did it.
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

_DECISIONS = """
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

_FAMILIES = """
-- The communities that name one as their parent are found by its name; who may name it are few.
ALTER TABLE community ADD COLUMN parent TEXT GENERATED ALWAYS AS (json_extract(rule, '$.parent')) VIRTUAL;
CREATE INDEX community_parent ON community (parent, owner) WHERE parent IS NOT NULL;

-- The languages of the posts of a generation: `languages` is a JSON array of the different ones (BCP 47 primary tags,
-- by space), `marks` for each post one byte, its place in there.
ALTER TABLE generation ADD COLUMN languages TEXT NOT NULL DEFAULT '';
ALTER TABLE generation ADD COLUMN marks BLOB;
"""

STEPS: tuple[str, ...] = (_FIRST, _REPOS, _UNPROVEN, _RANKING, _LAYER, _DECISIONS, _FAMILIES)


class SchemaError(Exception):
    """The file was made by a version with another schema."""


def migrate(connection: apsw.Connection) -> int:
    """Bring the schema up to date inside the caller's transaction; returns how many steps were run.

    Raises SchemaError when the file is newer than this version.
    """
    version = _version(connection)
    if version > len(STEPS):
        raise SchemaError(f"its schema ({version}) is newer than this version's ({len(STEPS)}); update communities")
    for step in STEPS[version:]:
        connection.execute(step)
    if version < len(STEPS):
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    return len(STEPS) - version


def check(connection: apsw.Connection) -> None:
    """Raise SchemaError unless the schema is exactly this version's."""
    version = _version(connection)
    if version != len(STEPS):
        raise SchemaError(f"its schema is {version}, this version's {len(STEPS)}; run `communities ingest` to migrate")


def _version(connection: apsw.Connection) -> int:
    row = connection.execute("PRAGMA user_version").fetchone()
    return int(row[0]) if row else 0
