-- Ends of periods: what was to be done before an instant and was not is found without a scan.
ALTER TABLE requests ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
CREATE INDEX requests_deadline ON requests (provider, deadline_at)
  WHERE deadline_at IS NOT NULL AND lane IS NOT NULL;
-- Other terms are no retry of what was tried on those before: they wait for a tick.
UPDATE requests SET standing = json_set(standing, '$.phase', 'waiting'), lane = 0,
    state = CASE state WHEN 'retrying' THEN 'scheduled' ELSE state END
  WHERE lane = 1 AND json_extract(standing, '$.phase') = 'retrying'
    AND (SELECT kind FROM events WHERE request = requests.id
           AND kind IN ('proven_not_done', 'replanned', 'revived') ORDER BY id DESC LIMIT 1)
      IN ('replanned', 'revived');
-- What the first version held because it could not end it at a period's end is looked at anew.
UPDATE requests SET wake_at = changed_at
  WHERE lane = 0 AND due_at IS NULL AND wake_at IS NULL
    AND holds IN (',no_safe_window,', ',no_safe_window,approval,');
-- What has no time yet can only be looked at, which waits for no tick.
UPDATE requests SET lane = 1 WHERE lane = 0 AND due_at IS NULL;

-- Windows that were missed: counted over all time, at every start.
CREATE INDEX events_missed ON events (request) WHERE kind = 'window_missed';

-- What waited for an approval, as each digest that a plan printed names it.
CREATE TABLE waiting (
  digest  TEXT NOT NULL,
  request INTEGER NOT NULL REFERENCES requests (id),
  terms   TEXT NOT NULL,            -- the digest of the terms on which it waited
  place   INTEGER NOT NULL,         -- its place among them
  freed   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (digest, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_request ON waiting (request);
CREATE TABLE plans (
  digest   TEXT PRIMARY KEY,
  file     TEXT NOT NULL,
  what     TEXT NOT NULL CHECK (what IN ('approval', 'removal')),
  items    INTEGER NOT NULL,
  revision INTEGER NOT NULL         -- since which they wait
) STRICT, WITHOUT ROWID;

-- The plan that it was approved with, where that has a limit of its own.
ALTER TABLE attempts ADD COLUMN plan TEXT;
