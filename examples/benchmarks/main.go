// Benchmarks compares go-proxyauth with others that can, or might, get a program
// through a proxy that demands authentication. One command, in this directory:
//
//	go run .         writes RESULTS.md, in five to eight minutes
//	go run . -short  runs every row with small numbers, in half a minute, and prints the report
//
// It fails if someone is ahead of us in what is counted, not timed, without a
// reason among those of table.go.
//
// It needs Go, and takes curl along if it is installed. All proxies and origins
// are its own; nothing leaves the machine. In every table the contenders take
// turns in the same run, and what is timed is given as the median of the ratios
// of its rounds: the time of one run of a busy machine says nothing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// A scale says how much is done in the rows that take time.
type scale struct {
	burst      int           // goroutines of the cold burst
	idle       int           // connections kept idle
	upload     int           // MiB
	tunnel     int           // MiB
	rounds     int           // in which the contenders take turns
	requests   int           // warm requests in a round
	iterations time.Duration // of primitives, in a round
}

var (
	full  = scale{burst: 1000, idle: 2000, upload: 64, tunnel: 256, rounds: 15, requests: 400, iterations: 20 * time.Millisecond}
	short = scale{burst: 20, idle: 20, upload: 4, tunnel: 4, rounds: 3, requests: 20, iterations: time.Millisecond}
)

func main() {
	if stubMain() {
		return
	}
	isShort := flag.Bool("short", false, "small numbers: does every row run?")
	flag.Parse()
	s := full
	if *isShort {
		s = short
	}
	text, unexplained, err := run(s, os.Stderr)
	switch {
	case err != nil:
	case *isShort:
		fmt.Print(text)
	default:
		err = os.WriteFile("RESULTS.md", []byte(text), 0o644)
	}
	for _, l := range unexplained {
		err = errors.Join(err, fmt.Errorf("ahead of us, and nobody knows why: %v", l))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// run runs everything and returns RESULTS.md, and what leads in it need a reason.
func run(s scale, progress io.Writer) (report string, unexplained []lead, err error) {
	start, load := time.Now(), load()
	w, err := newWorld()
	if err != nil {
		return "", nil, err
	}
	defer w.close()
	var tables []*table
	for _, section := range []func(*world, scale) ([]*table, error){
		trips, burst, warm, upload, throughput, primitives, idle,
	} {
		got, err := section(w, s)
		if err != nil {
			return "", nil, errors.Join(err, w.close())
		}
		for _, t := range got {
			fmt.Fprintf(progress, "%5.1fs %s\n", time.Since(start).Seconds(), t.title)
		}
		tables = append(tables, got...)
	}
	var b strings.Builder
	preamble(&b, s, start, load)
	unexplained = standings(&b, tables)
	for _, t := range tables {
		t.markdown(&b)
	}
	return b.String(), unexplained, nil
}

func preamble(b *strings.Builder, s scale, start time.Time, load string) {
	fmt.Fprintf(b, "# Benchmarks\n\nMade by `go run .` in examples/benchmarks on %s, in %s.\n\n",
		start.UTC().Format(time.DateOnly), time.Since(start).Round(time.Second))
	if s != full {
		b.WriteString("**With small numbers (-short): this says whether every row runs, and what is counted; not who is faster.**\n\n")
	}
	fmt.Fprintf(b, "%s, %s/%s, %d cores%s%s.\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor(), load)
	versions := []string{"go-proxyauth of this checkout", "net/http"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			for _, c := range contenders {
				if c.module == m.Path {
					versions = append(versions, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
					break
				}
			}
		}
	}
	fmt.Fprintf(b, "Contenders: %s.\n\n", strings.Join(append(versions, curlVersion()), ", "))
	fmt.Fprintf(b, "Not measured: %s.\n\n", notMeasured)
	fmt.Fprintf(b, `How to read it:

- What a contender cannot do was found by trying it in this run: "407" means that it hands the proxy's 407 to the
  caller, "error" that the request fails.
- Times are ratios, contender / ours: 1.00 is as ours, 2.00 takes twice as long. They are the medians of up to %d
  rounds in which all contenders took turns.
- In bold: ahead of us. Of trips, allocations and bytes, which are counted, any less counts; of times a twentieth in
  three rounds of four, and once more in as many rounds again; of what else is measured, a lead in all rounds.
  All of these are in the next section.
`, s.rounds)
}

const notMeasured = "snyk/go-httpauth, which the Go module proxy did not serve (403, \"module version is not available\") when this was" +
	" written; vadimi/go-http-ntlm, which is for servers, and takes its proxy from the environment alone, so not one of this run"

// processor returns the processor's name where the system tells it.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return " of " + strings.TrimSpace(value)
		}
	}
	return ""
}

// load returns how busy the machine is, where the system tells it.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); len(fields) > 0 {
		return ", load " + fields[0] + " before the run"
	}
	return ""
}
