-- What webhooks are told: written before it is sent, tried until it is taken, and kept for a while so
-- that nothing is told twice. A name is the same for the same thing.
CREATE TABLE notices (
  id           INTEGER PRIMARY KEY,
  webhook      TEXT NOT NULL,
  name         TEXT NOT NULL,
  at           INTEGER NOT NULL,
  notice       TEXT NOT NULL,
  tries        INTEGER NOT NULL DEFAULT 0,
  next_at      INTEGER NOT NULL,
  delivered_at INTEGER,
  UNIQUE (webhook, name)
) STRICT;
CREATE INDEX notices_waiting ON notices (webhook, next_at) WHERE delivered_at IS NULL;
CREATE INDEX notices_delivered ON notices (delivered_at) WHERE delivered_at IS NOT NULL;
-- People are told of what happens from now on.
INSERT INTO meta (key, value) SELECT 'told_up_to', coalesce(max(id), 0) FROM events;
