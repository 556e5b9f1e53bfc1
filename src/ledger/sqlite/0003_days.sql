-- What was settled on each day of UTC (days since 1970), counted as it happens, so that no page has
-- to go through the record for it.
CREATE TABLE settled_days (
  day     INTEGER NOT NULL,
  state   TEXT NOT NULL,
  settled INTEGER NOT NULL,
  PRIMARY KEY (day, state)
) STRICT, WITHOUT ROWID;
-- Where the event's own words were erased, the request still says how it ended.
INSERT INTO settled_days (day, state, settled)
  SELECT e.at / 86400000, coalesce(json_extract(p.body, '$.as_'), r.state) AS state, count(*)
  FROM events e JOIN requests r ON r.id = e.request LEFT JOIN payloads p ON p.event = e.id
  WHERE e.kind = 'settled' GROUP BY 1, 2;
