package scheme_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/digest"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

const wrongProof = `rspauth="00000000000000000000000000000000"`

// rspauth is a Proxy-Authentication-Info with the right proof in reply to an answer.
func rspauth(answer digest.Params, body string) string {
	return fmt.Sprintf(`rspauth="%s", cnonce="%s", nc=%s, qop=%s`, digestOf(answer, "", body), answer.Get("cnonce"), answer.Get("nc"), answer.Get("qop"))
}

// R13: a proof in the header is verified at once, and with it counts the nonce that it
// comes with.
func TestDigestProofInHeader(t *testing.T) {
	const name = "Proxy-Authentication-Info: "
	for text, test := range map[string]struct {
		fields    func(right string) []string
		nextNonce string
		wrong     bool
	}{
		"none":                    {func(string) []string { return nil }, "", false},
		"right":                   {func(right string) []string { return []string{name + right} }, "", false},
		"wrong":                   {func(string) []string { return []string{name + wrongProof + `, nextnonce="m"`} }, "", true},
		"in two fields":           {func(right string) []string { return []string{name + `nextnonce="m"`, name + right} }, "m", false},
		"wrong in the second":     {func(string) []string { return []string{name + `nextnonce="m"`, name + wrongProof} }, "", true},
		"malformed from there on": {func(right string) []string { return []string{name + right + `, nextnonce="m", ?, rspauth=x`} }, "m", false},
	} {
		t.Run(text, func(t *testing.T) {
			conversation := talk(t, begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth"`))
			resp := reply(request(t, "GET", "http://origin.example/"), 200, "page", test.fields(rspauth(sent(t, conversation), ""))...)
			body := resp.Body
			next, err := conversation.Passed(resp, nil)
			require.Equal(t, body, resp.Body)
			if test.wrong {
				require.Nil(t, next)
				require.Equal(t, scheme.Unproven{Err: digest.ErrServer}, err)
				return
			}
			require.NoError(t, err)
			if test.nextNonce == "" {
				require.Nil(t, next)
				return
			}
			nonce, _ := nonceOf(t, talk(t, next))
			require.Equal(t, test.nextNonce, nonce)
		})
	}
}

// R13: a proof that can be verified only when the body has been read, and the nonce
// that counts from then on.
func TestDigestProofAfterBody(t *testing.T) {
	const auth, authInt = `Digest realm="r", nonce="n", qop="auth"`, `Digest realm="r", nonce="n", qop="auth-int"`
	for name, test := range map[string]struct {
		offer           string
		header, trailer string // of Proxy-Authentication-Info; "right" stands for the proof
		change          func(*http.Response)
		late            bool   // the body is verified
		wrong           bool   // and the proof is wrong
		nextNonce       string // after the body
	}{
		"in the trailer":                {auth, "", "right", nil, true, false, ""},
		"wrong in the trailer":          {auth, "", wrongProof + `, nextnonce="m"`, nil, true, true, ""},
		"nothing in the trailer":        {auth, "", "none", nil, true, false, ""},
		"nextnonce in the trailer":      {auth, "right", `nextnonce="m"`, nil, true, false, "m"},
		"the header counts first":       {auth, `nextnonce="m"`, `nextnonce="o", right`, nil, true, false, "m"},
		"wrong beside the header":       {auth, `nextnonce="m"`, wrongProof, nil, true, true, ""},
		"unpacked, without the body":    {auth, "", wrongProof, func(r *http.Response) { r.Uncompressed = true }, true, true, ""},
		"of the body":                   {authInt, `right, nextnonce="m"`, "", nil, true, false, "m"},
		"wrong of the body":             {authInt, wrongProof, "", nil, true, true, ""},
		"of the body, in the trailer":   {authInt, "", "right", nil, true, false, ""},
		"unpacked":                      {authInt, wrongProof + `, nextnonce="m"`, "", func(r *http.Response) { r.Uncompressed = true }, true, false, "m"},
		"only a nonce":                  {authInt, `nextnonce="m"`, "", nil, false, false, "m"},
		"of the body of another tunnel": {authInt, "empty", "", func(r *http.Response) { r.Request.Method = "CONNECT" }, false, false, ""},
		"101 has no body":               {auth, "right", "right", func(r *http.Response) { r.StatusCode = 101 }, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			session := begin(t, plainDigest, test.offer)
			conversation := talk(t, session)
			answer := sent(t, conversation)
			info := strings.NewReplacer("right", rspauth(answer, "page"), "empty", rspauth(answer, ""))
			resp := reply(request(t, "GET", "http://origin.example/"), 200, "page")
			if test.header != "" {
				resp.Header.Set("Proxy-Authentication-Info", info.Replace(test.header))
			}
			if test.trailer != "" {
				resp.Trailer = http.Header{"Proxy-Authentication-Info": nil}
			}
			if test.change != nil {
				test.change(resp)
			}
			body := resp.Body
			var nonces []string
			adopt := func(next scheme.Session) {
				nonce, _ := nonceOf(t, talk(t, next))
				nonces = append(nonces, nonce)
			}
			next, err := conversation.Passed(resp, adopt)
			conversation.Close()
			require.NoError(t, err)
			if !test.late {
				require.Equal(t, body, resp.Body)
				if next != nil {
					adopt(next)
				}
				require.Equal(t, test.nextNonce, strings.Join(nonces, " "))
				return
			}
			require.Nil(t, next)
			require.Equal(t, "proxyauth: response body", fmt.Sprintf("%+v", resp.Body))

			var page [4]byte
			_, err = io.ReadFull(resp.Body, page[:])
			require.NoError(t, err)
			require.Equal(t, "page", string(page[:]))
			require.Empty(t, nonces)
			if resp.Trailer != nil && test.trailer != "none" {
				resp.Trailer.Set("Proxy-Authentication-Info", info.Replace(test.trailer))
			}
			_, err = resp.Body.Read(page[:])
			if test.wrong {
				require.ErrorIs(t, err, digest.ErrServer)
				require.EqualError(t, err, "proxyauth: proxy's Proxy-Authentication-Info: "+digest.ErrServer.Error())
			} else {
				require.Equal(t, io.EOF, err)
			}
			_, err = resp.Body.Read(page[:])
			require.Equal(t, io.EOF, err, "it is told once")
			require.Equal(t, test.nextNonce, strings.Join(nonces, " "))
			require.NoError(t, resp.Body.Close())
		})
	}
}

