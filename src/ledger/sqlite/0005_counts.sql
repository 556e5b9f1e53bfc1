-- Counts, kept by the database itself as rows change, so that nobody who asks how things stand has to
-- go through a million of them. Days are days of UTC since 1970; -1 where there is none. What is
-- finished counts no days any more, but whether it had a deadline (0).
CREATE TABLE counts (
  provider TEXT NOT NULL,
  state    TEXT NOT NULL,
  holds    TEXT NOT NULL,
  looked   INTEGER NOT NULL,
  due      INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  PRIMARY KEY (provider, state, holds, looked, due, deadline)
) STRICT, WITHOUT ROWID;

-- What a row counts as.
ALTER TABLE requests ADD COLUMN looked INTEGER NOT NULL AS (look IS NOT NULL) VIRTUAL;
ALTER TABLE requests ADD COLUMN due_day INTEGER NOT NULL
  AS (CASE WHEN lane IS NULL OR due_at IS NULL THEN -1 ELSE due_at / 86400000 END) VIRTUAL;
ALTER TABLE requests ADD COLUMN deadline_day INTEGER NOT NULL
  AS (CASE WHEN deadline_at IS NULL THEN -1 WHEN lane IS NULL THEN 0 ELSE deadline_at / 86400000 END) VIRTUAL;

INSERT INTO counts
  SELECT provider, state, holds, looked, due_day, deadline_day, count(*) FROM requests GROUP BY 1, 2, 3, 4, 5, 6;

CREATE TRIGGER requests_counted AFTER INSERT ON requests BEGIN
  INSERT INTO counts
    VALUES (new.provider, new.state, new.holds, new.looked, new.due_day, new.deadline_day, 1)
    ON CONFLICT DO UPDATE SET requests = requests + 1;
END;
CREATE TRIGGER requests_recounted AFTER UPDATE ON requests
  WHEN (old.provider, old.state, old.holds, old.looked, old.due_day, old.deadline_day)
    IS NOT (new.provider, new.state, new.holds, new.looked, new.due_day, new.deadline_day)
BEGIN
  UPDATE counts SET requests = requests - 1
    WHERE provider = old.provider AND state = old.state AND holds = old.holds
      AND looked = old.looked AND due = old.due_day AND deadline = old.deadline_day;
  DELETE FROM counts
    WHERE provider = old.provider AND state = old.state AND holds = old.holds
      AND looked = old.looked AND due = old.due_day AND deadline = old.deadline_day AND requests = 0;
  INSERT INTO counts
    VALUES (new.provider, new.state, new.holds, new.looked, new.due_day, new.deadline_day, 1)
    ON CONFLICT DO UPDATE SET requests = requests + 1;
END;

-- Answers to attempts, over all time.
CREATE TABLE answers (
  provider TEXT NOT NULL,
  outcome  TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  PRIMARY KEY (provider, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO answers
  SELECT provider, outcome, count(*) FROM attempts WHERE outcome IS NOT NULL GROUP BY 1, 2;
CREATE TRIGGER attempts_counted AFTER UPDATE ON attempts
  WHEN (old.provider, old.outcome) IS NOT (new.provider, new.outcome)
BEGIN
  UPDATE answers SET attempts = attempts - 1 WHERE provider = old.provider AND outcome = old.outcome;
  INSERT INTO answers SELECT new.provider, new.outcome, 1 WHERE new.outcome IS NOT NULL
    ON CONFLICT DO UPDATE SET attempts = attempts + 1;
END;
DROP INDEX attempts_outcome;

-- What is first in time, and what of one day was read and is due by now, is read off an index alone.
DROP INDEX requests_state;
CREATE INDEX requests_state ON requests (provider, state, looked, due_at);
-- Lists of one state, and of one set of holds, go on where they stopped.
CREATE INDEX requests_listed ON requests (state);
DROP INDEX requests_holds;
CREATE INDEX requests_held ON requests (holds) WHERE holds <> '';
-- Since when somebody waits for an approval.
CREATE INDEX requests_approval ON requests (held_since)
  WHERE lane IS NOT NULL AND instr(holds, ',approval,');
-- What the limits of writes have left of an hour and a day.
DROP INDEX attempts_time;
CREATE INDEX attempts_time ON attempts (intended_at, outcome, provider, plan);
