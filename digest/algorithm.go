package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// An algorithm is a hash function of RFC 7616 §3.2, ordered by strength.
type algorithm int

const (
	algMD5       algorithm = 1 + iota
	algSHA256              // SHA-256
	algSHA512256           // SHA-512/256 of FIPS 180-4, which is not SHA-512 cut short
)

// parseAlgorithm reads the algorithm parameter; names are case-insensitive.
func parseAlgorithm(name string) (a algorithm, sess bool, err error) {
	base := strings.ToUpper(name)
	if cut, ok := strings.CutSuffix(base, "-SESS"); ok {
		base, sess = cut, true
	}
	switch {
	case base == "MD5", name == "":
		return algMD5, sess, nil
	case base == "SHA-256":
		return algSHA256, sess, nil
	case base == "SHA-512-256":
		return algSHA512256, sess, nil
	}
	return 0, false, fmt.Errorf("digest: algorithm %.40q: %w", name, ErrUnsupported)
}

// maxHex is the length of the longest digest in hexadecimal.
const maxHex = 2 * sha256.Size

// appendHash appends the digest of data in hexadecimal. A switch, not a
// hash.Hash: nothing escapes to the heap.
func (a algorithm) appendHash(b, data []byte) []byte {
	switch a {
	case algSHA256:
		sum := sha256.Sum256(data)
		return hex.AppendEncode(b, sum[:])
	case algSHA512256:
		sum := sha512.Sum512_256(data)
		return hex.AppendEncode(b, sum[:])
	}
	sum := md5.Sum(data)
	return hex.AppendEncode(b, sum[:])
}

func (a algorithm) hashString(s string) string {
	return string(a.appendHash(nil, []byte(s)))
}

// newHash returns the hash for bodies, which do not fit in memory.
func (a algorithm) newHash() hash.Hash {
	switch a {
	case algSHA256:
		return sha256.New()
	case algSHA512256:
		return sha512.New512_256()
	}
	return md5.New()
}
