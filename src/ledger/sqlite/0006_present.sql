-- Whether the file has a request (`seen`): the revision since when it has, 0 where it has not. A row is
-- written when something of it changes, and not by each revision that goes on asking for it.
UPDATE requests SET seen = 0
  WHERE seen < coalesce((SELECT number FROM revisions WHERE status <> 'past' AND status = 'current'), 0);
