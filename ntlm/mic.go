package ntlm

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"unicode/utf16"

	//lint:ignore SA1019 NTLM is made of it
	"golang.org/x/crypto/md4"
)

// Where the fields of a type 3 stand (MS-NLMP §2.2.1.3).
const (
	offFields        = 12 // six: LM and NT response, domain, user, workstation, session key
	offNTResponse    = 20
	offDomain        = 28
	offUser          = 36
	authenticateSize = 64 // go-ntlmssp's header, which ends before Version and MIC
	versionSize      = 8
	micSize          = 16
)

// addMIC returns the type 3 with room for Version and MIC in its header, and
// the MIC over all three messages (MS-NLMP §3.1.5.1.2).
func addMIC(negotiate, challenge, authenticate []byte, password string) ([]byte, error) {
	if len(authenticate) < authenticateSize {
		return nil, errors.New("ntlm: the authenticate message is too short")
	}
	key, err := sessionKey(authenticate, password)
	if err != nil {
		return nil, err
	}
	const more = versionSize + micSize
	b := slices.Concat(authenticate[:authenticateSize], make([]byte, more), authenticate[authenticateSize:])
	for i := range 6 {
		offset := b[offFields+8*i+4:]
		if start := binary.LittleEndian.Uint32(offset); start >= authenticateSize {
			binary.LittleEndian.PutUint32(offset, start+more)
		}
	}
	copy(b[authenticateSize+versionSize:], hmacMD5(key, negotiate, challenge, b))
	return b, nil
}

// sessionKey returns the key of the session that a type 3 opens: without key
// exchange the SessionBaseKey of NTLMv2 (MS-NLMP §3.3.2).
func sessionKey(authenticate []byte, password string) ([]byte, error) {
	response, err := field(authenticate, offNTResponse)
	if err != nil {
		return nil, err
	}
	if len(response) < 16 {
		return nil, errors.New("ntlm: no NTLMv2 response")
	}
	user, err := field(authenticate, offUser)
	if err != nil {
		return nil, err
	}
	domain, err := field(authenticate, offDomain)
	if err != nil {
		return nil, err
	}
	key := responseKey(decodeUTF16(user), password, decodeUTF16(domain))
	return hmacMD5(key, response[:16]), nil
}

// responseKey is ResponseKeyNT, NTOWFv2 of MS-NLMP §3.3.2.
func responseKey(user, password, domain string) []byte {
	hash := md4.New()
	hash.Write(encodeUTF16(password))
	return hmacMD5(hash.Sum(nil), encodeUTF16(strings.ToUpper(user)+domain))
}

// hashChannelBinding returns MsvAvChannelBindings: the MD5 of a
// gss_channel_bindings_struct (RFC 2744 §3.11) that has application data alone.
func hashChannelBinding(data []byte) []byte {
	b := make([]byte, 16, 20+len(data)) // no addresses
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	sum := md5.Sum(append(b, data...))
	return sum[:]
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(md5.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func encodeUTF16(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func decodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// Sign returns the signature of a message under the session that the handshake
// has opened (MS-NLMP §3.4.4.2, extended session security, sequence number 0):
// the mechListMIC of SPNEGO. It is an error before type 3 is sent.
func (h *Handshake) Sign(message []byte) ([]byte, error) {
	if h.authenticated == nil {
		return nil, errors.New("ntlm: nothing to sign with yet")
	}
	key, err := sessionKey(h.authenticated, h.password)
	if err != nil {
		return nil, err
	}
	sum := hmacMD5(signingKey(key), make([]byte, 4), message)
	b := binary.LittleEndian.AppendUint32(nil, 1) // version
	b = append(b, sum[:8]...)
	return append(b, 0, 0, 0, 0), nil
}

// signingKey is SIGNKEY of MS-NLMP §3.4.5.2 for what the client signs.
func signingKey(sessionKey []byte) []byte {
	sum := md5.Sum(append(sessionKey, "session key to client-to-server signing key magic constant\x00"...))
	return sum[:]
}
