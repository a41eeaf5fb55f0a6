package negotiate_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-proxyauth/go-proxyauth/negotiate"
)

// A guard is asked before logins, and told how they end.
type guard struct {
	k *kdc

	mu    sync.Mutex
	turns int     // how often it was asked
	ends  []error // what it was told
	early []string
}

// turn lets a login go at once.
func (g *guard) turn(context.Context) (after func(error), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turns++
	g.early = append(g.early, g.k.since()...)
	return g.ended, nil
}

func (g *guard) ended(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends = append(g.ends, err)
}

// since returns how often it was asked and what it was told since the last call.
func (g *guard) since() (turns int, ends []error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	turns, ends = g.turns, g.ends
	g.turns, g.ends = 0, nil
	return turns, ends
}

// R8: a login by password is asked for before the KDC is, and its end is told: a
// ticket, a wrong password, or something that says nothing of the password.
func TestLoginIsAskedForAndTold(t *testing.T) {
	nothingElse(t)
	for name, test := range map[string]struct {
		change   func(k *kdc, o *negotiate.Options)
		spn      string
		ends     string // what is told: "" for a ticket, else the cause
		rejected bool
	}{
		"ticket":           {func(*kdc, *negotiate.Options) {}, spn, "", false},
		"unknown service":  {func(*kdc, *negotiate.Options) {}, "HTTP/nowhere", "", false},
		"wrong password":   {func(_ *kdc, o *negotiate.Options) { o.Password = "bob's" }, spn, "wrong password or key", true},
		"unreadable":       {func(k *kdc, o *negotiate.Options) { k.open, o.Password = true, "bob's" }, spn, "wrong password or key", true},
		"unknown user":     {func(_ *kdc, o *negotiate.Options) { o.Username = "nobody@" + corp }, spn, "the KDC does not know this user", false},
		"expired password": {func(k *kdc, _ *negotiate.Options) { k.refuse(errorcode.KDC_ERR_KEY_EXPIRED) }, spn, "the password has expired", false},
		"disabled":         {func(k *kdc, _ *negotiate.Options) { k.refuse(errorcode.KDC_ERR_CLIENT_REVOKED) }, spn, "the account is disabled or locked", false},
		"clock":            {func(k *kdc, _ *negotiate.Options) { k.refuse(errorcode.KRB_AP_ERR_SKEW) }, spn, "the clocks differ too much", false},
		"no KDC":           {func(_ *kdc, o *negotiate.Options) { o.Username = "alice@NOWHERE" }, spn, "no KDC is known for the realm", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKDC(t)
			o := k.alice(t)
			test.change(k, &o)
			client, g := negotiate.NewClient(o), &guard{k: k}
			client.BeforeLogin(g.turn)
			_, err := client.Ticket(t.Context(), test.spn)
			require.Equal(t, name == "ticket", err == nil)
			turns, ends := g.since()
			require.Equal(t, 1, turns)
			require.Empty(t, g.early)
			require.Len(t, ends, 1)
			if test.ends == "" {
				require.NoError(t, ends[0])
				return
			}
			require.Equal(t, err, ends[0])
			var e *negotiate.Error
			require.ErrorAs(t, ends[0], &e)
			require.Equal(t, test.ends, e.Cause)
			require.Equal(t, test.rejected, e.Rejected)
		})
	}
}

// R8: what needs no password is not asked for.
func TestOnlyLoginsByPasswordAreAskedFor(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	now := time.Now()
	cache := func(service string) string {
		path := filepath.Join(t.TempDir(), "cache")
		k.cache(t, path, "alice", credential{service: service, begin: now, end: now.Add(time.Hour)})
		return path
	}
	for name, o := range map[string]negotiate.Options{
		"service's ticket":             {CachePath: cache(spn)},
		"cache":                        {CachePath: cache(tgt)},
		"the cache of who is named":    {CachePath: cache(tgt), Username: "alice@" + corp, Password: "bob's"},
		"keytab":                       {KeytabPath: k.keytab(t, "alice@"+corp)},
		"no realm, and so no login":    {Username: "alice", Password: "alice's"},
		"no credentials, and no login": {},
	} {
		o.ConfigPath = k.conf(t)
		client, g := negotiate.NewClient(o), &guard{k: k}
		client.BeforeLogin(g.turn)
		client.Ticket(t.Context(), spn)
		turns, _ := g.since()
		require.Zero(t, turns, name)
	}

	client, g := negotiate.NewClient(k.alice(t)), &guard{k: k}
	client.BeforeLogin(g.turn)
	k.since()
	for range 3 {
		_, err := client.Ticket(t.Context(), spn)
		require.NoError(t, err)
	}
	turns, ends := g.since()
	require.Equal(t, 1, turns)
	require.Equal(t, []error{nil}, ends)
	require.Equal(t, both("alice"), k.since())

	client = negotiate.NewClient(k.alice(t))
	client.BeforeLogin(g.turn)
	client.BeforeLogin(nil)
	_, err := client.Ticket(t.Context(), spn)
	require.NoError(t, err)
	turns, _ = g.since()
	require.Zero(t, turns)
}

