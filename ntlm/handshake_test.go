package ntlm

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
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

// MS-NLMP §4.2.4: user "User", password "Password", domain "Domain".
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
	var message bytes.Buffer
	payload := [][]byte{nil, append(proof, temp...), encodeUTF16("Domain"), encodeUTF16("User"), nil, nil}
	message.WriteString(signature)
	binary.Write(&message, binary.LittleEndian, uint32(3))
	off := uint32(authenticateSize)
	for _, p := range payload {
		binary.Write(&message, binary.LittleEndian, []uint16{uint16(len(p)), uint16(len(p))})
		binary.Write(&message, binary.LittleEndian, off)
		off += uint32(len(p))
	}
	binary.Write(&message, binary.LittleEndian, uint32(0))
	message.Write(bytes.Join(payload, nil))
	got, err := sessionKey(message.Bytes(), "Password")
	require.NoError(t, err)
	require.Equal(t, "8de40ccadbc14a82f15cb0ad0de95ca3", hex.EncodeToString(got))
}

// makeChallenge returns a type 2 like a server's.
func makeChallenge(flags uint32, info []byte) []byte {
	b := make([]byte, 56)
	copy(b, signature)
	b[offType] = 2
	binary.LittleEndian.PutUint32(b[offFlags:], flags|1) // Unicode
	copy(b[offServer:], unhex("0123456789abcdef"))
	if info != nil {
		binary.LittleEndian.PutUint32(b[offFlags:], flags|1|flagTargetInfo)
		binary.LittleEndian.PutUint16(b[offTargetInfo:], uint16(len(info)))
		binary.LittleEndian.PutUint16(b[offTargetInfo+2:], uint16(len(info)))
		binary.LittleEndian.PutUint32(b[offTargetInfo+4:], uint32(len(b)))
	}
	return append(b, info...)
}

var (
	domainInfo = targetInfo{{2, encodeUTF16("Domain")}, {1, encodeUTF16("Server")}}
	timedInfo  = append(domainInfo[:2:2], avPair{avTimestamp, unhex("0102030405060708")})
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

// A server may leave out target info, its field, and session security, or ask
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

// FuzzChallenge: no type 2, however mangled, does more than fail.
func FuzzChallenge(f *testing.F) {
	f.Add(makeChallenge(0, timedInfo.marshal()), "HTTP/x", []byte("tls-server-end-point:x"))
	f.Add(makeChallenge(0, nil)[:32], "", []byte(nil))
	f.Add(makeChallenge(flagKeyExchange, domainInfo.marshal()), "", []byte(nil))
	f.Add(makeChallenge(0, append(domainInfo[:2:2], avPair{3, make([]byte, 65000)}).marshal()), "HTTP/x", []byte("y"))
	f.Fuzz(func(t *testing.T, challenge []byte, name string, binding []byte) {
		h := New(`CORP\alice`, "secret", Options{TargetName: name, ChannelBinding: binding})
		if _, err := h.Next(nil); err != nil {
			t.Fatal(err)
		}
		message, err := h.Next(challenge)
		if err != nil {
			return
		}
		for off := 12; off < offAuthFlags; off += 8 {
			if _, err := field(message, off); err != nil {
				t.Fatalf("field at %d: %v", off, err)
			}
		}
	})
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

func TestHandshakePrintsNoSecret(t *testing.T) {
	h := New("alice", "open sesame", Options{})
	h.Next(nil)
	h.Next(makeChallenge(0, timedInfo.marshal()))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.Equal(t, "ntlm.Handshake", fmt.Sprintf(verb, h))
	}
}
