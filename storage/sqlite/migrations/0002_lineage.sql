-- A life of the data is what happens while one program has the file open.
-- Before the next one, the file may have become another.
ALTER TABLE rooms ADD COLUMN life TEXT NOT NULL DEFAULT ''; -- the one in which the room was last written to
ALTER TABLE rooms ADD COLUMN past TEXT NOT NULL DEFAULT ''; -- where earlier epochs ended, newest first: rev, seq, epoch

-- It was part of every epoch; state is not used any more.
UPDATE rooms SET epoch = epoch || '.' || (SELECT generation FROM state) WHERE (SELECT generation FROM state) > 0;