// R8: a login that is not let go asks no KDC, says why, is no refusal whatever the
// reason says of one, and is asked for again by who comes next. One that is let go
// need not be told of.
func TestLoginThatIsNotLetGo(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	client := negotiate.NewClient(k.alice(t))
	held := &negotiate.Error{SPN: spn, Cause: "the password is held back", Remedy: "wait", Rejected: true}
	turns := 0
	client.BeforeLogin(func(context.Context) (after func(error), err error) {
		if turns++; turns > 2 {
			return nil, nil
		}
		return func(error) { t.Error("told of a login that was not let go") }, held
	})
	for range 2 {
		_, err := client.Ticket(t.Context(), spn)
		require.ErrorIs(t, err, held)
		require.EqualError(t, err, "negotiate: no ticket for "+spn+": "+held.Error())
		var e *negotiate.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, negotiate.Error{SPN: spn, Cause: held.Error()}, negotiate.Error{SPN: e.SPN, Cause: e.Cause, Remedy: e.Remedy, Rejected: e.Rejected, Barred: e.Barred})
		require.Empty(t, k.since())
	}
	_, err := client.Ticket(t.Context(), spn)
	require.NoError(t, err)
	require.Equal(t, both("alice"), k.since())
}

// R8, R26: who guards logins says when a refused password is tried again. What he
// does not know of stands as without him.
func TestRefusalUnderGuard(t *testing.T) {
	nothingElse(t)
	for name, test := range map[string]struct {
		code   int32
		keytab bool
		stands time.Duration
	}{
		"password":        {errorcode.KDC_ERR_PREAUTH_FAILED, false, 0},
		"user":            {errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, false, 5 * time.Second},
		"clock":           {errorcode.KRB_AP_ERR_SKEW, false, 5 * time.Second},
		"key of a keytab": {errorcode.KDC_ERR_PREAUTH_FAILED, true, 31 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKDC(t)
			k.refuse(test.code)
			o := k.alice(t)
			if test.keytab {
				o = negotiate.Options{ConfigPath: o.ConfigPath, KeytabPath: k.keytab(t, "alice@"+corp)}
			}
			client, g := negotiate.NewClient(o), &guard{k: k}
			client.BeforeLogin(g.turn)
			synctest.Test(t, func(t *testing.T) {
				asked := func() int {
					_, err := client.Ticket(t.Context(), spn)
					require.Error(t, err)
					turns, ends := g.since()
					require.Len(t, ends, turns)
					if n := len(k.since()); test.keytab {
						turns = n
					} else {
						require.Equal(t, turns, n)
					}
					return turns
				}
				require.Equal(t, 1, asked())
				if test.stands > 0 {
					time.Sleep(test.stands)
					require.Zero(t, asked())
					time.Sleep(time.Nanosecond)
				}
				require.Equal(t, 1, asked())
			})
		})
	}
}

// A ticketFor is a call of Ticket that may be given up.
type ticketFor struct {
	giveUp func()
	err    chan error
}

func start(ctx context.Context, client *negotiate.Client) ticketFor {
	ctx, cancel := context.WithCancel(ctx)
	c := ticketFor{cancel, make(chan error, 1)}
	go func() {
		_, err := client.Ticket(ctx, spn)
		c.err <- err
	}()
	return c
}

type contextKey struct{}

// R8, R23: a burst is one turn and one login. Whoever gives up while it is waited
// for, be it the first, disturbs nobody.
func TestBurstWaitsForItsTurn(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	g := &guard{k: k}
	client := negotiate.NewClient(k.alice(t))
	synctest.Test(t, func(t *testing.T) {
		var ctx context.Context
		free := make(chan struct{})
		client.BeforeLogin(func(c context.Context) (func(error), error) {
			ctx = c
			<-free
			return g.turn(c)
		})
		named, cancel := context.WithTimeout(context.WithValue(t.Context(), contextKey{}, "the first"), time.Minute)
		defer cancel()
		calls := []ticketFor{start(named, client)}
		synctest.Wait()
		for range 49 {
			calls = append(calls, start(t.Context(), client))
		}
		synctest.Wait()
		for _, c := range calls[:10] {
			c.giveUp()
			require.ErrorIs(t, <-c.err, context.Canceled)
		}
		time.Sleep(time.Hour)
		require.NoError(t, ctx.Err())
		require.Equal(t, "the first", ctx.Value(contextKey{}))

		close(free)
		for _, c := range calls[10:] {
			require.NoError(t, <-c.err)
			c.giveUp()
		}
		require.Error(t, ctx.Err()) // there is nothing more to wait for
		turns, ends := g.since()
		require.Equal(t, 1, turns)
		require.Equal(t, []error{nil}, ends)
		require.Equal(t, both("alice"), k.since())
	})
}

