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
	ahead        []lead
	close        []string // who was faster by the median, and not often enough to be ahead
}

// A lead is someone ahead of us in a row.
type lead struct {
	table, row, name string
	exact            bool // counted, and so the same in every run
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// leads returns the cell, in bold if it is ahead of ours.
func (t *table) leads(cell string, l lead, ahead bool) string {
	if !ahead {
		return cell
	}
	l.table = t.title
	t.ahead = append(t.ahead, l)
	return "**" + cell + "**"
}

// fewer is leads for what is counted: ahead is who has less, by as much as would
// show in the cell.
func (t *table) fewer(cell, row, name string, theirs, ours, step float64) string {
	return t.leads(cell, lead{row: row, name: name, exact: true}, theirs < ours-step/2)
}

// less is leads for what is measured: ahead is who had less by more than a share
// of slack, of all that was measured.
func (t *table) less(cell, row, name string, theirs, ours []float64, slack float64) string {
	ahead := true
	for i := range theirs {
		ahead = ahead && theirs[i] < ours[i]*(1-slack)
	}
	return t.leads(cell, lead{row: row, name: name}, ahead)
}

// faster is leads for times.
func (t *table) faster(r ratio, row, name string) string {
	if !r.ahead() && r.median < 0.95 {
		t.close = append(t.close, fmt.Sprintf("%s, %s: %s (%v)", t.title, row, name, r))
	}
	return t.leads(r.String(), lead{row: row + ", time", name: name}, r.ahead())
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

// reasons are why others are ahead, where that is known, by the beginnings of
// the table's title and of the row.
var reasons = []struct{ table, row, why string }{
	{"Primitives", "NTLM", "ours takes the NTLMv2 response from Azure/go-ntlmssp, and does more: it checks the type 2 and hands it over anew," +
		" names the target, binds the channel and, with a timestamp, adds the MIC, for which it derives the session's key a second time" +
		" (some µs for each connection)"},
	{"Primitives", "Kerberos", "both build the AP-REQ by gokrb5, with as many allocations but for one or two, by the length of numbers in it; ours" +
		" looks whether the ticket cache and the keytab are still the same files, and offers Microsoft's OID of Kerberos too, as Windows does"},
}

func (l lead) reason() string {
	for _, r := range reasons {
		if strings.HasPrefix(l.table, r.table) && strings.HasPrefix(l.row, r.row) {
			return r.why + "."
		}
	}
	return ""
}

func (l lead) String() string { return fmt.Sprintf("%s, %s: %s", l.table, l.row, l.name) }

// standings lists who is ahead of us, by the reasons, and returns those leads
// that a change of code must have made: they are exact, and nobody has given a
// reason.
func standings(b *strings.Builder, tables []*table) (unexplained []lead) {
	b.WriteString("\n## Ahead of us\n\n")
	var whys []string
	leads := map[string][]lead{} // by reason
	for _, t := range tables {
		for _, l := range t.ahead {
			why := l.reason()
			switch {
			case why == "" && l.exact:
				unexplained = append(unexplained, l)
				why = "**NO REASON IS KNOWN, AND IT IS EXACT**."
			case why == "":
				why = "**No reason is known**; does another run say the same?"
			}
			if leads[why] == nil {
				whys = append(whys, why)
			}
			leads[why] = append(leads[why], l)
		}
	}
	for _, why := range whys {
		var last lead
		for i, l := range leads[why] {
			switch {
			case i == 0:
				fmt.Fprintf(b, "- %v", l)
			case l.table == last.table && l.row == last.row:
				fmt.Fprintf(b, ", %s", l.name)
			case l.table == last.table:
				fmt.Fprintf(b, "; %s: %s", l.row, l.name)
			default:
				fmt.Fprintf(b, "; %v", l)
			}
			last = l
		}
		fmt.Fprintf(b, ".\n  Why: %s\n", why)
	}
	if whys == nil {
		b.WriteString("Nobody, in any row that both can run.\n")
	}
	var close []string
	for _, t := range tables {
		close = append(close, t.close...)
	}
	if close != nil {
		fmt.Fprintf(b, "\nFaster by the median, but not in rounds enough to count: %s.\n", strings.Join(close, "; "))
	}
	return unexplained
}
