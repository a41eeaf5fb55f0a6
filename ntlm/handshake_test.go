package ntlm

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// authenticate runs a handshake and returns its type 3 after verifying the
// response and, if there is one, the MIC, as a server does.
func authenticate(t testing.TB, user, password string, o Options, challenge []byte) (message []byte, sent targetInfo) {
	h := New(user, password, o)
	negotiate, err := h.Next(nil)
	require.NoError(t, err)
	require.Equal(t, signature, string(negotiate[:8]))
	message, err = h.Next(challenge)
	require.NoError(t, err)

	response, err := field(message, offNTResponse)
	require.NoError(t, err)
	userField, err := field(message, offUser)
	require.NoError(t, err)
	domainField, err := field(message, offDomain)
	require.NoError(t, err)
	key := responseKey(decodeUTF16(userField), password, decodeUTF16(domainField))
	require.Equal(t, hmacMD5(key, unhex("0123456789abcdef"), response[16:]), response[:16])

	info, err := parseTargetInfo(response[16+28:])
	require.NoError(t, err)
	if flags, ok := info.lookup(avFlags); ok && flags[0]&avFlagMIC != 0 {
		mic := bytes.Clone(message[72:88])
		clear(message[72:88])
		require.Equal(t, hmacMD5(hmacMD5(key, response[:16]), negotiate, challenge, message), mic)
	}
	_, err = h.Next(nil)
	require.ErrorIs(t, err, ErrRefused)
	return message, *info
}

// R17, R20: NTLMv2, with what ties it to a service and a connection.
func TestHandshake(t *testing.T) {
	binding := []byte("tls-server-end-point:0123456789abcdef")
	options := Options{TargetName: "HTTP/proxy.example", ChannelBinding: binding}

	_, sent := authenticate(t, "User", "Password", Options{}, makeChallenge(0, domainInfo.marshal()))
	require.Equal(t, domainInfo, sent, "nothing is added that nobody asked for")

	_, sent = authenticate(t, "User", "Password", Options{}, makeChallenge(0, timedInfo.marshal()))
	flags, _ := sent.lookup(avFlags)
	require.Equal(t, unhex("02000000"), flags)

	_, sent = authenticate(t, "User", "Password", options, makeChallenge(0, timedInfo.marshal()))
	name, _ := sent.lookup(avTargetName)
	require.Equal(t, "HTTP/proxy.example", decodeUTF16(name))
	hash, _ := sent.lookup(avChannelBindings)
	sum := md5.Sum(append(append(make([]byte, 16), byte(len(binding)), 0, 0, 0), binding...))
	require.Equal(t, sum[:], hash)

	old := append(timedInfo[:3:3], avPair{avFlags, unhex("01000000")}, avPair{avTargetName, []byte("x")})
	_, sent = authenticate(t, "User", "Password", options, makeChallenge(0, old.marshal()))
	flags, _ = sent.lookup(avFlags)
	require.Equal(t, unhex("03000000"), flags)
	name, _ = sent.lookup(avTargetName)
	require.Equal(t, "HTTP/proxy.example", decodeUTF16(name))
}

// R17: a server may leave out target info, its field, and session security, or ask
// for a key exchange that nobody needs.
func TestOldServers(t *testing.T) {
	for name, challenge := range map[string][]byte{
		"no target info": makeChallenge(0, nil),
		"32 bytes":       makeChallenge(0, nil)[:32],
		"40 bytes":       makeChallenge(0, nil)[:40],
		"key exchange":   makeChallenge(flagKeyExchange, domainInfo.marshal()),
		"empty info":     makeChallenge(flagTargetInfo, nil),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no target info" || name == "empty info" || len(challenge) < challengeSize {
				h := New("User", "Password", Options{TargetName: "x"})
				h.Next(nil)
				_, err := h.Next(challenge)
				require.NoError(t, err)
				return
			}
			authenticate(t, "User", "Password", Options{}, challenge)
		})
	}
}

// R18: the domain is the user's; names beyond Latin-1.
func TestUserNames(t *testing.T) {
	for name, want := range map[string][2]string{
		"alice":                   {"alice", ""},
		`CORP\alice`:              {"alice", "CORP"},
		"alice@CORP.EXAMPLE":      {"alice@CORP.EXAMPLE", ""},
		`ДОМЕН\пользователь`:      {"пользователь", "ДОМЕН"},
		"jäsøn😀":                  {"jäsøn😀", ""},
		`CORP\alice@CORP.EXAMPLE`: {"alice@CORP.EXAMPLE", "CORP"},
	} {
		message, _ := authenticate(t, name, "pässword", Options{}, makeChallenge(0, timedInfo.marshal()))
		user, _ := field(message, offUser)
		domain, _ := field(message, offDomain)
		require.Equal(t, want, [2]string{decodeUTF16(user), decodeUTF16(domain)})
	}
}

// R19: a refusal is told from a malformed type 2, which is an error.
func TestRefusedAndMalformed(t *testing.T) {
	h := New("u", "p", Options{})
	_, err := h.Next([]byte("x"))
	require.ErrorIs(t, err, ErrRefused, "a message before type 1")
	_, err = h.Next(nil)
	require.ErrorIs(t, err, ErrRefused, "over is over")

	h = New("u", "p", Options{})
	h.Next(nil)
	_, err = h.Next(nil)
	require.ErrorIs(t, err, ErrRefused, "a bare NTLM after type 1")

	good := makeChallenge(0, timedInfo.marshal())
	long := append(domainInfo[:2:2], avPair{3, make([]byte, 65400)}).marshal()
	for name, challenge := range map[string][]byte{
		"short":            good[:31],
		"signature":        append([]byte("NTLMSSP\x01"), good[8:]...),
		"type 1":           bytes.Replace(good, []byte{2, 0, 0, 0}, []byte{1, 0, 0, 0}, 1),
		"truncated info":   good[:len(good)-1],
		"info without end": makeChallenge(0, unhex("02000400 4100")),
		"overflowing AV":   makeChallenge(0, unhex("0200ffff 4100 00000000")),
		"offset":           append(append(bytes.Clone(good[:44]), 0xff, 0xff, 0xff, 0xff), good[48:]...),
		"too long to bind": makeChallenge(0, long),
		"not Unicode":      append(append(bytes.Clone(good[:20]), 0, 0, 0x80, 0), good[24:]...),
		"LM key":           makeChallenge(0x80, timedInfo.marshal()),
	} {
		h := New("u", "p", Options{TargetName: strings.Repeat("x", 100)})
		h.Next(nil)
		_, err := h.Next(challenge)
		require.Error(t, err, name)
		require.False(t, errors.Is(err, ErrRefused), name)
		require.True(t, strings.HasPrefix(err.Error(), "ntlm: "), err.Error())
	}

	h = New("", "", Options{})
	h.Next(nil)
	_, err = h.Next(good)
	require.Error(t, err, "anonymous")
}

func Example() {
	h := New(`CORP\alice`, "secret", Options{TargetName: "HTTP/proxy.example"})
	negotiate, _ := h.Next(nil)
	fmt.Println("type", negotiate[8])

	challenge := makeChallenge(0, timedInfo.marshal()) // from the server
	message, err := h.Next(challenge)
	fmt.Println("type", message[8], err)
	// Output:
	// type 1
	// type 3 <nil>
}

// R35: a handshake holds a password.
func TestHandshakePrintsNoSecret(t *testing.T) {
	h := New("alice", "open sesame", Options{})
	h.Next(nil)
	h.Next(makeChallenge(0, timedInfo.marshal()))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.Equal(t, "ntlm.Handshake", fmt.Sprintf(verb, h))
	}
}
