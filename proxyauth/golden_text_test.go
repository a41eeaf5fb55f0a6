package proxyauth_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/proxytest"
)

// The golden table as text.

// A line says what the caller got in a situation, and what went over the wire.
type line struct{ situation, result, legs string }

// A goldenWire reads the transcript of a proxy, situation by situation.
type goldenWire struct {
	p      *proxytest.Proxy
	field  []string // what each Proxy-Authorization holds
	read   int      // legs of former situations
	conns  int      // connections of these
	nonces []string // of Digest, in this story
}

// story begins to name the nonces anew.
func (w *goldenWire) story() { w.nonces = nil }

// legs returns what came since the last call.
func (w *goldenWire) legs(t *testing.T) string {
	all := w.p.Transcript()
	conns := w.conns
	var legs []string
	for _, leg := range all[w.read:] {
		text := fmt.Sprintf("%d %s %s", leg.Conn-conns, leg.Method, w.credentials(t, leg))
		if leg.BodyBytes > 0 {
			text += fmt.Sprintf(" %dB", leg.BodyBytes)
		}
		if expect := leg.Header.Get("Expect"); expect != "" {
			text += " Expect"
			assert.Equal(t, "100-continue", expect)
		}
		legs = append(legs, fmt.Sprintf("%s → %d", text, leg.Status))
		w.conns = max(w.conns, leg.Conn)
	}
	w.read = len(all)
	if legs == nil {
		return "nothing"
	}
	return strings.Join(legs, " | ")
}

var (
	digestNonce = regexp.MustCompile(` nonce="([^"]*)"`)
	digestCount = regexp.MustCompile(` nc=([0-9a-f]{8})\b`)

	// How a token of Kerberos begins: the mechanism, and the type AP-REQ (RFC
	// 4121, section 4.1).
	kerberosToken = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00")
)

// credentials returns a short form of the leg's Proxy-Authorization.
func (w *goldenWire) credentials(t *testing.T, leg proxytest.Leg) string {
	fields := leg.Header["Proxy-Authorization"]
	if len(fields) == 0 {
		return "bare"
	}
	assert.Len(t, fields, 1)
	for _, part := range w.field {
		assert.Contains(t, fields[0]+",", part)
	}
	scheme, value, _ := strings.Cut(fields[0], " ")
	switch scheme {
	case "Basic":
		return scheme
	case "Digest":
		nonce, count := digestNonce.FindStringSubmatch(fields[0]), digestCount.FindStringSubmatch(fields[0])
		if assert.NotNil(t, nonce) && assert.NotNil(t, count) {
			i := slices.Index(w.nonces, nonce[1])
			if i < 0 {
				i = len(w.nonces)
				w.nonces = append(w.nonces, nonce[1])
			}
			return fmt.Sprintf("Digest-%c%s", 'a'+i, strings.TrimLeft(count[1], "0"))
		}
	case "NTLM", "Negotiate":
		token, err := base64.StdEncoding.DecodeString(value)
		assert.NoError(t, err)
		if _, message, ok := bytes.Cut(token, []byte("NTLMSSP\x00")); ok && len(message) > 0 {
			if scheme == "Negotiate" {
				scheme += "-ntlm"
			}
			return fmt.Sprintf("%s-%d", scheme, message[0])
		}
		if bytes.Contains(token, kerberosToken) {
			return scheme + "-kerberos"
		}
	}
	return scheme + "-unknown"
}

// trips returns the table. Cells that tell the same in all their situations
// stand together, as do situations that follow each other.
func trips(all []cell, stories [][]line) string {
	type block struct {
		labels [4]string
		text   string
	}
	var blocks []block
	for i, c := range all {
		blocks = append(blocks, block{[4]string{c.scheme.name, c.way, c.proxy, c.body}, paragraph(stories[i])})
	}
	const scheme, way, proxy, body = 0, 1, 2, 3
	for _, by := range []int{proxy, body, scheme} {
		var folded []block
		for _, b := range blocks {
			i := slices.IndexFunc(folded, func(f block) bool {
				f.labels[by] = b.labels[by]
				return f == b
			})
			if i < 0 {
				folded = append(folded, b)
			} else {
				folded[i].labels[by] += ", " + b.labels[by]
			}
		}
		blocks = folded
	}
	var out strings.Builder
	for i, b := range blocks {
		if i > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "%s · %s · %s proxy", b.labels[scheme], b.labels[way], b.labels[proxy])
		if b.labels[body] != "" {
			out.WriteString(" · " + b.labels[body])
		}
		out.WriteString("\n" + b.text)
	}
	return out.String()
}

func paragraph(lines []line) string {
	var out strings.Builder
	for len(lines) > 0 {
		first, situations := lines[0], lines[0].situation
		lines = lines[1:]
		for len(lines) > 0 && lines[0].result == first.result && lines[0].legs == first.legs {
			situations += ", " + lines[0].situation
			lines = lines[1:]
		}
		fmt.Fprintf(&out, "  %-16s  %-17s  %s\n", situations, first.result, first.legs)
	}
	return out.String()
}

// diff returns the lines of two texts that differ, each with the heading above
// it.
func diff(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	// common[i][j] is how many lines a[i:] and b[j:] have in common, in order.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	heading, shown := "", ""
	show := func(sign, text string) {
		if heading != shown {
			fmt.Fprintf(&out, "  %s\n", heading)
			shown = heading
		}
		fmt.Fprintf(&out, "%s %s\n", sign, text)
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			if strings.Contains(a[i], " · ") {
				heading = a[i]
			}
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			show("-", a[i])
			i++
		default:
			show("+", b[j])
			j++
		}
	}
	return out.String()
}
