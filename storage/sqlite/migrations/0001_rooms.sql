-- Times are Unix milliseconds. See them with datetime(created_at / 1000, 'unixepoch').

-- A room and its settings.
CREATE TABLE rooms (
	pk         INTEGER PRIMARY KEY AUTOINCREMENT,
	key        TEXT    NOT NULL UNIQUE, -- tenant and id
	epoch      TEXT    NOT NULL, -- id of the log
	rev        INTEGER NOT NULL, -- the position of the last change to what follows
	id         TEXT    NOT NULL,
	kind       TEXT    NOT NULL,
	title      TEXT    NOT NULL,
	topic      TEXT    NOT NULL,
	avatar     TEXT    NOT NULL,
	peers      TEXT, -- a JSON array of user ids
	meta       TEXT, -- JSON
	created_by TEXT    NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

-- The end of each room's log, apart because it changes with every message.
CREATE TABLE heads (
	room  INTEGER PRIMARY KEY, -- rooms.pk
	rev   INTEGER NOT NULL, -- the highest position handed out
	seq   INTEGER NOT NULL, -- the highest place handed out
	floor INTEGER NOT NULL  -- the highest first_rev that retention has trimmed
) STRICT;

CREATE TABLE messages (
	room        INTEGER NOT NULL, -- rooms.pk
	seq         INTEGER NOT NULL,
	rev         INTEGER NOT NULL,
	first_rev   INTEGER NOT NULL,
	id          TEXT    NOT NULL,
	user        TEXT    NOT NULL,
	kind        TEXT    NOT NULL,
	content     TEXT    NOT NULL,
	nonce       TEXT,
	nonce_key   BLOB, -- a hash of user and nonce, which outlives them
	created_at  INTEGER NOT NULL,
	edited_at   INTEGER,
	deleted_at  INTEGER,
	reply_to    TEXT,
	thread      TEXT,
	mentions    TEXT, -- a JSON array of user ids
	attachments TEXT, -- a JSON array of objects, the meta of each a string of JSON
	meta        TEXT, -- JSON
	PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX messages_rev ON messages (room, rev);
CREATE UNIQUE INDEX messages_id ON messages (room, id);
CREATE UNIQUE INDEX messages_nonce ON messages (room, nonce_key) WHERE nonce_key IS NOT NULL;

-- What is left of trimmed messages for as long as their nonces must be known.
CREATE TABLE trimmed (
	room       INTEGER NOT NULL,
	nonce_key  BLOB    NOT NULL,
	seq        INTEGER NOT NULL,
	first_rev  INTEGER NOT NULL,
	id         TEXT    NOT NULL,
	kind       TEXT    NOT NULL,
	created_at INTEGER NOT NULL,
	trimmed_at INTEGER NOT NULL,
	PRIMARY KEY (room, nonce_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX trimmed_at ON trimmed (trimmed_at);

-- Rooms that have been removed and whose messages go by and by.
CREATE TABLE removed (
	room INTEGER PRIMARY KEY
) STRICT;

-- How the last program that had the file open has left it.
CREATE TABLE state (
	clean       INTEGER NOT NULL, -- 1: it was closed
	synchronous TEXT    NOT NULL, -- if not: full or normal
	generation  INTEGER NOT NULL  -- how often that may have cost something: part of every epoch
) STRICT;

INSERT INTO state (clean, synchronous, generation) VALUES (1, 'full', 0);
