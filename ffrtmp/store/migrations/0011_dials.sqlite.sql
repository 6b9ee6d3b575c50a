-- Which stream of the incarnation said hello last, and which incarnation ended before it: a hello that
-- was on its way for long lists what was true before, and must not count when it is read at last.
ALTER TABLE sessions ADD COLUMN dial INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN previous TEXT NOT NULL DEFAULT '';
