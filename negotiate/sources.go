package negotiate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// A cache is a ticket cache that was read.
type cache struct{ *credentials.CCache }

func (c cache) user() string  { return c.DefaultPrincipal.PrincipalName.PrincipalNameString() }
func (c cache) realm() string { return c.DefaultPrincipal.Realm }

// clockSkew is how far the KDC's clock may be ahead.
const clockSkew = 5 * time.Minute

// isOf reports whether the cache is of the user: of that name, and of that realm
// if the name has one.
func (c cache) isOf(username string) bool {
	_, realm, ok := cutLast(username, "@")
	return strings.EqualFold(c.user(), bareName(username)) && (!ok || strings.EqualFold(c.realm(), realm))
}

// find returns a ticket for a service that is good for a while, or nil.
func (c cache) find(service string) *Ticket {
	for _, cred := range c.Credentials {
		now := time.Now()
		if cred.Server.PrincipalName.PrincipalNameString() != service || cred.StartTime.After(now.Add(clockSkew)) || cred.EndTime.Sub(now) < renewBefore {
			continue
		}
		t := &Ticket{key: cred.Key, realm: cred.Client.Realm, name: cred.Client.PrincipalName, end: cred.EndTime, source: "ticket cache"}
		if t.ticket.Unmarshal(cred.Ticket) == nil {
			return t
		}
	}
	return nil
}

// cachePath returns the file of the ticket cache.
func (c *Client) cachePath() (path string, err error) {
	name := c.options.CachePath
	if name == "" {
		name = os.Getenv("KRB5CCNAME")
	}
	if name == "" {
		name = c.defaultCache()
	}
	if name == "" {
		name = fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid())
	}
	if kind, rest, ok := strings.Cut(name, ":"); ok && kind == strings.ToUpper(kind) && len(kind) > 1 {
		switch kind {
		case "FILE":
			return rest, nil
		case "DIR":
			return primary(rest)
		}
		return "", fmt.Errorf("ticket caches of type %s cannot be read: use FILE or DIR", kind)
	}
	return name, nil
}

// A stamp tells the state of the files that credentials come from: the ticket
// cache and the keytab.
type stamp struct {
	cache string
	files [2]struct{ modified, size int64 }
}

func (c *Client) files() (s stamp) {
	s.cache, _ = c.cachePath()
	for i, path := range [2]string{s.cache, keytabPath(c.options.KeytabPath)} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			s.files[i].modified, s.files[i].size = info.ModTime().UnixNano(), info.Size()
		}
	}
	return s
}

// loadCache reads the ticket cache.
func (c *Client) loadCache() (loaded cache, err error) {
	path, err := c.cachePath()
	if err != nil {
		return loaded, err
	}
	// gokrb5 takes a well-formed file for granted.
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the ticket cache %s is malformed", path)
		}
	}()
	loaded.CCache, err = credentials.LoadCCache(path)
	if err != nil {
		return loaded, fmt.Errorf("ticket cache: %w", err)
	}
	return loaded, nil
}

// primary returns the file of a DIR: collection that is in use; "DIR::" names
// one directly.
func primary(dir string) (string, error) {
	if file, ok := strings.CutPrefix(dir, ":"); ok {
		return file, nil
	}
	name, err := os.ReadFile(filepath.Join(dir, "primary"))
	if errors.Is(err, os.ErrNotExist) {
		return filepath.Join(dir, "tkt"), nil
	}
	if err != nil {
		return "", fmt.Errorf("ticket cache: %w", err)
	}
	return filepath.Join(dir, filepath.Base(strings.TrimSpace(string(name)))), nil
}

func keytabPath(path string) string {
	if path == "" {
		path = os.Getenv("KRB5_CLIENT_KTNAME")
	}
	return strings.TrimPrefix(path, "FILE:")
}

// loadKeytab reads the client keytab, and finds out whose it is.
func loadKeytab(path, principal string) (kt *keytab.Keytab, name, realm string, err error) {
	if path = keytabPath(path); path == "" {
		return nil, "", "", errors.New("no keytab (KRB5_CLIENT_KTNAME), no user name and password")
	}
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the keytab %s is malformed", path)
		}
	}()
	kt, err = keytab.Load(path)
	if file := new(fs.PathError); errors.As(err, &file) {
		return nil, "", "", fmt.Errorf("keytab: %w", file)
	} else if err != nil {
		// Without gokrb5's words, which repeat the file and its keys.
		return nil, "", "", fmt.Errorf("the keytab %s is malformed", path)
	}
	if principal != "" {
		name, realm, _ = cutLast(principal, "@")
		return kt, name, realm, nil
	}
	if len(kt.Entries) == 0 {
		return nil, "", "", fmt.Errorf("the keytab %s is empty", path)
	}
	p := kt.Entries[0].Principal
	return kt, strings.Join(p.Components, "/"), p.Realm, nil
}

