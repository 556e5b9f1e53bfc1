-- Times are milliseconds since 1970 in UTC. Text in JSON is written by the program alone.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Revisions as they were accepted, with their text.
CREATE TABLE revisions (
  number      INTEGER PRIMARY KEY,
  digest      TEXT NOT NULL,
  commit_id   TEXT,
  accepted_at INTEGER NOT NULL,
  verdict     TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('accepting', 'current', 'past')),
  files       TEXT NOT NULL        -- last, since it is large and nothing else hides behind it
) STRICT;
-- Used where a query says `status <> 'past'` in these words.
CREATE UNIQUE INDEX one_current ON revisions (status) WHERE status <> 'past';

-- One row per request; `state`, `lane` and `holds` are read off `standing`, which is the fold
-- over the events.
CREATE TABLE requests (
  id           INTEGER PRIMARY KEY,
  version      INTEGER NOT NULL,
  provider     TEXT NOT NULL,
  subscription TEXT NOT NULL,
  again        INTEGER NOT NULL,
  accepted_as  TEXT NOT NULL,       -- the provider's name at first, over which the chain is hashed
  kind         TEXT NOT NULL,
  state        TEXT NOT NULL,
  lane         INTEGER,             -- 0 waits for a tick, 1 wakes by itself, null: closed
  standing     TEXT NOT NULL,
  holds        TEXT NOT NULL,       -- '' or ',reason,reason,'
  terms        TEXT NOT NULL,
  terms_digest TEXT NOT NULL,
  late         TEXT,                -- newer terms that came after the send
  file         TEXT NOT NULL,
  line         INTEGER NOT NULL,
  last_line    INTEGER NOT NULL,
  revision     TEXT NOT NULL,
  seen         INTEGER NOT NULL,    -- the last revision that has it
  due_at       INTEGER,
  deadline_at  INTEGER,
  wake_at      INTEGER,
  look         TEXT,
  doubt        TEXT,
  held_since   INTEGER,
  hold_details TEXT NOT NULL,
  idle_looks   INTEGER NOT NULL,
  note         TEXT,
  created_at   INTEGER NOT NULL,
  changed_at   INTEGER NOT NULL,
  chain        BLOB NOT NULL,       -- the hash of its newest event
  UNIQUE (provider, subscription, again)
) STRICT;
CREATE INDEX requests_wake ON requests (provider, lane, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX requests_state ON requests (provider, state, due_at);
CREATE INDEX requests_holds ON requests (provider, holds) WHERE holds <> '';
CREATE INDEX requests_open ON requests (seen) WHERE lane IS NOT NULL;

-- Requests in flight whose lines a broken file lacks: held as soon as nothing is in flight.
CREATE TABLE stale (request INTEGER PRIMARY KEY REFERENCES requests (id)) STRICT;

-- One row per intent. At most one is open per subscription, whoever asks.
CREATE TABLE attempts (
  id           INTEGER PRIMARY KEY,
  request      INTEGER NOT NULL REFERENCES requests (id),
  provider     TEXT NOT NULL,
  subscription TEXT NOT NULL,
  number       INTEGER NOT NULL,
  intended_at  INTEGER NOT NULL,
  send_before  INTEGER NOT NULL,
  outcome      TEXT,
  answered_at  INTEGER,
  open         INTEGER NOT NULL,
  UNIQUE (request, number)
) STRICT;
CREATE UNIQUE INDEX one_open_attempt ON attempts (provider, subscription) WHERE open = 1;
CREATE INDEX attempts_time ON attempts (intended_at);
CREATE INDEX attempts_outcome ON attempts (provider, outcome);

-- The record. Payloads stand apart, so that one can be erased without breaking the chain.
CREATE TABLE events (
  id      INTEGER PRIMARY KEY,
  request INTEGER NOT NULL REFERENCES requests (id),
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  digest  BLOB NOT NULL,
  hash    BLOB NOT NULL,
  block   INTEGER NOT NULL
) STRICT;
CREATE INDEX events_request ON events (request, id);
CREATE TABLE payloads (
  event INTEGER PRIMARY KEY REFERENCES events (id),
  salt  BLOB NOT NULL,
  body  TEXT NOT NULL
) STRICT;
CREATE TABLE blocks (
  number INTEGER PRIMARY KEY,
  hash   BLOB NOT NULL
) STRICT;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;

CREATE TABLE providers (
  name    TEXT PRIMARY KEY,
  kind    TEXT,
  account TEXT,
  memory  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pauses (
  provider TEXT PRIMARY KEY,       -- '*' is everything
  since    INTEGER NOT NULL,
  by_whom  TEXT NOT NULL,
  reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Providers that go on under another name.
CREATE TABLE renames (
  id       INTEGER PRIMARY KEY,
  old_name TEXT NOT NULL,
  new_name TEXT NOT NULL
) STRICT;

-- What people ask of the daemon. Anybody who may write the file appends; the daemon applies.
CREATE TABLE inbox (
  id         INTEGER PRIMARY KEY,
  at         INTEGER NOT NULL,
  by_whom    TEXT NOT NULL,
  reason     TEXT NOT NULL,
  command    TEXT NOT NULL,
  applied_at INTEGER
) STRICT;
CREATE INDEX inbox_waiting ON inbox (id) WHERE applied_at IS NULL;
