// Package sqlite keeps rooms.
package sqlite

import _ "modernc.org/sqlite"
