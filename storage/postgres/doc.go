// Package postgres keeps rooms in PostgreSQL, version 13 or newer, with an
// encoding of UTF8: for programs that have such a database anyway, and for
// several servers that share their rooms.
//
//	store, err := postgres.Open(ctx, "postgres://user:secret@host/app")
//
// [New] takes the pool that a program has already; [Store.SendTx] sends from
// within its transactions.
//
// # What is durable
//
// A change that has been acknowledged is committed, and as durable as the
// database's settings make a commit. With synchronous_commit at on, the
// default, it survives a crash of the server. With off, the last few hundred
// milliseconds may be lost in a crash. A failover to a standby loses what the standby has not got yet,
// unless synchronous_standby_names names it; then nothing is lost.
//
// What has been lost is never missed silently. Each start of the server, each
// recovery from a crash, promotion of a standby, recovery to a point in time,
// restored copy of the files or of the database, and each dump that is put back
// begins another life of the data. The first change of a room in it begins a
// new epoch, which says how far the one before went (see [chat.Page]): clients
// that have seen more start over, and nobody else does. That is decided in the
// transaction that writes, and needs no right beyond the tables. A room
// remembers the last [chat.MaxPast] of the lives in which it was written to. Who
// changes rows by hand calls [Store.NewEpoch] of the rooms in question.
//
// Nonces are kept for good with their messages. Of messages that retention
// has trimmed they are kept for [chat.NonceTTL], and a little longer.
//
// # How it works
//
// Changes of many rooms go into one transaction: while two are under way, the
// next ones gather. Each takes two round trips. It waits a moment, 25 ms at
// most, for a room that another transaction has locked; then, and for some time
// afterwards, locked rooms are left out and tried again, by themselves in the
// end, for as long as Options.LockTimeout. After that their changes, and no
// others, are unavailable. What
// fails before its commit, and may succeed a moment later, is tried again. A
// commit whose answer is lost is [chat.ErrUnknown].
//
// Servers tell each other of changes by NOTIFY, in the same transaction. That
// is a hint that may be lost, so each looks about once a second for what it has
// not been told, at a cost that does not depend on the number of rooms.
//
// What the database refuses for and its operator can mend is logged, with what to
// do, and [Store.Check] fails: see GET /readyz. It runs the statements of a
// message without one; where a change has been refused, with one, and rolls
// back, so that it is ready again when it is. What is too old, by
// Options.MaxAge, is so by the clocks of the servers, never by that of the
// database.
//
// # Connections
//
// A pool needs about four connections for a Store; one that the host shares
// needs more, since a host that holds all of them keeps the Store waiting.
// [Store.Watch] takes one more, beside the pool. With several hosts in the URL,
// add target_session_attrs=read-write.
//
// Behind PgBouncer in transaction mode, everything works but Watch, which needs
// a session: LISTEN ends with one. Let the Store have a pool that goes to the
// database directly, or to a PgBouncer in session mode. PgBouncer older than
// 1.21 also wants default_query_exec_mode=exec in the URL. The simple protocol
// is refused.
//
// # Tables and rights
//
// All tables are in one schema, "gabble", which [New] makes: its user needs the
// right to create a schema in the database, or to create tables in the schema
// where it exists, and nothing else. To run migrations by other means, set
// Options.NoMigrate and see [Migrate] and [Schema]; then SELECT, INSERT, UPDATE
// and DELETE on the tables are enough. Migrations only ever add.
//
// The tables rooms and messages are there to be read by others, too. Who
// writes to them directly does so unseen by the servers.
package postgres
