package ntlm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

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

// R20: the CHALLENGE_MESSAGE of MS-NLMP §4.2.4.3.
func TestMSNLMP4243(t *testing.T) {
	c, err := parseChallenge(unhex("4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef 0000000000000000" +
		"2400240044000000 060070170000000f 530065007200760065007200" +
		"02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000"))
	require.NoError(t, err)
	require.Equal(t, challenge{flags: 0xe28a8233, server: [8]byte{1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, info: &domainInfo}, c)

	// The same without what go-ntlmssp does not need: the target name, the
	// version, and the flags for it and for a key exchange.
	b, err := c.marshal()
	require.NoError(t, err)
	require.Equal(t, "4e544c4d53535000"+"02000000"+"0000000000000000"+"33828aa0"+"0123456789abcdef"+"0000000000000000"+
		"2400240030000000"+"02000c0044006f006d00610069006e00"+"01000c00530065007200760065007200"+"00000000", hex.EncodeToString(b))
}

// R19: a type 2 is read up to its last byte and not beyond.
func TestChallengeBounds(t *testing.T) {
	withField := func(message []byte, length uint16, offset uint32) []byte {
		b := bytes.Clone(message)
		b[offFlags+2] = flagTargetInfo >> 16
		binary.LittleEndian.PutUint16(b[offTargetInfo:], length)
		binary.LittleEndian.PutUint32(b[offTargetInfo+4:], offset)
		return b
	}
	withoutFlag := makeChallenge(0, domainInfo.marshal())
	withoutFlag[offFlags+2] = 0
	header := makeChallenge(0, nil)
	exact := makeChallenge(0, unhex("02000200 4100 00000000"))
	for name, test := range map[string]struct {
		message []byte
		info    *targetInfo
		err     string
	}{
		"no message":                       {nil, nil, "too short"},
		"31 bytes":                         {header[:31], nil, "too short"},
		"32 bytes":                         {header[:32], nil, ""},
		"47 bytes, the field cut off":      {withField(header, 4, 44)[:47], nil, ""},
		"48 bytes, info in the header":     {withField(header, 4, 32)[:48], &targetInfo{}, ""},
		"48 bytes, info beyond":            {withField(header, 4, 48)[:48], nil, "beyond its end"},
		"info to the last byte":            {exact, &targetInfo{{2, []byte("A\x00")}}, ""},
		"info one byte short":              {exact[:len(exact)-1], nil, "beyond its end"},
		"an offset of 32 bits":             {withField(exact, 10, 0xffffffff), nil, "beyond its end"},
		"no length, an offset beyond":      {withField(header, 0, 0xffffffff), nil, ""},
		"no length, an offset at the end":  {withField(header, 0, 56), nil, ""},
		"info without its flag":            {withoutFlag, nil, ""},
		"info of 3 bytes":                  {makeChallenge(0, make([]byte, 3)), nil, "does not end"},
		"info of 4 bytes":                  {makeChallenge(0, make([]byte, 4)), &targetInfo{}, ""},
		"a pair to the end, no end after":  {makeChallenge(0, unhex("02000200 4100")), nil, "does not end"},
		"a pair beyond by one byte":        {makeChallenge(0, unhex("02000200 41")), nil, "AV pair 2 goes beyond"},
		"an empty pair":                    {makeChallenge(0, unhex("02000000 00000000")), &targetInfo{{2, []byte{}}}, ""},
		"bytes after the end of the pairs": {makeChallenge(0, unhex("00000000 0200ffff")), &targetInfo{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseChallenge(test.message)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.info, c.info)
		})
	}
}

// R19: what the client adds must leave the target info within 16 bits.
func TestMarshalBound(t *testing.T) {
	for value, ok := range map[int]bool{0xffff - 8: true, 0xffff - 7: false} {
		b, err := challenge{info: &targetInfo{{3, make([]byte, value)}}}.marshal()
		if !ok {
			require.ErrorContains(t, err, "too long")
			continue
		}
		require.NoError(t, err)
		require.Len(t, b, challengeSize+0xffff)
		info, err := field(b, offTargetInfo)
		require.NoError(t, err)
		require.Equal(t, b[challengeSize:], info)
	}
}

// R20: what the client vouches for replaces what the server sent under the
// same names, and flags that are none are not kept.
func TestBind(t *testing.T) {
	flags := func(b ...byte) avPair { return avPair{avFlags, b} }
	name := avPair{avTargetName, encodeUTF16("HTTP/p")}
	binding := avPair{avChannelBindings, hashChannelBinding([]byte("b"))}
	for what, test := range map[string]struct {
		before targetInfo
		o      Options
		mic    bool
		after  targetInfo
	}{
		"nothing":              {targetInfo{flags(1, 0, 0, 0)}, Options{}, false, targetInfo{flags(1, 0, 0, 0)}},
		"MIC":                  {targetInfo{}, Options{}, true, targetInfo{flags(2, 0, 0, 0)}},
		"MIC and other flags":  {targetInfo{flags(5, 0, 0, 1)}, Options{}, true, targetInfo{flags(7, 0, 0, 1)}},
		"flags cut short":      {targetInfo{flags(1, 0, 0)}, Options{}, true, targetInfo{flags(2, 0, 0, 0)}},
		"flags too long":       {targetInfo{flags(1, 0, 0, 0, 0)}, Options{}, true, targetInfo{flags(2, 0, 0, 0)}},
		"target name":          {domainInfo[:1:1], Options{TargetName: "HTTP/p"}, false, targetInfo{domainInfo[0], name}},
		"channel binding":      {domainInfo[:1:1], Options{ChannelBinding: []byte("b")}, false, targetInfo{domainInfo[0], binding}},
		"empty binding is one": {targetInfo{}, Options{ChannelBinding: []byte{}}, false, targetInfo{{avChannelBindings, hashChannelBinding(nil)}}},
		"twice from the server": {targetInfo{{avTargetName, nil}, {avChannelBindings, nil}, {avTargetName, nil}},
			Options{TargetName: "HTTP/p", ChannelBinding: []byte("b")}, false, targetInfo{name, binding}},
	} {
		t.Run(what, func(t *testing.T) {
			info := append(targetInfo{}, test.before...)
			info.bind(test.o, test.mic)
			require.Equal(t, test.after, info)
		})
	}
}

// R19: no type 2, however mangled, does more than fail.
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
		for off := offFields; off < 60; off += 8 {
			if _, err := field(message, off); err != nil {
				t.Fatalf("field at %d: %v", off, err)
			}
		}
	})
}
