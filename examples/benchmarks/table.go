package main

import (
	"fmt"
	"slices"
	"strings"
)

// A table is one section of the report.
type table struct {
	title, intro string
	head         []string
	rows         [][]string
	ahead        []string // who is ahead of us, and where
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// lead returns the cell, in bold if theirs is less than ours by more than the
// share of slack that the measurement has.
func (t *table) lead(cell, row, name string, theirs, ours, slack float64) string {
	if theirs >= ours*(1-slack) {
		return cell
	}
	t.ahead = append(t.ahead, fmt.Sprintf("%s, %s: %s", t.title, row, name))
	return "**" + cell + "**"
}

// faster is lead for times: ahead is who was faster in three rounds of four.
func (t *table) faster(r ratio, row, name string) string {
	return t.lead(r.String(), row+", time", name, r.upper, 1, 0.05)
}

func (t *table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", t.title, t.intro)
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	line(slices.Repeat([]string{"---"}, len(t.head)))
	for _, row := range t.rows {
		line(row)
	}
}

// reasons are why others are ahead, where that is known, by the table and the
// row.
var reasons = []struct{ where, why string }{
	{"Primitives, NTLM", "ours checks the type 2 first, names the target, binds the channel and, with a timestamp, adds the MIC (some µs for each connection)"},
	{"Primitives, Kerberos", "ours asks for mutual authentication and binds the channel"},
}

// standings lists who is ahead of us.
func standings(b *strings.Builder, tables []*table) {
	b.WriteString("\n## Ahead of us\n\n")
	none := true
	for _, t := range tables {
		for _, a := range t.ahead {
			none = false
			why := "not known; does it repeat?"
			for _, r := range reasons {
				if strings.HasPrefix(a, r.where) {
					why = r.why
				}
			}
			fmt.Fprintf(b, "- %s: %s\n", a, why)
		}
	}
	if none {
		b.WriteString("Nobody, in any row that both can run.\n")
	}
}
