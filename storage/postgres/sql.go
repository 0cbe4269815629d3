package postgres

// Statements have a tilde where the schema goes, see Store.q. The server plans
// each once per connection.

const roomColumns = `r.id, r.key, r.epoch, r.rev, r.seq, r.base, r.floor, r.room, r.kind, r.title, r.topic, r.avatar,
	r.peers, r.meta, r.created_by, r.created_at, r.info_rev, r.past`

const messageColumns = `m.seq, m.rev, m.first_rev, m.created_at, m.edited_at, m.deleted_at, m.id, m.user_id, m.kind,
	m.nonce, m.content, m.reply_to, m.thread, m.mentions, m.attachments, m.meta`

// newMessages are rows of whole messages, see messageRows.
const newMessages = `unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
	$7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
	$16::text[], $17::text[], $18::bytea[]) AS x(room_id, seq, rev, first_rev, created_at, edited_at, deleted_at, id, user_id,
	kind, nonce, content, reply_to, thread, mentions, attachments, meta, nonce_hash)`

const (
	// Every statement of a batch looks up rows by whole keys. The planner, which
	// may know nothing of tables that have just been filled, must not read all
	// of them, nor plan anew each time.
	sqlBounds = `SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true),
			set_config('idle_in_transaction_session_timeout', $2, true), set_config('plan_cache_mode', 'force_generic_plan', true),
			set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
			set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`
	// Commits with a NOTIFY go one after the other. That queue is no locked room.
	sqlPatient = `SELECT set_config('lock_timeout', '0', true)`

	// The life of the data, null where it has no name yet: that of what the
	// server has in its memory since its start and its last crash, and in it of
	// this row and of the file that holds the rooms, which a dump that is put
	// back, or a copy of the database, does not have. $1 is the table of rooms.
	sqlLife = `(SELECT hashtextextended(concat_ws(' ', l.id, l.xmin, pg_relation_filepath(to_regclass($1)),
			(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint), 0) FROM ~.life l WHERE l.one)`
	sqlNameLife = `INSERT INTO ~.life (one) VALUES (true) ON CONFLICT DO NOTHING`

	sqlLock    = `SELECT ` + roomColumns + `, r.life, ` + sqlLife + ` FROM ~.rooms r WHERE r.key = ANY($2::text[]) ORDER BY r.key FOR NO KEY UPDATE`
	sqlAdvance = `UPDATE ~.rooms r SET rev = r.rev + x.revs, seq = r.seq + x.seqs
			FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS x(key, revs, seqs) WHERE r.key = x.key
			RETURNING r.id, r.key, r.epoch, r.rev, r.seq, r.rev - x.revs, r.seq - x.seqs, r.base, r.room, r.life IS DISTINCT FROM ` + sqlLife
	sqlThere    = `SELECT r.key FROM ~.rooms r WHERE r.key = ANY($1::text[])`
	sqlMakeRoom = `INSERT INTO ~.rooms (key, epoch, rev, seq, base, floor, room, kind, title, topic, avatar, created_by, created_at, info_rev, life)
			VALUES ($2, $3, 0, 0, 1, 0, '', '', '', '', '', '', now(), 0, coalesce(` + sqlLife + `, 0)) ON CONFLICT (key) DO NOTHING RETURNING id`

	sqlByID = `SELECT r.key, m.nonce_hash, ` + messageColumns + ` FROM unnest($1::text[], $2::text[]) AS x(key, id)
			JOIN ~.rooms r ON r.key = x.key
			CROSS JOIN LATERAL (SELECT * FROM ~.messages m WHERE m.room_id = r.id AND m.id = x.id LIMIT 1) m`
	sqlByHash = `SELECT r.key, m.nonce_hash, ` + messageColumns + ` FROM unnest($1::text[], $2::bytea[]) AS x(key, hash)
			JOIN ~.rooms r ON r.key = x.key
			CROSS JOIN LATERAL (SELECT * FROM ~.messages m WHERE m.room_id = r.id AND m.nonce_hash = x.hash LIMIT 1) m`
	sqlTrimmed = `SELECT r.key, t.nonce_hash, t.seq, t.first_rev, t.created_at, t.id, t.kind FROM unnest($1::text[], $2::bytea[]) AS x(key, hash)
			JOIN ~.rooms r ON r.key = x.key
			CROSS JOIN LATERAL (SELECT * FROM ~.trimmed t WHERE t.room_id = r.id AND t.nonce_hash = x.hash LIMIT 1) t
			WHERE (SELECT true FROM ~.trimmed LIMIT 1) -- most databases have none`

	// Of most messages so much is enough, and in the list of a SELECT unnest
	// needs no store for its rows.
	sqlInsertPlain = `INSERT INTO ~.messages (room_id, seq, rev, first_rev, created_at, id, user_id, kind, nonce, content, reply_to, thread, nonce_hash)
			SELECT room_id, seq, rev, rev, created_at, id, user_id, kind, nonce, content, '', '', nonce_hash FROM (
				SELECT unnest($1::bigint[]) AS room_id, unnest($2::bigint[]) AS seq, unnest($3::bigint[]) AS rev,
					unnest($4::timestamptz[]) AS created_at, unnest($5::text[]) AS id, unnest($6::text[]) AS user_id, unnest($7::text[]) AS kind,
					unnest($8::text[]) AS nonce, unnest($9::text[]) AS content, unnest($10::bytea[]) AS nonce_hash) x`
	sqlInsert = `INSERT INTO ~.messages (room_id, seq, rev, first_rev, created_at, edited_at, deleted_at, id, user_id, kind, nonce,
				content, reply_to, thread, mentions, attachments, meta, nonce_hash)
			SELECT room_id, seq, rev, first_rev, created_at, edited_at, deleted_at, id, user_id, kind, nonce, content, reply_to, thread,
				nullif(mentions, '')::json, nullif(attachments, '')::json, nullif(meta, '')::json, nonce_hash FROM ` + newMessages
	sqlUpdate = `UPDATE ~.messages m SET rev = x.rev, edited_at = x.edited_at, deleted_at = x.deleted_at, user_id = x.user_id,
				nonce = x.nonce, content = x.content, reply_to = x.reply_to, thread = x.thread, mentions = nullif(x.mentions, '')::json,
				attachments = nullif(x.attachments, '')::json, meta = nullif(x.meta, '')::json
			FROM ` + newMessages + ` WHERE m.room_id = x.room_id AND m.seq = x.seq`
	sqlMoveHeads = `UPDATE ~.rooms r SET epoch = x.epoch, rev = x.rev, seq = x.seq
			FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS x(id, epoch, rev, seq) WHERE r.id = x.id`
	sqlRenew       = `UPDATE ~.rooms SET life = $2, past = $3 WHERE id = $1`
	sqlUpdateRooms = `UPDATE ~.rooms SET room = $2, kind = $3, title = $4, topic = $5, avatar = $6, peers = $7,
			meta = nullif($8::text, '')::json, created_by = $9, created_at = $10, info_rev = $11 WHERE id = $1`
	sqlTrim = `WITH gone AS (
				DELETE FROM ~.messages m USING unnest($1::bigint[], $2::bigint[]) AS x(id, base)
				WHERE m.room_id = x.id AND m.seq < x.base
				RETURNING m.room_id, m.seq, m.first_rev, m.created_at, m.id, m.kind, m.nonce_hash
			), kept AS (
				INSERT INTO ~.trimmed (room_id, nonce_hash, seq, first_rev, created_at, id, kind, trimmed_at)
				SELECT room_id, nonce_hash, seq, first_rev, created_at, id, kind, $3::timestamptz FROM gone WHERE nonce_hash IS NOT NULL
				ON CONFLICT DO NOTHING
			), floors AS (SELECT room_id, max(first_rev) AS floor FROM gone GROUP BY room_id)
			UPDATE ~.rooms r SET base = x.base, floor = greatest(r.floor, f.floor)
			FROM unnest($1::bigint[], $2::bigint[]) AS x(id, base) LEFT JOIN floors f ON f.room_id = x.id
			WHERE r.id = x.id AND r.base < x.base`
	sqlLastKept = `SELECT r.id, r.seq - $2 + 1 FROM ~.rooms r WHERE r.key = $1 FOR NO KEY UPDATE`
	sqlTell     = `WITH told AS (INSERT INTO ~.hints (body) SELECT unnest($2::text[]) RETURNING id, body)
			SELECT pg_notify($1, id || ' ' || body) FROM told ORDER BY id`

	sqlHead    = `SELECT r.epoch, r.rev, r.seq FROM ~.rooms r WHERE r.key = $1`
	sqlHeads   = `SELECT r.key, r.epoch, r.rev, r.seq FROM ~.rooms r WHERE r.key = ANY($1::text[])`
	sqlChanges = `SELECT ` + roomColumns + `, ` + messageColumns + ` FROM ~.rooms r LEFT JOIN LATERAL (
				SELECT * FROM ~.messages m WHERE m.room_id = r.id AND m.rev > $2 AND m.seq >= r.base ORDER BY m.rev LIMIT $3
			) m ON true WHERE r.key = $1 ORDER BY m.rev`
	sqlList = `SELECT ` + roomColumns + `, ` + messageColumns + ` FROM ~.rooms r
			LEFT JOIN ~.messages m ON m.room_id = r.id AND m.seq = r.seq AND m.seq >= r.base AND m.deleted_at IS NULL
			WHERE r.key > $1 AND r.key >= $2 AND ($3 = '' OR r.key < $3) ORDER BY r.key LIMIT $4`
	sqlDirect = `SELECT ` + roomColumns + `, ` + messageColumns + ` FROM ~.rooms r
			LEFT JOIN ~.messages m ON m.room_id = r.id AND m.seq = r.seq AND m.seq >= r.base AND m.deleted_at IS NULL
			WHERE r.peers @> ARRAY[$5::text] AND r.key > $1 AND r.key >= $2 AND ($3 = '' OR r.key < $3) ORDER BY r.key LIMIT $4`
	sqlRemove = `WITH room AS (DELETE FROM ~.rooms WHERE key = $1 RETURNING id, epoch),
			gone AS (DELETE FROM ~.messages m USING room WHERE m.room_id = room.id),
			left_over AS (DELETE FROM ~.trimmed t USING room WHERE t.room_id = room.id)
			SELECT epoch FROM room`

	sqlSnapshot = `SELECT pg_current_snapshot()::text, ` + sqlLife
	sqlPoll     = `SELECT pg_current_snapshot()::text, ` + sqlLife + `, h.id FROM (SELECT 1) AS one LEFT JOIN (
				SELECT id FROM ~.hints WHERE xid >= pg_snapshot_xmin($2::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $2::pg_snapshot)
				ORDER BY id LIMIT $3
			) h ON true ORDER BY h.id`
	sqlTold         = `SELECT body FROM ~.hints WHERE id = ANY($1::bigint[]) ORDER BY id`
	sqlPrune        = `DELETE FROM ~.hints WHERE told_at < clock_timestamp() - interval '1 minute'`
	sqlPruneTrimmed = `DELETE FROM ~.trimmed WHERE trimmed_at < $1`
	sqlAged         = `SELECT r.id, r.key, coalesce((SELECT min(k.seq) FROM ~.messages k WHERE k.room_id = r.id AND k.created_at >= $1), r.seq + 1)
			FROM ~.rooms r WHERE r.id IN (SELECT m.room_id FROM ~.messages m WHERE m.created_at < $1 LIMIT $2)
			ORDER BY r.key FOR NO KEY UPDATE OF r SKIP LOCKED`

	sqlLease = `WITH old AS (SELECT expires FROM ~.nodes WHERE node = $1),
			kept AS (
				INSERT INTO ~.nodes AS n (node, expires) VALUES ($1, now() + $2::interval)
				ON CONFLICT (node) DO UPDATE SET expires = excluded.expires,
					incarnation = CASE WHEN n.expires > now() THEN n.incarnation ELSE excluded.incarnation END
				RETURNING incarnation
			) SELECT kept.incarnation, NOT coalesce((SELECT expires > now() FROM old), false) FROM kept`
	sqlEndLease = `WITH old AS (DELETE FROM ~.nodes WHERE node = $1 RETURNING expires)
			SELECT 0::bigint, NOT coalesce((SELECT expires > now() FROM old), false)`
	sqlForget = `DELETE FROM ~.presence p WHERE p.node = $1 AND NOT EXISTS (
			SELECT 1 FROM ~.nodes n WHERE n.node = p.node AND n.incarnation = p.incarnation)`
	sqlGone = `DELETE FROM ~.presence p USING unnest($2::text[], $3::text[]) AS x(key, user_id)
			WHERE p.node = $1 AND p.key = x.key AND p.user_id = x.user_id`
	sqlCome = `INSERT INTO ~.presence (node, incarnation, key, user_id, name, avatar)
			SELECT n.node, n.incarnation, x.key, x.user_id, x.name, x.avatar
			FROM ~.nodes n, unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS x(key, user_id, name, avatar) WHERE n.node = $1
			ON CONFLICT (node, incarnation, key, user_id) DO UPDATE SET name = excluded.name, avatar = excluded.avatar`
	sqlBury = `WITH dead AS (DELETE FROM ~.nodes WHERE node IN (
				SELECT node FROM ~.nodes WHERE expires < now() - interval '1 minute' ORDER BY node FOR UPDATE SKIP LOCKED) RETURNING node)
			DELETE FROM ~.presence p USING dead WHERE p.node = dead.node`
	sqlNodes       = `SELECT node FROM ~.nodes WHERE expires > now() ORDER BY node`
	sqlAttendances = `SELECT p.key, p.node, p.user_id, p.name, p.avatar FROM ~.presence p
			JOIN ~.nodes n ON n.node = p.node AND n.incarnation = p.incarnation AND n.expires > now() WHERE p.key = ANY($1::text[])`

	sqlSend = `WITH sent AS (INSERT INTO ~.outbox (key, message) VALUES ($1, $2::text::json))
		SELECT pg_notify($3, ' o')`
	sqlMoverLock = `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1))`
	sqlWaiting   = `SELECT id, key, message::text FROM ~.outbox WHERE error IS NULL AND id > $1 ORDER BY id LIMIT $2`
	sqlPark      = `UPDATE ~.outbox o SET error = x.error FROM unnest($1::bigint[], $2::text[]) AS x(id, error) WHERE o.id = x.id`
	sqlMoved     = `DELETE FROM ~.outbox WHERE id = ANY($1::bigint[])`

	sqlLockFree = sqlLock + ` SKIP LOCKED`

	// Rooms without what was created before the argument of that number, as they
	// will be when that has been trimmed. The time is the store's, by which it
	// trims and messages were created, never the server's. What is too old is soon gone, so that there is
	// little to pass over.
	sqlAgedRooms = `(SELECT r.id, r.key, r.epoch, r.rev, r.seq, young.base, greatest(r.floor, gone.floor) AS floor, r.room, r.kind, r.title,
				r.topic, r.avatar, r.peers, r.meta, r.created_by, r.created_at, r.info_rev, r.past FROM ~.rooms r
			CROSS JOIN LATERAL (SELECT coalesce((
				SELECT m.seq FROM ~.messages m WHERE m.room_id = r.id AND m.seq >= r.base AND m.created_at >= $%d::timestamptz
				ORDER BY m.seq LIMIT 1), r.seq + 1) AS base) young
			CROSS JOIN LATERAL (
				SELECT max(m.first_rev) AS floor FROM ~.messages m WHERE m.room_id = r.id AND m.seq >= r.base AND m.seq < young.base) gone)`
)

