package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// maxCuts is how often a download may be cut off.
const maxCuts = 5

// download gets the artifact into a new file, and returns its size.
func (b *bot) download(ctx context.Context, j *job, path string) (int64, error) {
	api, err := url.Parse(b.api)
	if err != nil {
		return 0, err
	}
	artifact, err := api.Parse(j.Artifact)
	if err != nil {
		return 0, err
	}
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()

	d := &download{file: file, sum: sha256.New(), out: b.out}
	for cuts := 0; ; cuts++ {
		body, err := d.request(ctx, b, artifact.String())
		if err != nil {
			return 0, err
		}
		switch {
		case cuts > 0 && d.done > 0:
			fmt.Fprintf(b.out, "artifact: cut off, going on at byte %d\n", d.done)
		case cuts > 0:
			fmt.Fprintln(b.out, "artifact: cut off, beginning again")
		}
		_, err = io.Copy(d, body)
		body.Close()
		if err == nil {
			break
		}
		var local *fs.PathError // of our file: no other answer can mend that
		if cuts == maxCuts || ctx.Err() != nil || errors.As(err, &local) {
			return 0, err
		}
	}
	if got := hex.EncodeToString(d.sum.Sum(nil)); !strings.EqualFold(got, j.SHA256) {
		return 0, fmt.Errorf("artifact: SHA-256 is %s, not %s", got, j.SHA256)
	}
	fmt.Fprintf(b.out, "artifact: %d bytes, SHA-256 is right\n", d.done)
	return d.done, file.Close()
}

// A download is a file that comes in, perhaps in parts.
type download struct {
	file *os.File
	sum  hash.Hash
	out  io.Writer // for the progress

	etag       string
	done, size int64
}

// request asks for what is not there yet (RFC 9110, section 14), or for
// everything if it has changed meanwhile.
func (d *download) request(ctx context.Context, b *bot, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // net/http would count what it has unzipped
	if d.done > 0 && d.etag != "" {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
		req.Header.Set("If-Range", d.etag)
	}
	resp, err := b.send(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		if err := d.restart(); err != nil {
			resp.Body.Close()
			return nil, err
		}
	case resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.done)):
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s, Content-Range %q", url, resp.Status, resp.Header.Get("Content-Range"))
	}
	d.size = d.done + resp.ContentLength // -1: not known
	if d.etag = resp.Header.Get("ETag"); strings.HasPrefix(d.etag, "W/") {
		d.etag = "" // a weak one says nothing of bytes
	}
	return resp.Body, nil
}

func (d *download) restart() error {
	if d.done == 0 {
		return nil
	}
	d.done = 0
	d.sum.Reset()
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.file.Truncate(0)
}

// Write takes the next bytes, and tells each quarter of the whole.
func (d *download) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.sum.Write(p[:n])
	before := d.done
	d.done += int64(n)
	if d.size >= d.done {
		if quarter := 4 * d.done / d.size; quarter > 4*before/d.size {
			fmt.Fprintf(d.out, "artifact: %d %%\n", 25*quarter)
		}
	}
	return n, err
}
