package demand_test

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/challenge"
	. "github.com/go-proxyauth/go-proxyauth/proxyauth/internal/demand"
	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/scheme"
)

// A toy is a scheme that is nothing but its traits.
type toy struct {
	scheme.Scheme
	name     string
	strength int
}

func (s toy) Name() string          { return s.name }
func (s toy) Traits() scheme.Traits { return scheme.Traits{Strength: s.strength} }

// schemes are those of the scripts, the weakest first.
var schemes = []toy{{name: "Basic", strength: 1}, {name: "Digest", strength: 2}, {name: "NTLM", strength: 3}}

// A toySession is nothing but its nature.
type toySession struct {
	scheme.Session
	nature scheme.Nature
}

func (s *toySession) Nature() scheme.Nature { return s.nature }

// protections are the sessions that protect more than others; of another name are those
// that do not say how they protect.
var protections = map[string]int{"MD5": 1, "MD5-sess": 1, "SHA-256": 2, "SHA-512": 3}

func session(name string) scheme.Session {
	p := protections[name]
	if p == 0 {
		name = ""
	}
	return &toySession{nature: scheme.Nature{Protection: p, ProtectedBy: name}}
}

// A script is facts in their order, and what is known after them, a line each. A fact is
// followed by the plans that are no longer in force by it, if there are any:
//
//	<target> is challenged [by <schemes>]
//	<target> passes bare
//	an answer without credentials
//	<plan> is adopted               : <plans that are gone>
//	<plan> passes at <target>       : <plans that are gone>
//	<plan> becomes <plan>
//	<plan> is dropped               : <plans that are gone>
//	the proxy changes
//	probes tell
//	probes do not tell
//
//	asked                           : yes or no
//	offers                          : <schemes>
//	plans                           : <plans in force, in their order>
//	strength                        : <scheme>
//	protection                      : <session>
//	probes                          : tell or not
//	bare <targets>                  : <those of them that pass without credentials>
//	for <target>                    : <plan>
//	of <plan> <targets>             : <those of them that are of its realm>
//	find <user> <scheme> [<realm>]  : <plan>
//
// A plan is "<user>[@<realm>][/<scheme>][:<session>]". The scheme is Digest if it is not
// named. Without a realm the scheme has none; "?" after the user says that the plan was
// made without a challenge. Plans that differ by nothing but the session are one plan
// that goes on by another session. Words in parentheses are comments.
type script struct {
	t       *testing.T
	d       Demand
	plans   map[string]*Plan // by name
	targets []string         // that have occurred
	past    []moment
	line    string
}

// A moment is a demand of the past, and what it said then of the targets of the time.
type moment struct {
	d       Demand
	targets []string
	said    []string
}

// play runs a script.
func play(t *testing.T, text string) {
	t.Helper()
	s := &script{t: t, plans: map[string]*Plan{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "(")
		if s.line = strings.TrimSpace(line); s.line != "" {
			s.play()
		}
	}
	for _, m := range s.past {
		require.Equal(t, m.said, s.said(&m.d, m.targets), "a demand has changed after the fact")
	}
}

func (s *script) play() {
	line, want, _ := strings.Cut(s.line, " :")
	if words := strings.Fields(line); !s.asks(words, strings.TrimSpace(want)) {
		f := s.fact(words)
		if f.Target != "" && !slices.Contains(s.targets, f.Target) {
			s.targets = append(s.targets, f.Target)
		}
		s.past = append(s.past, moment{s.d, s.targets, s.said(&s.d, s.targets)})
		next, gone := s.d.Next(f)
		require.Equal(s.t, strings.TrimSpace(want), s.names(gone), s.line)
		s.d = next
	}
}

// fact returns what a line states.
func (s *script) fact(words []string) Fact {
	switch text := strings.Join(words, " "); {
	case text == "an answer without credentials":
		return Fact{What: Answered}
	case text == "the proxy changes":
		return Fact{What: Changed}
	case text == "probes tell", text == "probes do not tell":
		return Fact{What: Probed, Tell: text == "probes tell"}
	case strings.Contains(text, " is challenged"):
		f := Fact{What: Challenged, Target: words[0]}
		for _, name := range words[min(4, len(words)):] {
			f.Offers = append(f.Offers, challenge.Challenge{Scheme: name})
		}
		return f
	case strings.HasSuffix(text, " passes bare"):
		return Fact{What: PassedBare, Target: words[0]}
	case strings.HasSuffix(text, " is adopted"):
		return Fact{What: Adopted, Plan: s.plan(words[0])}
	case strings.HasSuffix(text, " is dropped"):
		return Fact{What: Dropped, Plan: s.plan(words[0])}
	case strings.Contains(text, " passes at "):
		p := s.plan(words[0])
		p.Passed()
		return Fact{What: Passed, Plan: p, Target: words[3]}
	case strings.Contains(text, " becomes "):
		return Fact{What: Replaced, Plan: s.plan(words[0]), By: s.plan(words[2])}
	}
	require.Fail(s.t, "no fact", s.line)
	return Fact{}
}

