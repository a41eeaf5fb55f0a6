package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if stubMain() {
		return
	}
	os.Exit(m.Run())
}

// Every row runs, whatever the environment says, and ours passes everywhere.
func TestShort(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.invalid:3128")
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
	t.Setenv("KRB5CCNAME", "FILE:/nonexistent")
	text, unexplained, err := run(short, t.Output())
	require.NoError(t, err)
	require.Empty(t, unexplained, "ahead of us")
	require.Contains(t, text, "\nNot measured: snyk/go-httpauth, ")

	var titles []string
	tables := map[string][]string{} // rows
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			titles = append(titles, title)
		} else if strings.HasPrefix(line, "|") {
			last := titles[len(titles)-1]
			tables[last] = append(tables[last], line)
		}
	}
	require.Equal(t, []string{
		"Ahead of us", "Who gets through", "Trips", "Cold burst of 20", "A warm request", "Upload of 4 MiB to a cold proxy",
		"A tunnel of 4 MiB", "Primitives", "Memory per idle authenticated connection, of 20",
	}, titles)
	for title, rows := range tables {
		failed := "no|error|once|by CONNECT"
		if title == "Who gets through" {
			failed += "|407" // a figure in other tables
		}
		for _, row := range rows {
			if strings.Contains(row, "| go-proxyauth") && !strings.HasPrefix(row, "|  |") {
				require.NotRegexp(t, `\| (`+failed+`) \|`, row, title)
			}
		}
	}

	trips := strings.Join(tables["Trips"], "\n") // ours, and ours with the scheme set
	for _, want := range []string{
		"| Basic, forward | 2/1 · 1/0 · 1/0 | 1/0 · 1/0 · 1/0 |",
		"| Basic, tunnel | 2/1 · 0/0 · 1/0 | 1/0 · 0/0 · 1/0 |",
		"| Digest MD5, forward | 2/1 · 1/0 · 1/0 | 2/1 · 1/0 · 1/0 |",
		"| Digest SHA-256, tunnel | 2/1 · 0/0 · 1/0 | 2/1 · 0/0 · 1/0 |",
		"| NTLM, forward | 3/2 · 1/0 · 2/1 | 2/1 · 1/0 · 2/1 |",
		"| NTLM, tunnel | 3/2 · 0/0 · 2/1 | 2/1 · 0/0 · 2/1 |",
		"| Negotiate, tunnel | 2/1 · 0/0 · 1/0 | 1/0 · 0/0 · 1/0 |",
	} {
		require.Contains(t, trips, want)
	}
	require.NotContains(t, trips, "**", "ahead of us")

	uploads := tables["Upload of 4 MiB to a cold proxy"]
	require.Contains(t, uploads[0], "|  | go-proxyauth | go-proxyauth, scheme set | ")
	for _, row := range uploads[2:] {
		require.Regexp(t, `^\| [^|]+ \| 1\.00 · \d+ \| 1\.00 · \d+ \|`, row)
	}
	for _, row := range tables["Cold burst of 20"] {
		if strings.Contains(row, "| go-proxyauth") {
			require.Regexp(t, `\| 0 \| [0-9.*]+ \|$`, row, "failures")
		}
	}
	for _, row := range tables["Memory per idle authenticated connection, of 20"] {
		if strings.Contains(row, "| go-proxyauth") {
			require.True(t, strings.HasSuffix(row, "| 20 |"), "all kept: "+row)
		}
	}
}

// A lead needs a reason if it is one for good, and shows in the report in any case.
func TestLeads(t *testing.T) {
	tab := &table{title: "A table"}
	require.Equal(t, "41", tab.fewer("41", "row", "peer", 41.2, 41.3, 1))
	require.Equal(t, "**41**", tab.fewer("41", "allocations", "peer", 41.2, 42.1, 1))
	require.Equal(t, "7", tab.less("7", "row", "peer", []float64{7, 9}, []float64{8, 8}, 0.02), "not in all rounds")
	require.Equal(t, "**7**", tab.less("7", "memory", "peer", []float64{7, 7}, []float64{8, 8}, 0.02))
	require.Equal(t, "0.90", tab.faster(ratio{median: 0.9, upper: 1.1}, "row", "peer"))
	require.Equal(t, "0.96", tab.faster(ratio{median: 0.96, upper: 1.1}, "row", "peer"))
	primitives := &table{title: "Primitives"}
	require.Equal(t, "**1**", primitives.fewer("1", "NTLM, allocations", "peer", 1, 2, 1))

	var b strings.Builder
	unexplained := standings(&b, []*table{tab, primitives})
	require.Equal(t, []lead{{"A table", "allocations", "peer", true}}, unexplained)
	require.Contains(t, b.String(), "- A table, allocations: peer.\n  Why: **NO REASON IS KNOWN, AND IT IS EXACT**.\n")
	require.Contains(t, b.String(), "- A table, memory: peer.\n  Why: **No reason is known**; does another run say the same?\n")
	require.Contains(t, b.String(), "\nFaster by the median, but not in rounds enough to count: A table, row: peer (0.90).\n")
	require.Contains(t, b.String(), "- Primitives, NTLM, allocations: peer.\n  Why: ours ")
}

// Someone who is ahead in one series only is not ahead.
func TestTakeTurns(t *testing.T) {
	series := func(theirs ...time.Duration) contest {
		n := 0
		c, err := takeTurns(2, to(0), []func() (time.Duration, error){
			func() (time.Duration, error) { return 100, nil },
			func() (time.Duration, error) { n++; return theirs[n-1], nil },
		})
		require.NoError(t, err)
		require.Equal(t, len(theirs), n)
		return c
	}
	require.False(t, series(90, 100).ratio(1, 0).ahead())
	require.False(t, series(90, 90, 90, 100).ratio(1, 0).ahead())
	require.True(t, series(90, 90, 90, 90).ratio(1, 0).ahead())
}
