package main

import (
	"os"
	"strings"
	"testing"

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
	text, err := run(short, t.Output())
	require.NoError(t, err)

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
		"Who gets through", "Trips", "Cold burst of 40", "A warm request", "Upload of 4 MiB to a cold proxy",
		"A tunnel of 4 MiB", "Primitives", "Memory per idle authenticated connection, of 40", "Ahead of us",
	}, titles)
	for title, rows := range tables {
		for _, row := range rows {
			if strings.Contains(row, "| go-proxyauth") && !strings.HasPrefix(row, "|  |") {
				require.NotRegexp(t, `\| (no|407|error|once|by CONNECT) \|`, row, title)
			}
		}
	}

	trips := strings.Join(tables["Trips"], "\n") // ours, and ours with the scheme set
	for _, want := range []string{
		"| Basic, forward | cold | 2 / 1 | 1 / 0 |",
		"| Basic, tunnel | new connection | 1 / 0 | 1 / 0 |",
		"| Digest SHA-256, tunnel | cold | 2 / 1 | 2 / 1 |",
		"| Digest MD5, forward | new connection | 1 / 0 | 1 / 0 |",
		"| NTLM, forward | cold | 3 / 2 | 2 / 1 |",
		"| NTLM, forward | warm | 1 / 0 | 1 / 0 |",
		"| NTLM, tunnel | new connection | 2 / 1 | 2 / 1 |",
		"| Negotiate, tunnel | cold | 2 / 1 | 1 / 0 |",
		"| Negotiate, tunnel | warm | 0 / 0 | 0 / 0 |",
	} {
		require.Contains(t, trips, want)
	}
	ahead := text[strings.Index(text, "## Ahead of us"):]
	require.NotContains(t, ahead, "Trips")

	for _, row := range tables["Upload of 4 MiB to a cold proxy"] {
		if strings.Contains(row, "| go-proxyauth") {
			require.Contains(t, row, "| whole | 1.00 |")
		}
	}
	for _, row := range tables["Cold burst of 40"] {
		if strings.Contains(row, "| go-proxyauth") {
			require.Regexp(t, `\| 0 \| [0-9.*]+ \|$`, row, "failures")
		}
	}
	for _, row := range tables["Memory per idle authenticated connection, of 40"] {
		if strings.Contains(row, "| go-proxyauth") {
			require.True(t, strings.HasSuffix(row, "| 40 |"), "all kept: "+row)
		}
	}
}
