//go:build !windows

package proxyauth

// loggedInUser is for Windows; elsewhere the ticket cache is the user's.
func loggedInUser(scheme, spn string) connectionAuth { return nil }
