package wire

// StringSize is how many bytes s, which is UTF-8, takes as a JSON string, with a
// comma, at most.
func StringSize(s string) int {
	n := len(s) + len(`"",`)
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ':
			n += len(`\u0000`) - 1
		case c == '"', c == '\\':
			n++
		}
	}
	return n
}

// UserSize is how many bytes u takes in a list of users, at most.
func UserSize(u *User) int {
	return len(`{"id":,"name":,"avatar":},`) + StringSize(u.ID) + StringSize(u.Name) + StringSize(u.Avatar)
}
