package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A build is the API, with one job:
//
//	GET  /jobs/1         {"state": "running"}, and in the end
//	                     {"state": "done", "artifact": "/artifacts/1", "sha256": "…"}
//	GET  /artifacts/1    the artifact; it can be had in parts
//	PUT  /jobs/1/report  takes a report
//
// It is slow (the job is done at the fifth look), and the first download is cut
// off in the middle.
type build struct {
	*http.ServeMux
	artifact []byte

	mu        sync.Mutex
	looks     int
	downloads int
	report    string
}

func newBuild() *build {
	b := &build{ServeMux: http.NewServeMux(), artifact: bytes.Repeat([]byte("0123456789abcdef"), 1<<16)}
	b.HandleFunc("GET /jobs/1", b.serveJob)
	b.HandleFunc("GET /artifacts/1", b.serveArtifact)
	b.HandleFunc("PUT /jobs/1/report", b.takeReport)
	return b
}

func (b *build) serveJob(w http.ResponseWriter, req *http.Request) {
	b.mu.Lock()
	b.looks++
	looks := b.looks
	b.mu.Unlock()
	state := map[string]string{"state": "running"}
	if looks >= 5 {
		sum := sha256.Sum256(b.artifact)
		state = map[string]string{"state": "done", "artifact": "/artifacts/1", "sha256": hex.EncodeToString(sum[:])}
	}
	w.Header().Set("ETag", strconv.Quote(state["state"]))
	if req.Header.Get("If-None-Match") == w.Header().Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	json.NewEncoder(w).Encode(state)
}

func (b *build) serveArtifact(w http.ResponseWriter, req *http.Request) {
	b.mu.Lock()
	b.downloads++
	first := b.downloads == 1
	b.mu.Unlock()
	w.Header().Set("ETag", `"1"`)
	if first {
		w.Header().Set("Content-Length", strconv.Itoa(len(b.artifact)))
		w.Write(b.artifact[:len(b.artifact)*5/8])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b.artifact))
}

func (b *build) takeReport(w http.ResponseWriter, req *http.Request) {
	report, err := io.ReadAll(req.Body)
	if err != nil || int64(len(report)) != req.ContentLength {
		http.Error(w, "a report has a Content-Length", http.StatusLengthRequired)
		return
	}
	b.mu.Lock()
	b.report = string(report)
	b.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
}
