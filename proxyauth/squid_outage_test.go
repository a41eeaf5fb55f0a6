//go:build realproxy

package proxyauth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// outage lets squid's helpers answer the next queries that begin so with these words.
// It needs OUTAGES=on.
func (s *squid) outage(t *testing.T, o squidOutage) {
	t.Helper()
	for i := range o.n {
		name := filepath.Join(s.dir, fmt.Sprint("outage.", i))
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "outage"), []byte(o.query+"\n"+o.answer+"\n"), 0o644))
		require.NoError(t, os.Rename(filepath.Join(s.dir, "outage"), name))
	}
}

// outagesLeft returns how many of these answers are still to be given, and ends them.
func (s *squid) outagesLeft(t *testing.T) int {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(s.dir, "outage.*"))
	require.NoError(t, err)
	for _, name := range left {
		require.NoError(t, os.Remove(name))
	}
	return len(left)
}

// The outages of a moment that squid's helpers tell of. It asks another helper, twice,
// if one of Basic or Digest says BH.
var squidOutages = map[string][]squidOutage{
	"basic":  {{1, "alice ", "ERR"}, {3, "alice ", `BH message="no directory"`}},
	"digest": {{1, `"alice"`, "ERR"}, {3, `"alice"`, `BH message="no directory"`}},
	"ntlm": {
		{1, "YR", "BH NT_STATUS_UNSUCCESSFUL"},
		{1, "KK", "NA NT_STATUS_NO_LOGON_SERVERS"},
		{1, "KK", "BH NT_STATUS_NO_LOGON_SERVERS"},
	},
	"negotiate": {{1, "YR", "NA * no directory"}, {1, "YR", "BH no directory"}},
}

type squidOutage struct {
	n             int
	query, answer string
}

// squidRemembers is how long squid does not ask for a user again, with the lines of
// squidForgets.
const squidRemembers = 2100 * time.Millisecond

var squidForgets = map[string]string{
	"basic":  "auth_param basic credentialsttl 1 second",
	"digest": "authenticate_ttl 1 second\nauthenticate_cache_garbage_interval 1 second",
}

// R37: (b) squid's helper has lost its directory for a moment: that costs the
// request which meets it, by each scheme, alone and among 20 at once.
func TestSquidOutage(t *testing.T) {
	table := newSquidTable(t, "scheme", "way", "the helper says", "requests at once", "failed", "answers 407", "next passed after")
	for _, l := range squidLogons(t) {
		s := l.start(t, "OUTAGES=on", "SQUID_EXTRA="+squidForgets[l.squid])
		for _, w := range s.plainWays() {
			for _, outage := range squidOutages[l.squid] {
				for _, n := range []int{1, 20} {
					name := []string{l.name, w.kind(), outage.query, outage.answer, fmt.Sprint(n)}
					t.Run(strings.Join(name, " "), func(t *testing.T) { testSquidOutage(t, l, w, outage, n, table) })
				}
			}
		}
	}
}

func testSquidOutage(t *testing.T, l squidLogon, w squidWay, outage squidOutage, n int, table *squidTable) {
	s := w.s
	o, other := s.newOrigin(t), s.newOrigin(t)
	tr := l.transport(t, w, o)
	requireOK(t, tr, w.target(o))
	tr.CloseIdleConnections()
	if squidForgets[l.squid] != "" {
		time.Sleep(squidRemembers)
	}

	before := tr.Stats()
	s.outage(t, outage)
	var failed atomic.Int64
	together(t, n, func() error {
		begun := time.Now()
		err := fetchOK(tr, w.target(o))
		if err != nil {
			failed.Add(1)
		}
		if took := time.Since(begun); took > inCrowd {
			return fmt.Errorf("answered after %s: %v", took, err)
		}
		return nil
	})
	require.Zero(t, s.outagesLeft(t))
	next := requirePrompt(t, tr, w.target(other))
	next = max(next, requirePrompt(t, tr, w.target(o)))
	after := tr.Stats()

	table.row(l.name, w.kind(), outage.query+": "+outage.answer, n, failed.Load(), after.Challenges-before.Challenges, next)
	require.Zero(t, after.NotSent)
	if l.squid == "basic" {
		// squid asks once for all who wait, and refuses them all.
		require.Equal(t, after.Rejections-before.Rejections, failed.Load())
	} else {
		require.LessOrEqual(t, failed.Load(), int64(1))
	}
	require.Empty(t, append(o.proxyFields(), other.proxyFields()...))
}
