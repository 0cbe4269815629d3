// Package sqlite keeps rooms in one file, with no server beside the program
// and no cgo.
//
//	store, err := sqlite.Open("chat.db")
//
// # What is kept
//
// Everything, unless [Options] bounds it, and the nonce of every message for
// as long as the message is there, deleted ones included. Of messages that
// retention has trimmed, nonces are kept for [chat.NonceTTL]. The columns can
// be read: look at migrations/0001_rooms.sql, and at the data with the sqlite3
// shell, also while the program runs.
//
// # What can be lost
//
// A message is acknowledged when its transaction is in the write-ahead log. A
// process that is killed loses nothing that was acknowledged. What a power cut
// or a crash of the system can take is up to [Options].Synchronous:
//
//   - [Full], the default, syncs the log to the disk before it acknowledges:
//     nothing is lost, if the disk does not lie. Concurrent calls share a sync.
//   - [Normal] syncs it now and then: the last transactions, usually of less
//     than a minute, can be lost, from the end and in whole.
//
// What has been lost, or is not in a backup that has been put back, is never
// missed silently: each [Open] begins another life of the data, and with the
// first change of a room in it a new epoch, which says how far the one before
// went (see [chat.Page]). Clients that have seen more than the file holds start
// over; the others go on, as after any other start. A room remembers the last
// [chat.MaxPast] of the lives in which it was written to.
//
// A sync that fails is chat.ErrUnknown, and nothing is built on what it was to
// sync before that is synced for certain.
//
// # A full volume
//
// What is written goes to the log, chat.db-wal, in whole pages: about 22 kB for
// a short message that is alone in its transaction. The log is carried over
// into the database when it has an eighth of what is free on the volume, or
// 64 MB, and within a minute when nothing is sent. Then it starts anew: it takes
// no more than that for long, unless somebody reads the file in one transaction
// all the time, which an open shell may do.
//
// Beside the database lies a reserve, chat.db-reserve: a sixteenth of the
// volume, at least 256 kB and at most 1 MB. When the volume is full it is given
// up. New messages, edits and rooms are then refused with chat.ErrUnavailable,
// and the log of the host says once which volume it is. What there is can be
// read, messages can be deleted and rooms removed, also after a restart. The
// database does not become smaller by that, but new messages go where something
// was: removing rooms, and retention, let writing go on, as free space on the
// volume does, by itself and without a restart. Until then [Store.Check] fails,
// and GET /readyz with it. Deleting single messages leaves
// their places, and seldom makes enough room. To make the file smaller, end the
// program and run VACUUM, for which there must be as much free space as it has.
// Who needs a few hundred kilobytes at once, where others have filled the volume,
// may remove the reserve; it comes back.
//
// # One process
//
// One Store has the file, from Open to Close: a second one, of this process or
// another, is refused. It may not lie on a network file system. Several
// servers that share their rooms need storage/postgres or storage/redis. As
// nobody else can write there is nothing to be told, so a Store is no
// [chat.Watcher] and no [chat.PresenceKeeper]. The file with the suffix -lock
// stays behind and may not be removed while a Store is open.
//
// # Backups
//
// Copying the file of a running program gives a damaged copy. Ask SQLite for
// one, at any time:
//
//	sqlite3 chat.db "VACUUM INTO 'backup.db'"
//
// To put a backup in its place, end the program and move chat.db, chat.db-wal
// and chat.db-shm away together; chat.db-reserve holds nothing. A file that is moved or replaced while the
// program runs is noticed, and nothing more is written; one that is overwritten
// in its place is not noticed.
//
// # Schema
//
// Open creates the tables and brings older ones up to date, in one
// transaction, never taking anything away; a schema newer than the program is
// refused. A host that runs its migrations itself sets Options.NoMigrate and
// applies the SQL of [Migrations].
package sqlite
