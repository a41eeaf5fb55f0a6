package carrier

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A page is read up to a length, for so long, and as long as somebody waits.
func TestDrain(t *testing.T) {
	for name, test := range map[string]struct {
		length   int
		max      int64
		trickles time.Duration // after each KiB
		patience time.Duration
		page     int
		read     int
		took     time.Duration
	}{
		"none":        {0, 1 << 10, 0, time.Hour, 0, 0, 0},
		"short":       {100, 1 << 10, 0, time.Hour, 100, 100, 0},
		"page":        {MaxPage, 1 << 10, 0, time.Hour, MaxPage, MaxPage, 0},
		"more":        {MaxPage + 1000, 1 << 10, 0, time.Hour, MaxPage, MaxPage + 1000, 0},
		"too long":    {MaxPage + 2000, 1 << 10, 0, time.Hour, MaxPage, MaxPage + 1024, 0},
		"trickles":    {MaxPage + 1024, 1 << 20, time.Second, time.Hour, MaxPage, MaxPage + 1024, 5 * time.Second},
		"slow":        {MaxPage + 6<<10, 1 << 20, time.Second, time.Hour, MaxPage, 8 << 10, 8500 * time.Millisecond},
		"slow page":   {MaxPage, 1 << 20, 4 * time.Second, time.Hour, 2 << 10, 2 << 10, 8500 * time.Millisecond},
		"not awaited": {MaxPage, 1 << 20, 4 * time.Second, 5 * time.Second, 1 << 10, 1 << 10, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for left := test.length; left > 0; left -= min(left, 1<<10) {
					time.Sleep(test.trickles)
					if _, err := io.WriteString(w, strings.Repeat("x", min(left, 1<<10))); err != nil {
						return
					}
				}
				w.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), test.patience)
			defer cancel()
			body := &counting{ReadCloser: r}
			resp := &http.Response{Body: body}
			begin := time.Now()
			hung := 0
			page, whole := Drain(ctx, resp, func(hangUp *http.Response) {
				require.Same(t, resp, hangUp)
				hung++
				if test.took == test.patience || test.took == 8500*time.Millisecond {
					time.Sleep(time.Nanosecond) // it is waited for
				}
				hangUp.Body.Close()
			}, 8500*time.Millisecond, test.max)
			require.Len(t, page, test.page, name)
			require.Equal(t, test.length <= MaxPage && test.read == test.length, whole, name)
			require.EqualValues(t, test.read, body.n.Load(), name)
			require.Equal(t, test.took, time.Since(begin).Truncate(time.Millisecond), name)
			require.Equal(t, test.took >= 5*time.Second && name != "trickles", hung == 2, name)
			r.Close()
			<-done
		})
	}
}

// A counting body counts what is read.
type counting struct {
	io.ReadCloser
	n atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
