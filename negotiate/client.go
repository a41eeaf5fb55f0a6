package negotiate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Options say where a Client has its credentials from. The zero value takes
// them from the environment, as the MIT programs do: the ticket cache, else the
// client keytab.
type Options struct {
	// ConfigPath is the krb5.conf. Empty: the files of KRB5_CONFIG, else
	// /etc/krb5.conf.
	ConfigPath string

	// CachePath is the ticket cache: "FILE:…", "DIR:…" or a plain path.
	// Empty: KRB5CCNAME, else default_ccache_name of krb5.conf, else
	// /tmp/krb5cc_ and the user's id.
	CachePath string

	// KeytabPath is the keytab of the client. Empty: KRB5_CLIENT_KTNAME.
	KeytabPath string

	// Principal is the principal whose key in the keytab is used. Empty: that of the
	// first entry.
	Principal string

	// Username and Password log in by password, if the name has a realm:
	// "alice@CORP.EXAMPLE". With another form of name no KDC is asked, whose
	// realm would be a guess. In any form a ticket cache counts only if it is
	// alice's, and a keytab not at all.
	Username, Password string
}

const redacted = "negotiate.Options(REDACTED)"

// Format prints the same redacted text for every verb and flag.
func (o Options) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText is what encoding/json and log/slog write.
func (o Options) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// A Client has service tickets for one user. It is safe for concurrent use,
// keeps what it gets, and has nothing running in the background.
type Client struct {
	options      Options
	defaultCache func() string // of krb5.conf, read once

	mu      sync.Mutex
	stamp   stamp // of the files when the rest was got from them
	tickets map[string]*Ticket
	asking  map[string]*asking // under way, or failed not long ago

	beforeLogin func(context.Context) (after func(error), err error)
}

// Format prints the same for every verb: a client has a password and keys.
func (c *Client) Format(f fmt.State, _ rune) { io.WriteString(f, "negotiate.Client") }

// A Ticket is a Kerberos ticket for one service.
type Ticket struct {
	ticket messages.Ticket
	key    types.EncryptionKey
	realm  string // the client's
	name   types.PrincipalName
	end    time.Time
	source string // "ticket cache", "keytab" or "password"

	used atomic.Int64 // when an authenticator was last made, in microseconds
}

// String returns a text that names the ticket's principal, where it came from and when
// it ends.
func (t *Ticket) String() string {
	return fmt.Sprintf("ticket of %s by the %s, valid until %s",
		oneLine(t.Principal()), t.source, t.end.Local().Format("2006-01-02 15:04 MST"))
}

// Principal returns the client's principal, such as "alice@CORP.EXAMPLE".
func (t *Ticket) Principal() string { return t.name.PrincipalNameString() + "@" + t.realm }

// Format prints t.String() for every verb: a ticket has a key.
func (t *Ticket) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// now returns the time for an authenticator. No two are alike: a service takes
// the second one for a replay (RFC 4120 §3.2.3).
func (t *Ticket) now() time.Time {
	for {
		last, now := t.used.Load(), time.Now().UnixMicro()
		now = max(now, last+1)
		if t.used.CompareAndSwap(last, now) {
			return time.UnixMicro(now).UTC()
		}
	}
}

// renewBefore is how long before its end a ticket is not used any more.
const renewBefore = time.Minute

// NewClient returns a client. Nothing is read before the first [Client.Ticket].
func NewClient(o Options) *Client {
	return &Client{options: o, defaultCache: sync.OnceValue(func() string { return cacheName(o.ConfigPath) }), tickets: make(map[string]*Ticket), asking: make(map[string]*asking)}
}