// A page of history is a span of seqs, [start, upto), which are dense. $2 is
// the seq that is asked for, $3 the limit.
const (
	sqlPage = `SELECT ` + roomColumns + `, ` + messageColumns + `, p.start, p.upto FROM ~.rooms r CROSS JOIN LATERAL (`
	sqlSpan = `) AS p(start, upto) LEFT JOIN ~.messages m ON m.room_id = r.id AND m.seq >= p.start AND m.seq < p.upto
		WHERE r.key = $1 ORDER BY m.seq`

	sqlBefore = sqlPage + `SELECT greatest(u - $3::bigint, r.base), u
		FROM (SELECT CASE WHEN $2::bigint = 0 THEN r.seq + 1 ELSE least(greatest($2, r.base), r.seq + 1) END) AS x(u)` + sqlSpan
	sqlAfter = sqlPage + `SELECT f, f + $3::bigint
		FROM (SELECT least(greatest($2::bigint, r.base - 1), r.seq + 1) + 1) AS x(f)` + sqlSpan
	sqlAround = sqlPage + `SELECT greatest(u - $3::bigint, r.base), u
		FROM (SELECT least(greatest(least(greatest($2::bigint, r.base), r.seq + 1) - $3 / 2, r.base) + $3, r.seq + 1)) AS x(u)` + sqlSpan

	sqlOne = `SELECT ` + roomColumns + `, ` + messageColumns + `, 0::bigint, 0::bigint
		FROM ~.rooms r LEFT JOIN ~.messages m ON m.room_id = r.id AND m.seq >= r.base AND `
	sqlOneByID   = sqlOne + `m.id = $2 WHERE r.key = $1`
	sqlOneByHash = sqlOne + `m.nonce_hash = $2::bytea WHERE r.key = $1`
	sqlNone      = sqlOne + `false WHERE r.key = $1`
)
