//go:build !windows

package scheme

// loggedInUser is for Windows; elsewhere the ticket cache is the user's.
func loggedInUser(scheme, spn string) Session { return nil }
