package scheme_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// type2 is the CHALLENGE_MESSAGE of MS-NLMP §4.2.4.3, which has target info.
var type2 = unhex("4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef 0000000000000000" +
	"2400240044000000 060070170000000f 530065007200760065007200" +
	"02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000")

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func inUTF16(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// channelBinding is what goes over the wire for the application data of a channel
// binding: the MD5 of a gss_channel_bindings_struct without addresses (RFC 2744 §3.11).
func channelBinding(data []byte) []byte {
	sum := md5.Sum(append(append(make([]byte, 16), byte(len(data)), 0, 0, 0), data...))
	return sum[:]
}

// R17, R18: type 1, type 2, type 3.
func TestNTLM(t *testing.T) {
	session := begin(t, scheme.NTLM(), "NTLM")
	require.Equal(t, scheme.Nature{Connection: true}, session.Nature())
	require.False(t, session.Used())
	require.False(t, session.Other(t.Context()))
	require.Equal(t, "with them", session.Describe(t.Context(), "with them"))

	conversation := talk(t, session)
	value, last := next(t, conversation)
	require.True(t, bytes.HasPrefix(token(t, "NTLM", value), []byte("NTLMSSP\x00\x01")))
	require.False(t, last)

	more := offers(t, scheme.NTLM(), "NTLM "+base64.StdEncoding.EncodeToString(type2))
	require.Equal(t, scheme.Reading{More: true}, conversation.Challenged(more, true))
	value, last = next(t, conversation)
	type3 := token(t, "NTLM", value)
	require.True(t, bytes.HasPrefix(type3, []byte("NTLMSSP\x00\x03")))
	require.Contains(t, string(type3), string(inUTF16("alice")))
	require.Contains(t, string(type3), string(inUTF16("HTTP/proxy.example")), "of the proxy URL (R20)")
	require.True(t, last)
	conversation.Close()
	conversation.Close() // once more does nothing

	talk(t, session).Close() // before it has begun
	require.False(t, session.Used(), "it is good for any number of connections")
}

// R17: who has no name cannot be authenticated.
func TestNTLMBeginErrors(t *testing.T) {
	_, err := scheme.NTLM().Begin(t.Context(), scheme.Proxy{}, nil, scheme.Credentials{Password: "p"})
	require.EqualError(t, err, "no user name")
	if runtime.GOOS != "windows" { // where somebody is logged in
		_, err = scheme.NTLM().Begin(t.Context(), scheme.Proxy{}, nil, scheme.Credentials{})
		require.Equal(t, scheme.ErrNoCredentials, err)
	}
}

// R20: the handshake is bound to the proxy's certificate, by the hash that RFC 5929
// §4.1 names for its signature.
func TestChannelBinding(t *testing.T) {
	raw := []byte("a certificate")
	sum256, sum384, sum512 := sha256.Sum256(raw), sha512.Sum384(raw), sha512.Sum512(raw)
	for hash, algorithms := range map[string][]x509.SignatureAlgorithm{
		string(sum256[:]): {
			x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
			x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256,
		},
		string(sum384[:]): {x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384},
		string(sum512[:]): {x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512},
		"":                {x509.PureEd25519, x509.UnknownSignatureAlgorithm},
	} {
		for _, algorithm := range algorithms {
			bound := bindings(t, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: raw, SignatureAlgorithm: algorithm}, {}}})
			if hash == "" {
				require.Empty(t, bound, algorithm)
			} else {
				require.Equal(t, channelBinding([]byte("tls-server-end-point:"+hash)), bound, algorithm)
			}
		}
	}
	require.Empty(t, bindings(t, nil))
	require.Empty(t, bindings(t, &tls.ConnectionState{}))
}

// bindings returns the MsvAvChannelBindings of a type 3 (MS-NLMP §2.2.2.1) to a proxy
// that is reached in this way.
func bindings(t testing.TB, state *tls.ConnectionState) []byte {
	t.Helper()
	session := begin(t, scheme.NTLM(), "NTLM")
	conversation := session.Talk(t.Context(), scheme.Peer{Host: "proxy.example", TLS: state}, request(t, "GET", "http://origin.example/"), false)
	next(t, conversation)
	r := conversation.Challenged(offers(t, scheme.NTLM(), "NTLM "+base64.StdEncoding.EncodeToString(type2)), false)
	require.True(t, r.More)
	value, _ := next(t, conversation)
	// The pair is the last but the SPN, which is in it without a binding, too.
	const id, length = "\x0a\x00", "\x10\x00"
	_, rest, found := strings.Cut(string(token(t, "NTLM", value)), id+length)
	if !found {
		return nil
	}
	return []byte(rest[:md5.Size])
}