// Ticket returns a ticket for the service with this SPN, such as "HTTP/proxy.example".
// The ticket is kept, and replaced from a minute before it ends; calls at the same time
// ask a KDC once. The call ends with ctx, although the question to the KDC may go on for
// a while; the error is then the cause of ctx. Any other error is an [*Error], which
// names the cause and the remedy. If the password or key is Rejected, or the user is
// Barred, later calls return that error without asking a KDC for 31 minutes, but see
// [Client.BeforeLogin]; any other error is returned in this way for 5 seconds.
func (c *Client) Ticket(ctx context.Context, spn string) (*Ticket, error) {
	stamp := c.files()
	c.mu.Lock()
	if stamp != c.stamp { // kinit, a new keytab: perhaps another user's
		c.stamp = stamp
		clear(c.tickets)
		clear(c.asking)
	}
	if t := c.tickets[spn]; t != nil && time.Until(t.end) > renewBefore {
		c.mu.Unlock()
		return t, nil
	}
	a := c.asking[spn]
	if a == nil || a.over() {
		a = newAsking()
		c.asking[spn] = a
		go c.ask(context.WithoutCancel(ctx), spn, a)
	}
	a.waiting++
	c.mu.Unlock()
	defer c.leave(spn, a)
	select {
	case <-a.done:
		return a.ticket, a.err
	case <-a.late:
		select {
		case <-a.done:
			return a.ticket, a.err
		default:
			return nil, explain(errSilent, spn)
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Kept returns the ticket that the last call of [Client.Ticket] for the service has
// returned, even if it has ended by now. It is nil if there was none, or if the files
// that it came from have changed since, as kinit does.
func (c *Client) Kept(spn string) *Ticket {
	stamp := c.files()
	c.mu.Lock()
	defer c.mu.Unlock()
	if stamp != c.stamp {
		return nil
	}
	return c.tickets[spn]
}

// A source is where a service ticket is to be had from: one of the three is set.
type source struct {
	ticket *Ticket        // itself, of the cache
	tgt    *Ticket        // of the cache
	login  *client.Client // with the password or the keytab

	conf *config.Config
}

// source looks for one on this machine.
func (c *Client) source(spn string) (s source, err error) {
	defer malformed(&err)
	if s.conf, err = loadConfig(c.options.ConfigPath); err != nil {
		return s, err
	}
	cache, cacheErr := c.loadCache()
	if cacheErr == nil && c.options.Username != "" && !cache.isOf(c.options.Username) {
		cacheErr = errors.New("the ticket cache is another user's")
	}
	if cacheErr == nil {
		if s.ticket = cache.find(spn); s.ticket != nil {
			return s, nil
		}
		if s.tgt = cache.find("krbtgt/" + cache.realm()); s.tgt != nil {
			return s, nil
		}
		cacheErr = errors.New("the ticket cache has no valid ticket (kinit gets one)")
	}
	if s.login, err = c.login(s.conf); err != nil {
		err = fmt.Errorf("%w; %w", cacheErr, err)
	}
	return s, err
}

// malformed makes a panic an error: gokrb5 takes well-formed files and answers for
// granted. It is to be deferred.
func malformed(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed Kerberos data: %v", r)
	}
}

// obtain gets a service ticket from the cache, or with the TGT of the cache, of
// the password or of the keytab. stands is how long its failure is that of those
// who ask next.
func (c *Client) obtain(ctx context.Context, spn string, a *asking) (t *Ticket, stands time.Duration, err error) {
	s, err := c.source(spn)
	if err != nil { // what is missing here, kinit may have brought a moment later
		return nil, 0, explain(err, spn)
	}
	if s.ticket != nil {
		return s.ticket, 0, nil
	}
	if s.tgt != nil {
		t, err = exchange(newClient(s.tgt.name, s.tgt.realm, s.conf), s.tgt, spn, s.conf)
		err = explain(err, spn)
		return t, standsFor(err, false), err
	}
	defer s.login.Destroy()
	var after func(error) // nil: nobody is told
	origin := "keytab"
	if c.options.Username != "" {
		origin = "password"
		if after, err = c.awaitTurn(ctx, spn, a); err != nil {
			return nil, 0, notSent(err, spn)
		}
	}
	tgt, err := authenticate(s.login, s.conf)
	err = explain(err, spn)
	if after != nil {
		after(err)
	}
	if err == nil {
		tgt.source = origin
		t, err = exchange(s.login, tgt, spn, s.conf)
		err = explain(err, spn)
	}
	return t, standsFor(err, after != nil), err
}

// login returns a gokrb5 client for the password or the keytab.
func (c *Client) login(conf *config.Config) (*client.Client, error) {
	o := c.options
	if o.Username != "" {
		name, realm, ok := cutLast(o.Username, "@")
		if !ok {
			return nil, errors.New("no Kerberos realm in the user name")
		}
		if !slices.ContainsFunc(conf.Realms, func(r config.Realm) bool { return r.Realm == realm }) {
			realm = strings.ToUpper(realm)
		}
		return client.NewWithPassword(name, realm, o.Password, conf, client.DisablePAFXFAST(true)), nil
	}
	kt, name, realm, err := loadKeytab(o.KeytabPath, o.Principal)
	if err != nil {
		return nil, err
	}
	return client.NewWithKeytab(name, realm, kt, conf, client.DisablePAFXFAST(true)), nil
}

func newClient(name types.PrincipalName, realm string, conf *config.Config) *client.Client {
	return client.NewWithPassword(name.PrincipalNameString(), realm, "", conf, client.DisablePAFXFAST(true))
}

// authenticate gets a TGT by an AS exchange. gokrb5's Login would do more: it
// starts a goroutine that renews.
func authenticate(cl *client.Client, conf *config.Config) (t *Ticket, err error) {
	defer malformed(&err)
	realm := cl.Credentials.Domain()
	req, err := messages.NewASReqForTGT(realm, conf, cl.Credentials.CName())
	if err != nil {
		return nil, err
	}
	rep, err := cl.ASExchange(realm, req, 0)
	if err != nil {
		return nil, err
	}
	return &Ticket{ticket: rep.Ticket, key: rep.DecryptedEncPart.Key, realm: realm, name: cl.Credentials.CName(), end: rep.DecryptedEncPart.EndTime}, nil
}

// exchange gets a service ticket by a TGS exchange, by way of the service's
// realm where krb5.conf names another.
func exchange(cl *client.Client, tgt *Ticket, spn string, conf *config.Config) (t *Ticket, err error) {
	defer malformed(&err)
	defer cl.Destroy() // what a referral may have started
	service := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, spn)
	_, host, _ := strings.Cut(spn, "/")
	realm := tgt.realm
	if theirs := conf.ResolveRealm(host); theirs != "" && theirs != realm {
		krbtgt := types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", theirs}}
		if tgt, err = ask(cl, krbtgt, realm, tgt); err != nil {
			return nil, err
		}
		realm = theirs
	}
	return ask(cl, service, realm, tgt)
}

func ask(cl *client.Client, service types.PrincipalName, realm string, tgt *Ticket) (*Ticket, error) {
	_, rep, err := cl.TGSREQGenerateAndExchange(service, realm, tgt.ticket, tgt.key, false)
	if err != nil {
		return nil, err
	}
	return &Ticket{ticket: rep.Ticket, key: rep.DecryptedEncPart.Key, realm: tgt.realm, name: tgt.name, end: rep.DecryptedEncPart.EndTime, source: tgt.source}, nil
}
