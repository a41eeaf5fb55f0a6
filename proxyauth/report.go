package proxyauth

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Report is what [Transport.Diagnose] found. It prints well and marshals to
// JSON. It holds no secrets, so it can be given to somebody who can help.
type Report struct {
	Target string // what was asked for: scheme and host of a URL, or host:port
	Proxy  string // the proxy's URL without userinfo, "" without a proxy
	Steps  []Step // in the order of the path; only the last can have failed

	// Err is the error that a request would meet, or what is wrong with the target or
	// the environment; nil: the path works.
	Err error
}

// OK reports whether the path works.
func (r *Report) OK() bool { return r.Err == nil }

// A Step is one part of the path.
type Step struct {
	Name    string   `json:"name"`             // "environment", "proxy", "TCP", "CONNECT", …
	Outcome Outcome  `json:"outcome"`          // how it went
	Details []string `json:"details"`          // what was found; the cause comes first if the step failed
	Remedy  string   `json:"remedy,omitempty"` // what to do; "" if there is nothing to do
}

// An Outcome says how a [Step] went.
type Outcome string

// The outcomes of a step.
const (
	StepOK     Outcome = "ok"
	StepNote   Outcome = "note"   // the path goes on, but this may be why a later step fails
	StepFailed Outcome = "failed" // the path ends here
)

// MarshalJSON writes the report with the fields ok, target, proxy, steps and
// error.
func (r *Report) MarshalJSON() ([]byte, error) {
	view := struct {
		OK     bool   `json:"ok"`
		Target string `json:"target"`
		Proxy  string `json:"proxy,omitempty"`
		Steps  []Step `json:"steps"`
		Error  string `json:"error,omitempty"`
	}{r.OK(), r.Target, r.Proxy, r.Steps, ""}
	if r.Err != nil {
		view.Error = r.Err.Error()
	}
	return json.Marshal(view)
}

// String prints the report for people, in lines of up to 96 columns and with a
// newline at the end.
func (r *Report) String() string {
	var b strings.Builder
	way := "directly"
	if r.Proxy != "" {
		way = "through " + r.Proxy
	}
	verdict := "works"
	if !r.OK() {
		verdict = "does NOT work"
	}
	fmt.Fprintf(&b, "The way to %s %s %s.\n\n", r.Target, way, verdict)
	for _, s := range r.Steps {
		left := fmt.Sprintf("%-12s %-7s", s.Name, s.Outcome)
		if s.Outcome == StepFailed {
			left = fmt.Sprintf("%-12s %-7s", s.Name, "FAILED")
		}
		for _, detail := range s.Details {
			left = column(&b, left, "", detail)
		}
		if s.Remedy != "" {
			column(&b, left, "-> ", s.Remedy)
		}
	}
	return b.String()
}

const (
	leftWidth  = len("environment  FAILED ") + 1
	rightWidth = 75
)

// column writes text beside left, with a mark before its first line, and
// returns what is left of the next.
func column(b *strings.Builder, left, mark, text string) string {
	line := mark
	flush := func() {
		fmt.Fprintf(b, "%-*s%s\n", leftWidth, left, line)
		left, line = "", strings.Repeat(" ", max(len(mark), 2))
	}
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > rightWidth {
			flush()
			empty = true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	flush()
	return ""
}
