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
// A full disk refuses messages with chat.ErrUnavailable and still serves what
// there is; when there is space again, writing goes on by itself. Up to 64 MB
// of log lie beside the database. A sync that fails is chat.ErrUnknown, and
// nothing is built on what it was to sync before that is synced for certain.
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
// and chat.db-shm away together. A file that is moved or replaced while the
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
