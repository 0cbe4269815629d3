-- What the server has in its memory is one life of the data: recovery after a
-- crash, and the end of recovery on a standby, empty this table.
CREATE UNLOGGED TABLE ~.life (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	id  uuid NOT NULL DEFAULT gen_random_uuid()
);
ALTER TABLE ~.rooms
	ADD COLUMN life bigint NOT NULL DEFAULT 0, -- the one in which the room was last written to
	ADD COLUMN past text NOT NULL DEFAULT '';  -- where earlier epochs of its log ended, newest first: rev, seq, epoch

-- From version 15 on, a sequence of an unlogged table is unlogged too, and can
-- be unreadable on a standby that becomes the primary soon after it was made.
DO $do$ BEGIN IF current_setting('server_version_num')::int >= 150000 THEN ALTER SEQUENCE ~.hints_id_seq SET LOGGED; ALTER SEQUENCE ~.nodes_incarnation_seq SET LOGGED; END IF; END $do$;
