package env

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// NetrcPath returns the path of the netrc file: the value of NETRC, else .netrc (on
// Windows _netrc) in the home directory, which need not exist (optional). Without a home
// directory the path is "".
func NetrcPath() (path string, optional bool) {
	if path := os.Getenv("NETRC"); path != "" {
		return path, false
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", true
	}
	name := ".netrc"
	if runtime.GOOS == "windows" {
		name = "_netrc"
	}
	return filepath.Join(home, name), true
}

// FindNetrc returns the first entry whose machine matches, else the first default entry,
// else nil. Entries without a login are passed over.
func FindNetrc(entries []NetrcEntry, matches func(machine string) bool) *NetrcEntry {
	var fallback *NetrcEntry
	for i, e := range entries {
		switch {
		case e.Login == "":
		case e.IsDefault && fallback == nil:
			fallback = &entries[i]
		case !e.IsDefault && matches(e.Machine):
			return &entries[i]
		}
	}
	return fallback
}

// A NetrcEntry is an entry of a netrc file, for one machine or for all others (default).
type NetrcEntry struct {
	Machine         string
	IsDefault       bool
	Login, Password string
}

// ParseNetrc reads the text of a netrc file. Its errors give the number of a line, but
// nothing of its text.
func ParseNetrc(text string) (entries []NetrcEntry, err error) {
	s := &netrcScanner{rest: strings.ReplaceAll(text, "\r\n", "\n"), line: 1}
	for {
		keyword, ok, err := s.word()
		if err != nil {
			return nil, err
		}
		if !ok {
			return entries, nil
		}
		at := s.line
		if strings.HasPrefix(keyword, "#") {
			s.skip("\n")
			continue
		}
		switch keyword {
		case "default":
			entries = append(entries, NetrcEntry{IsDefault: true})
			continue
		case "machine", "login", "password", "account", "macdef":
		default:
			return nil, fmt.Errorf("line %d: neither machine, default, login, password, account nor macdef (values with blanks stand in quotes)", at)
		}
		value, ok, err := s.word()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("line %d: nothing follows on %s", at, keyword)
		}
		switch keyword {
		case "machine":
			entries = append(entries, NetrcEntry{Machine: value})
			continue
		case "macdef":
			s.skip("\n\n")
			continue
		}
		if len(entries) == 0 {
			return nil, fmt.Errorf("line %d: %s before the first machine", at, keyword)
		}
		switch e := &entries[len(entries)-1]; keyword {
		case "login":
			e.Login = value
		case "password":
			e.Password = value
		}
	}
}

// A netrcScanner divides a netrc file into words. Lines end with \n.
type netrcScanner struct {
	rest string
	line int
}

// word returns the next word, without its quotes; ok is false at the end.
func (s *netrcScanner) word() (word string, ok bool, err error) {
	s.advance(len(s.rest) - len(strings.TrimLeft(s.rest, netrcSpace)))
	if !strings.HasPrefix(s.rest, `"`) {
		after := strings.TrimLeftFunc(s.rest, func(r rune) bool { return !strings.ContainsRune(netrcSpace, r) })
		word = s.rest[:len(s.rest)-len(after)]
		s.advance(len(word))
		return word, word != "", nil
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '"':
			s.advance(i + 1)
			return b.String(), true, nil
		case c == '\\' && i+1 < len(s.rest):
			i++
			c = s.rest[i]
			if j := strings.IndexByte("nrt", c); j >= 0 {
				c = "\n\r\t"[j]
			} else if c == '\n' {
				return "", false, s.unterminated()
			}
		case c == '\n':
			return "", false, s.unterminated()
		}
		b.WriteByte(c)
	}
	return "", false, s.unterminated()
}

const netrcSpace = " \t\r\n"

func (s *netrcScanner) unterminated() error {
	return fmt.Errorf("line %d: a quote that does not end", s.line)
}

// skip advances to the end of the text up to and including end.
func (s *netrcScanner) skip(end string) {
	n := len(s.rest)
	if i := strings.Index(s.rest, end); i >= 0 {
		n = i + len(end)
	}
	s.advance(n)
}

func (s *netrcScanner) advance(n int) {
	s.line += strings.Count(s.rest[:n], "\n")
	s.rest = s.rest[n:]
}