// The last bytes may come with the end, nobody need wait for the nonce, and what fails
// in between is no matter of the proof.
func TestDigestProofOfOddBodies(t *testing.T) {
	read := func(body io.Reader, later func(scheme.Session)) (string, error) {
		conversation := talk(t, begin(t, plainDigest, `Digest realm="r", nonce="n", qop="auth-int"`))
		info := rspauth(sent(t, conversation), "page") + `, nextnonce="m"`
		resp := reply(request(t, "GET", "http://origin.example/"), 200, "", "Proxy-Authentication-Info: "+info)
		resp.Body = io.NopCloser(body)
		next, err := conversation.Passed(resp, later)
		require.NoError(t, err)
		require.Nil(t, next)
		page, err := io.ReadAll(resp.Body)
		return string(page), err
	}
	page, err := read(iotest.DataErrReader(strings.NewReader("page")), nil)
	require.NoError(t, err)
	require.Equal(t, "page", page)

	page, err = read(iotest.DataErrReader(strings.NewReader("other")), nil)
	require.ErrorIs(t, err, digest.ErrServer)
	require.Equal(t, "other", page)

	told := 0
	page, err = read(iotest.OneByteReader(strings.NewReader("page")), func(scheme.Session) { told++ })
	require.NoError(t, err)
	require.Equal(t, "page", page)
	require.Equal(t, 1, told)

	broken := errors.New("broken")
	page, err = read(io.MultiReader(strings.NewReader("pa"), iotest.ErrReader(broken)), func(scheme.Session) { told++ })
	require.Equal(t, broken, err)
	require.Equal(t, "pa", page)
	require.Equal(t, 1, told)
}
