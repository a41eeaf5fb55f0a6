package ntlm

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// R20: MS-NLMP §4.2.4, user "User", password "Password", domain "Domain".
func TestMSNLMP424(t *testing.T) {
	key := responseKey("User", "Password", "Domain")
	require.Equal(t, "0c868a403bfd7a93a3001ef22ef02e3f", hex.EncodeToString(key)) // §4.2.4.1.1

	// §4.2.4.1.3: temp, with time 0 and client challenge aa…
	temp := unhex("0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000" +
		"02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000 00000000")
	proof := hmacMD5(key, unhex("0123456789abcdef"), temp)
	require.Equal(t, "68cd0ab851e51c96aabc927bebef6a1c", hex.EncodeToString(proof)) // §4.2.4.2.2
	require.Equal(t, "8de40ccadbc14a82f15cb0ad0de95ca3", hex.EncodeToString(hmacMD5(key, proof)))

	// The same through a type 3, as sessionKey reads it.
	got, err := sessionKey(makeAuthenticate(append(proof, temp...), encodeUTF16("Domain"), encodeUTF16("User")), "Password")
	require.NoError(t, err)
	require.Equal(t, "8de40ccadbc14a82f15cb0ad0de95ca3", hex.EncodeToString(got))
}

// makeAuthenticate returns a type 3 as go-ntlmssp lays it out.
func makeAuthenticate(response, domain, user []byte) []byte {
	var header, payload []byte
	header = append(header, signature...)
	header = binary.LittleEndian.AppendUint32(header, 3)
	for _, p := range [][]byte{nil, response, domain, user, nil, nil} {
		header = binary.LittleEndian.AppendUint16(header, uint16(len(p)))
		header = binary.LittleEndian.AppendUint16(header, uint16(len(p)))
		header = binary.LittleEndian.AppendUint32(header, authenticateSize+uint32(len(payload)))
		payload = append(payload, p...)
	}
	header = binary.LittleEndian.AppendUint32(header, 0) // flags
	return append(header, payload...)
}

// R20: Version and MIC stand between the header and the payload, each field
// points behind them, and the MIC is over all three messages.
func TestAddMIC(t *testing.T) {
	response, domain, user := bytes.Repeat([]byte{7}, 16), encodeUTF16("Domain"), encodeUTF16("User")
	before := makeAuthenticate(response, domain, user)
	after, err := addMIC([]byte("type 1"), []byte("type 2"), before, "Password")
	require.NoError(t, err)

	require.Equal(t, len(before)+24, len(after))
	require.Equal(t, before[authenticateSize:], after[88:], "the payload is the same")
	for off, start := 12, authenticateSize; off < 60; off += 8 {
		require.Equal(t, before[off:off+4], after[off:off+4], "the length at %d", off)
		require.EqualValues(t, start+24, binary.LittleEndian.Uint32(after[off+4:]), "the offset at %d", off+4)
		start += int(binary.LittleEndian.Uint16(after[off:]))
	}
	require.Equal(t, make([]byte, 8), after[64:72], "no version")
	mic := bytes.Clone(after[72:88])
	clear(after[72:88])
	key, err := sessionKey(before, "Password")
	require.NoError(t, err)
	require.Equal(t, hmacMD5(key, []byte("type 1type 2"), after), mic)

	// An offset of 0, as go-ntlmssp has it for the session key, stays.
	clear(before[52:60])
	after, err = addMIC(nil, nil, before, "Password")
	require.NoError(t, err)
	require.Equal(t, make([]byte, 8), after[52:60])
}

// R19: a type 3 that does not hold what a MIC needs is an error, at its bounds.
func TestAddMICBounds(t *testing.T) {
	good := makeAuthenticate(make([]byte, 16), encodeUTF16("Domain"), encodeUTF16("User"))
	beyond := func(off int) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint16(b[off:], 100)
		return b
	}
	for name, test := range map[string]struct {
		message []byte
		err     string
	}{
		"good":                {good, ""},
		"63 bytes":            {good[:63], "too short"},
		"64 bytes":            {makeAuthenticate(nil, nil, nil), "no NTLMv2 response"},
		"a response of 15":    {makeAuthenticate(make([]byte, 15), nil, nil), "no NTLMv2 response"},
		"a response of 16":    {makeAuthenticate(make([]byte, 16), nil, nil), ""},
		"response beyond end": {beyond(offNTResponse), "beyond its end"},
		"domain beyond end":   {beyond(offDomain), "beyond its end"},
		"user beyond end":     {beyond(offUser), "beyond its end"},
		"cut by one byte":     {good[:len(good)-1], "beyond its end"},
	} {
		_, err := addMIC(nil, nil, test.message, "Password")
		if test.err == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, test.err, name)
	}
}

// R20: MS-NLMP §4.2.4.4: ClientSigningKey of the session key 0x55…
func TestSigningKey(t *testing.T) {
	require.Equal(t, "4788dc861b4782f35d43fd98fe1a2d39", hex.EncodeToString(signingKey(bytes.Repeat([]byte{0x55}, 16))))
}

// R24: a signature under extended session security, without key exchange.
func TestSign(t *testing.T) {
	h := New("User", "Password", Options{Sign: true})
	_, err := h.Sign([]byte("x"))
	require.ErrorContains(t, err, "nothing to sign with")
	negotiate, err := h.Next(nil)
	require.NoError(t, err)
	_, err = h.Sign([]byte("x"))
	require.ErrorContains(t, err, "nothing to sign with")
	message, err := h.Next(makeChallenge(0, timedInfo.marshal()))
	require.NoError(t, err)

	key, err := sessionKey(message, "Password")
	require.NoError(t, err)
	sum := hmacMD5(signingKey(key), []byte{0, 0, 0, 0}, []byte("mechanisms"))
	got, err := h.Sign([]byte("mechanisms"))
	require.NoError(t, err)
	require.Equal(t, slices.Concat([]byte{1, 0, 0, 0}, sum[:8], []byte{0, 0, 0, 0}), got)

	// The flag for it is all that differs in the type 1.
	plain, err := New("User", "Password", Options{}).Next(nil)
	require.NoError(t, err)
	require.Zero(t, plain[offNegotiateFlags]&0x10)
	plain[offNegotiateFlags] |= 0x10
	require.Equal(t, plain, negotiate)
}

// R20: MsvAvChannelBindings (RFC 2744 §3.11: no addresses, then the length of
// the application data and the data).
func TestHashChannelBinding(t *testing.T) {
	for _, data := range []string{"", "tls-server-end-point:0123456789abcdef", strings.Repeat("x", 300)} {
		length := binary.LittleEndian.AppendUint32(nil, uint32(len(data)))
		sum := md5.Sum(slices.Concat(make([]byte, 16), length, []byte(data)))
		require.Equal(t, sum[:], hashChannelBinding([]byte(data)))
	}
}

// R18: names in UTF-16, also beyond the Basic Multilingual Plane.
func TestUTF16(t *testing.T) {
	for s, want := range map[string]string{"": "", "a": "6100", "ö": "f600", "Ж": "1604", "😀": "3dd800de"} {
		require.Equal(t, want, hex.EncodeToString(encodeUTF16(s)))
		require.Equal(t, s, decodeUTF16(unhex(want)))
	}
	require.Equal(t, "a", decodeUTF16([]byte{'a', 0, 'b'}), "half a unit is left out")
}
