package carrier

import (
	"context"
	"io"
	"net/http"
	"time"
)

const (
	// MaxPage bounds the page that Drain returns.
	MaxPage = 4 << 10

	// What is read of an answer, and for how long, where the next leg can go on no
	// other connection.
	maxKeep = 1 << 20
	keepFor = 10 * time.Second
)

// Drain reads the body of an answer to its end, so that its connection can be used
// again, if it is not longer than max and comes within limit. ctx ends that, too.
// hangUp ends reading of the body, and is called in any case. The page is the
// beginning of the body, whole if that is all of it.
func Drain(ctx context.Context, resp *http.Response, hangUp func(*http.Response), limit time.Duration, max int64) (page []byte, whole bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { hangUp(resp); close(ended) })
	page, err := io.ReadAll(io.LimitReader(resp.Body, MaxPage))
	rest, end := io.CopyN(io.Discard, resp.Body, max)
	if !stop() {
		<-ended // it must not meet the next connection
	}
	hangUp(resp)
	return page, err == nil && rest == 0 && end == io.EOF
}
