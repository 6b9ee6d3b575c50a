-- The epoch of the worker's last session that ran out, instead of being closed with a goodbye: while
-- it is that of the last one, the worker is lost, and what it left in its roots lies there still.
ALTER TABLE sessions ADD COLUMN lost_epoch BIGINT NOT NULL DEFAULT 0;
