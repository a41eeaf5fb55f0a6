package carrier

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A dial ends with the context that it has, with that of its request, and by
// Request.Cancel; and its context ends when it is stopped.
func TestEndWith(t *testing.T) {
	why := errors.New("why")
	for name, test := range map[string]struct {
		ends func(dial, request context.CancelCauseFunc, canceled chan struct{}, stop func())
		want error
	}{
		"its own":        {func(dial, _ context.CancelCauseFunc, _ chan struct{}, _ func()) { dial(why) }, why},
		"the request's":  {func(_, request context.CancelCauseFunc, _ chan struct{}, _ func()) { request(why) }, why},
		"Request.Cancel": {func(_, _ context.CancelCauseFunc, canceled chan struct{}, _ func()) { close(canceled) }, ErrCanceled},
		"stop":           {func(_, _ context.CancelCauseFunc, _ chan struct{}, stop func()) { stop() }, context.Canceled},
		"deadline":       {func(_, _ context.CancelCauseFunc, _ chan struct{}, _ func()) { time.Sleep(time.Hour) }, context.DeadlineExceeded},
	} {
		for _, marked := range []bool{false, true} {
			if marked && name == "its own" {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				dial, endDial := context.WithCancelCause(t.Context())
				defer endDial(nil)
				of, endRequest := context.WithCancelCause(t.Context())
				defer endRequest(nil)
				of, cancel := context.WithTimeout(of, time.Hour)
				defer cancel()
				req, err := http.NewRequestWithContext(of, "GET", "http://origin.example", nil)
				require.NoError(t, err)
				canceled := make(chan struct{})
				req.Cancel = canceled //lint:ignore SA1019 that is tested
				var ctx context.Context
				var stop func()
				if marked {
					// net/http dials with the values of the request's context, and goes
					// on when that has ended.
					dial = context.WithoutCancel(Marked(req).Context())
					ctx, stop = EndWithMarked(dial)
				} else {
					ctx, stop = EndWith(dial, req)
				}
				defer stop()
				end, ok := ctx.Deadline()
				require.True(t, ok, "by which a retry goes")
				require.Equal(t, time.Hour, time.Until(end))
				synctest.Wait()
				require.NoError(t, ctx.Err())
				test.ends(endDial, endRequest, canceled, stop)
				synctest.Wait()
				require.Error(t, ctx.Err())
				require.Equal(t, test.want, context.Cause(ctx))
			})
		}
	}

	// A dial that no request has marked goes on as it is.
	ctx, stop := EndWithMarked(t.Context())
	stop()
	require.Equal(t, t.Context(), ctx)
	require.NoError(t, ctx.Err())
	ctx, stop = EndWith(t.Context(), &http.Request{})
	_, limited := ctx.Deadline()
	require.False(t, limited)
	stop()
}
