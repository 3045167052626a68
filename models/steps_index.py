"""Steps of the schema, from the first: the index of posts, accounts and their repositories."""

FIRST = """
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

REPOS = """
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

UNPROVEN = """
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

RANKING = f"""
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

LATE = """
-- What repositories said of posts that were not here when they were read: likes, reposts, replies and quotes, to be
-- counted when the post comes. `noted_at`: when it was read. What was noted before did not say what it is about: those
-- repositories are read again.
INSERT INTO repo (actor, state, why)
    SELECT DISTINCT actor, 'desynchronized', 'it was read ahead of the stream' FROM late WHERE true
    ON CONFLICT (actor) DO UPDATE SET state = excluded.state, why = excluded.why, data = NULL, due_at = 0
    WHERE state = 'synced';
DROP TABLE late;
CREATE TABLE late (
    actor INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rkey TEXT NOT NULL,
    subject TEXT NOT NULL,
    noted_at INTEGER NOT NULL,
    PRIMARY KEY (actor, kind, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX late_subject ON late (subject);
CREATE INDEX late_noted_at ON late (noted_at);

-- Accounts that their hosts alone have called inactive are asked for again and again.
CREATE INDEX actor_ahead ON actor (id) WHERE ahead = 1;
"""
