package proxyauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/go-proxyauth/go-proxyauth/proxyauth/internal/hostname"
)

// Netrc returns a source of the credentials in a netrc file: login and password
// of the machine that is the proxy's host, without its port, else those of
// default. Names are compared without regard to case; an entry without a login
// does not count. Values with blanks stand in quotes, in which a backslash
// takes the next character as it is, except \n, \r and \t. Comments begin with
// #, where a keyword could stand; macros (macdef, to the next empty line) are
// skipped.
//
// The path "" is the environment's NETRC, else .netrc (on Windows _netrc) in
// the home directory; if that file does not exist there are no credentials. For
// the file's mode and changes see [CredentialFile].
func Netrc(path string) CredentialSource {
	optional := false
	if path == "" {
		path = os.Getenv("NETRC")
	}
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return FirstOf()
		}
		name := ".netrc"
		if runtime.GOOS == "windows" {
			name = "_netrc"
		}
		path, optional = filepath.Join(home, name), true
	}
	file := &secretFile[[]netrcEntry]{path: path, parse: parseNetrc}
	return CredentialFunc(func(_ context.Context, req CredentialRequest) (Credentials, error) {
		entries, err := file.get()
		if optional && errors.Is(err, fs.ErrNotExist) {
			return Credentials{}, ErrNoCredentials
		}
		if err != nil {
			return Credentials{}, fmt.Errorf("proxyauth: %w", err)
		}
		var fallback *netrcEntry
		host := hostname.Key(req.Proxy.Hostname())
		for i, e := range entries {
			switch {
			case e.cred.Username == "":
			case e.isDefault && fallback == nil:
				fallback = &entries[i]
			case !e.isDefault && hostname.Key(e.machine) == host:
				return e.cred, nil
			}
		}
		if fallback != nil {
			return fallback.cred, nil
		}
		return Credentials{}, ErrNoCredentials
	})
}

type netrcEntry struct {
	machine   string
	isDefault bool
	cred      Credentials
}

// parseNetrc reads a netrc file. Its errors name the line, but nothing in it.
func parseNetrc(text string) (entries []netrcEntry, err error) {
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
			entries = append(entries, netrcEntry{isDefault: true})
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
			entries = append(entries, netrcEntry{machine: value})
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
			e.cred.Username = value
		case "password":
			e.cred.Password = value
		}
	}
}

// A netrcScanner takes a netrc file apart. Its lines end with \n.
type netrcScanner struct {
	rest string
	line int
}

// word returns the next word, without its quotes; ok is false at the end.
func (s *netrcScanner) word() (word string, ok bool, err error) {
	s.advance(len(s.rest) - len(strings.TrimLeft(s.rest, netrcSpace)))
	if !strings.HasPrefix(s.rest, `"`) {
		n := strings.IndexAny(s.rest, netrcSpace)
		if n < 0 {
			n = len(s.rest)
		}
		word = s.rest[:n]
		s.advance(n)
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

// skip goes behind the next end.
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