// bareName returns a user name without realm or domain.
func bareName(username string) string {
	if name, _, ok := cutLast(username, "@"); ok {
		return name
	}
	if _, name, ok := strings.Cut(username, `\`); ok {
		return name
	}
	return username
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// An Error tells why there is no ticket, and what to do.
type Error struct {
	SPN    string // of the service
	Cause  string // in a few words
	Remedy string // what to do, in a few words

	// Rejected: the password or the key is wrong.
	Rejected bool

	// Barred: the KDC gives this user nothing, be the password right or wrong. It
	// does not know the user, the account is disabled or locked, or the password
	// has expired.
	Barred bool

	err error
}

// Error is the cause, the remedy and what gokrb5 says.
func (e *Error) Error() string {
	if e.Remedy == "" { // not gokrb5's
		return fmt.Sprintf("negotiate: no ticket for %s: %s", e.SPN, e.Cause)
	}
	return fmt.Sprintf("negotiate: no ticket for %s: %s: %s (%v)", e.SPN, e.Cause, e.Remedy, e.err)
}

// Unwrap returns the error of gokrb5, whose text is in one line, or that of the function of
// BeforeLogin.
func (e *Error) Unwrap() error { return e.err }

// A meaning is what an error says of the user.
type meaning int

const (
	other    meaning = iota // nothing
	rejected                // Error.Rejected
	barred                  // Error.Barred
)

// causes of an error, by what gokrb5's text says of it.
var causes = []struct {
	text, cause, remedy string
	means               meaning
}{
	{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "the KDC does not know this service", "check the host name in the proxy's URL, which is the SPN's, or have the SPN registered", other},
	{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "the KDC does not know this user", "check user name and realm", barred},
	{"KDC_ERR_PREAUTH_FAILED", "wrong password or key", "check the password, or export the keytab anew", rejected},
	{"KDC_ERR_KEY_EXPIRED", "the password has expired", "change it", barred},
	{"KDC_ERR_CLIENT_REVOKED", "the account is disabled or locked", "ask its administrators", barred},
	{"KRB_AP_ERR_SKEW", "the clocks differ too much", "set this machine's clock (NTP)", other},
	{"KRB_AP_ERR_TKT_EXPIRED", "the ticket has expired", "kinit gets a new one", other},
	{"KDC_ERR_ETYPE_NOSUPP", "no common encryption type", "compare the enctypes of krb5.conf, account and keytab", other},
	{"clock skew with KDC", "the clocks differ too much", "set this machine's clock (NTP)", other},
	{"matching key not found in keytab", "the keytab has no key of this kind for the user", "export it anew with the encryption types that the KDC uses", other},
	{"error decrypting AS_REP encrypted part", "wrong password or key", "check the password, or export the keytab anew", rejected},
	{"no KDC SRV records", "no KDC is known for the realm", "name it in krb5.conf", other},
	{"lookup _kerberos", "no KDC is known for the realm", "name it in krb5.conf", other},
	{"no KDCs", "no KDC is known for the realm", "name it in krb5.conf", other},
	{"does not have any defined KDCs", "no KDC is known for the realm", "name it in krb5.conf", other},
	{"communicat", "the KDC cannot be reached", "check krb5.conf and the network", other},
	{"error sending to", "the KDC cannot be reached", "check krb5.conf and the network", other},
	{"no Kerberos realm", "no ticket, and no realm to get one from", "kinit, or write the user name as user@REALM", other},
	{"ticket caches of type", "a ticket cache that cannot be read", "set KRB5CCNAME to FILE: and a path, then kinit", other},
	{"keytab: ", "no usable keytab", "check KRB5_CLIENT_KTNAME", other},
	{"the keytab ", "no usable keytab", "check KRB5_CLIENT_KTNAME", other},
	{"ticket cache", "no ticket", "kinit, a keytab (KRB5_CLIENT_KTNAME), or user name and password", other},
}

// explain returns the Error that err is, nil for nil.
func explain(err error, spn string) error {
	if err == nil {
		return nil
	}
	e := &Error{SPN: spn, Cause: "Kerberos failed", Remedy: "see krb5.conf", err: inOneLine(err)}
	for _, c := range causes {
		if strings.Contains(err.Error(), c.text) {
			e.Cause, e.Remedy, e.Rejected, e.Barred = c.cause, c.remedy, c.means == rejected, c.means == barred
			break
		}
	}
	return e
}
