-- The highest fence that was granted, and the attempt that was accepted last, as JSON: its late news
-- count while newer grants come back unaccepted.
ALTER TABLE jobs ADD COLUMN granted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN accepted TEXT;
UPDATE jobs SET granted = fence;
UPDATE jobs SET accepted = json_object(
    'holder', json_object('worker', holder, 'incarnation', holder_incarnation), 'fence', fence
) WHERE state IN ('running', 'publishing');