// R8, R34: nobody's turn is not waited for, nor taken. Who comes later has a turn of
// his own.
func TestAllGiveUpBeforeTheirTurn(t *testing.T) {
	nothingElse(t)
	for _, stubborn := range []bool{false, true} {
		k := newKDC(t)
		g := &guard{k: k}
		client := negotiate.NewClient(k.alice(t))
		synctest.Test(t, func(t *testing.T) {
			var ended error
			free := make(chan struct{})
			client.BeforeLogin(func(ctx context.Context) (func(error), error) {
				<-ctx.Done()
				ended = context.Cause(ctx)
				if stubborn { // takes the turn, and late
					<-free
					return g.turn(ctx)
				}
				return nil, ended
			})
			calls := []ticketFor{start(t.Context(), client), start(t.Context(), client)}
			synctest.Wait()
			calls[0].giveUp()
			synctest.Wait()
			require.NoError(t, ended)
			calls[1].giveUp()
			synctest.Wait()
			require.EqualError(t, ended, "negotiate: nobody waits for the ticket any more")

			client.BeforeLogin(g.turn)
			_, err := client.Ticket(t.Context(), spn)
			require.NoError(t, err)
			turns, ends := g.since()
			require.Equal(t, 1, turns)
			require.Equal(t, []error{nil}, ends)
			require.Equal(t, both("alice"), k.since())

			close(free)
			synctest.Wait()
			_, ends = g.since()
			if stubborn {
				require.Equal(t, []error{ended}, ends)
			} else {
				require.Empty(t, ends)
			}
			require.Empty(t, k.since())
		})
	}
}

// R8, R34: a login that is under way when all give up is told of all the same, and
// its ticket serves who comes later.
func TestAllGiveUpAfterTheirTurn(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	g := &guard{k: k}
	client := negotiate.NewClient(k.alice(t))
	client.BeforeLogin(g.turn)
	held, release := k.holdNext(t, "AS")
	c := start(t.Context(), client)
	<-held
	c.giveUp()
	require.ErrorIs(t, <-c.err, context.Canceled)
	release()
	_, err := client.Ticket(t.Context(), spn)
	require.NoError(t, err)
	turns, ends := g.since()
	require.Equal(t, 1, turns)
	require.Equal(t, []error{nil}, ends)
	require.Equal(t, both("alice"), k.since())
}

// R23: a new ticket cache while a turn is waited for is another asking; the end of
// the old one takes nothing from the new one.
func TestCacheChangesBeforeTheTurn(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	o := k.alice(t)
	o.CachePath = filepath.Join(t.TempDir(), "cache")
	client := negotiate.NewClient(o)
	synctest.Test(t, func(t *testing.T) {
		client.BeforeLogin(func(ctx context.Context) (func(error), error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		old := start(t.Context(), client)
		synctest.Wait()
		k.cache(t, o.CachePath, "bob", credential{service: tgt, begin: time.Now(), end: time.Now().Add(time.Hour)})
		turns := 0
		free := make(chan struct{})
		client.BeforeLogin(func(context.Context) (func(error), error) {
			turns++
			<-free
			return nil, nil
		})
		calls := []ticketFor{start(t.Context(), client)}
		synctest.Wait()
		old.giveUp()
		require.ErrorIs(t, <-old.err, context.Canceled)
		calls = append(calls, start(t.Context(), client))
		synctest.Wait()
		close(free)
		for _, c := range calls {
			assert.NoError(t, <-c.err)
			c.giveUp()
		}
		require.Equal(t, 1, turns)
	})
}

// The error of a login that was not let go wraps its reason.
func TestReasonIsWrapped(t *testing.T) {
	nothingElse(t)
	k := newKDC(t)
	client := negotiate.NewClient(k.alice(t))
	reason := errors.New("KDC_ERR_PREAUTH_FAILED, says he")
	client.BeforeLogin(func(context.Context) (func(error), error) { return nil, reason })
	_, err := client.Ticket(t.Context(), spn)
	var e *negotiate.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, reason)
	require.False(t, e.Rejected)
}