// asks answers a line that is a question, and reports whether it is one.
func (s *script) asks(words []string, want string) bool {
	got := ""
	switch d := &s.d; words[0] {
	case "asked":
		got = map[bool]string{true: "yes", false: "no"}[d.Asked]
	case "offers":
		got = offered(d)
	case "plans":
		got = s.names(d.Plans)
	case "strength":
		if d.Strength > 0 {
			got = schemes[d.Strength-1].name
		}
	case "protection":
		require.Equal(s.t, protections[d.ProtectedBy], d.Protection, s.line)
		got = d.ProtectedBy
	case "probes":
		if len(words) > 1 {
			return false
		}
		got = map[bool]string{true: "tell", false: "not"}[d.ProbesTell]
	case "bare":
		got = those(words[1:], d.IsBare)
	case "for":
		got = s.name(d.PlanFor(words[1]))
	case "of":
		p := s.plan(words[1])
		got = those(words[2:], func(target string) bool { return d.IsOf(target, p) })
	case "find":
		i := slices.IndexFunc(schemes, func(t toy) bool { return t.name == words[2] })
		realm := strings.Join(words[3:], " ")
		got = s.name(d.Find(schemes[i], realm, scheme.Credentials{Username: words[1]}))
	default:
		return false
	}
	require.Equal(s.t, want, got, s.line)
	return true
}

// plan returns the plan of a name, which it makes when the name first occurs.
func (s *script) plan(name string) *Plan {
	if p := s.plans[name]; p != nil {
		return p
	}
	one, by, _ := strings.Cut(name, ":")
	for other, p := range s.plans {
		if before, _, _ := strings.Cut(other, ":"); before == one {
			s.plans[name] = p.With(session(by))
			return s.plans[name]
		}
	}
	user, scheme, _ := strings.Cut(one, "/")
	user, realm, _ := strings.Cut(user, "@")
	s.plans[name] = plan(cmp.Or(scheme, "Digest"), realm, user).With(session(by))
	return s.plans[name]
}

// plan returns a plan without a session.
func plan(by, realm, user string) *Plan {
	i := slices.IndexFunc(schemes, func(t toy) bool { return t.name == by })
	p := &Plan{Scheme: schemes[i], Realm: realm, Record: new(Record), Offers: []challenge.Challenge{{Scheme: by}}}
	if name, unasked := strings.CutSuffix(user, "?"); unasked {
		user, p.Offers = name, nil
	}
	p.Credentials.Username = user
	return p
}

func (s *script) name(p *Plan) string {
	if p == nil {
		return "none"
	}
	for name, other := range s.plans {
		if other == p {
			return name
		}
	}
	return "?"
}

func (s *script) names(plans []*Plan) string {
	var all []string
	for _, p := range plans {
		all = append(all, s.name(p))
	}
	return strings.Join(all, " ")
}

// said returns all that a demand says, and says of targets.
func (s *script) said(d *Demand, targets []string) []string {
	all := []string{strconv.FormatBool(d.Asked), offered(d), s.names(d.Plans), strconv.Itoa(d.Strength), d.ProtectedBy, strconv.FormatBool(d.ProbesTell)}
	for _, target := range targets {
		known := target + " " + strconv.FormatBool(d.IsBare(target)) + " " + s.name(d.PlanFor(target))
		for _, p := range d.Plans {
			known += " " + strconv.FormatBool(d.IsOf(target, p))
		}
		all = append(all, known)
	}
	return all
}

func offered(d *Demand) string {
	var names []string
	for _, c := range d.Offers {
		names = append(names, c.Scheme)
	}
	return strings.Join(names, " ")
}

// those returns the targets for which is is true.
func those(targets []string, is func(string) bool) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(targets), func(t string) bool { return !is(t) }), " ")
}
