package challenge

import "fmt"

// Limits for the challenges of one response. The largest tokens in use are NTLM
// challenges and Kerberos errors, far below 64 KiB.
const (
	maxFields     = 64
	maxBytes      = 64 << 10
	maxChallenges = 32
)

// Bounded returns those of fields, the values of Proxy-Authenticate, that Parse reads, and
// a *Malformed if these are not all.
func Bounded(fields []string) (read []string, excess error) {
	size := 0
	for i, field := range fields {
		if i == maxFields {
			return fields[:i], &Malformed{"", fmt.Errorf("more than %d fields of challenges", maxFields)}
		}
		if size += len(field); size > maxBytes {
			return fields[:i], &Malformed{"", fmt.Errorf("more than %d bytes of challenges", maxBytes)}
		}
	}
	return fields, nil
}
