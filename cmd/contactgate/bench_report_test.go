package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// report is what a run of the benchmark found.
type report struct {
	Store            string
	Accounts, People int
	ColdRate         float64
	BytesPerPerson   float64
	// StoredBytes are those of the store for an account, Memory is what the server has of the machine's at the end.
	StoredBytes, Memory int
	Throughput          []throughput
	Latency             []latency
}

type throughput struct {
	Connections int
	Name, Base  string
	Rate, CPU   float64 // CPU in µs a request
	Ratio       middle
	AddedCPU    middle
	P50, P99    float64 // µs
	Rates       []float64
}

type latency struct {
	Name     string
	Rate     float64
	P50, P99 []float64 // µs, one a round
}

// slowest is the rate of the slowest of the targets.
func (r *report) slowest(connections int, targets []contestant) float64 {
	var rates []float64
	for _, t := range targets {
		for _, row := range r.Throughput {
			if row.Connections == connections && row.Name == t.name {
				rates = append(rates, row.Rate)
			}
		}
	}
	return slices.Min(rates)
}

// write leaves the tables as Markdown and the plots as SVG in the folder that the environment names.
func (r *report) write(t *testing.T) {
	t.Helper()
	folder := os.Getenv("CONTACTGATE_BENCH_REPORT")
	if folder == "" {
		return
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"results.md": r.markdown()}
	for _, connections := range []int{16, 128} {
		files[fmt.Sprintf("rates-%d.svg", connections)] = r.plot(connections)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("wrote the report to %s", folder)
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %s, %d processors, %s. Store: %s, %d accounts, of which %d people come in random order. Medians of interleaved rounds; in brackets where the median of endless rounds is, with a chance of 95 %%.\n\n",
		time.Now().UTC().Format("2 January 2006"), cpuModel(), runtime.NumCPU(), runtime.Version(), r.Store, r.Accounts, r.People)
	b.WriteString("| connections | rounds | site | requests/s | spread of the rounds | of the first | p50 | p99 | CPU a request | added |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.Throughput {
		fmt.Fprintf(&b, "| %d | %d | %s | %.0f | %.0f to %.0f | ", row.Connections, len(row.Rates), row.Name, row.Rate, slices.Min(row.Rates), slices.Max(row.Rates))
		if row.Name == row.Base {
			fmt.Fprintf(&b, "1 | %.0f µs | %.0f µs | %.1f µs | |\n", row.P50, row.P99, row.CPU)
			continue
		}
		fmt.Fprintf(&b, "%.3f (%.3f to %.3f) | %.0f µs | %.0f µs | %.1f µs | %+.1f µs (%+.1f to %+.1f) |\n", row.Ratio.median, row.Ratio.least, row.Ratio.most,
			row.P50, row.P99, row.CPU, row.AddedCPU.median, row.AddedCPU.least, row.AddedCPU.most)
	}
	b.WriteString("\n| fixed rate | site | p50 | p99 | p99 of the first, round by round |\n|---|---|---|---|---|\n")
	for _, l := range r.Latency {
		to := middleOf(l.P99, r.Latency[0].P99, ratio)
		fmt.Fprintf(&b, "| %.0f/s | %s | %.0f µs | %.0f µs | %.3f (%.3f to %.3f) |\n", l.Rate, l.Name, median(l.P50), median(l.P99), to.median, to.least, to.most)
	}
	fmt.Fprintf(&b, "\nCold, everybody once: %.0f requests/s. Resident memory grew by %.0f bytes for each person met; at the end it was %d MB. An account takes %d bytes of the store.\n",
		r.ColdRate, r.BytesPerPerson, r.Memory>>20, r.StoredBytes)
	return b.String()
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// plot draws every round of every site as a dot and the median as a bar.
func (r *report) plot(connections int) string {
	const (
		width, left, rowHeight, bar = 720, 190, 44, 18
	)
	var rows []throughput
	most := 0.0
	for _, row := range r.Throughput {
		if row.Connections == connections && !slices.ContainsFunc(rows, func(r throughput) bool { return r.Name == row.Name }) {
			rows = append(rows, row)
			most = max(most, slices.Max(row.Rates))
		}
	}
	scale := func(rate float64) float64 { return float64(width-left-90) * rate / most }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="13">`+"\n", width, rowHeight*len(rows)+40)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="12" y="22" font-weight="600">requests/s at %d connections: median, and every round</text>`+"\n", connections)
	for i, row := range rows {
		y := 40 + i*rowHeight
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="#0c5f6b"/><text x="%.1f" y="%d">%.0f</text>`+"\n",
			left-10, y+14, row.Name, left, y, scale(row.Rate), bar, float64(left)+scale(slices.Max(row.Rates))+8, y+14, row.Rate)
		for _, rate := range row.Rates {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="#d9822b" fill-opacity=".7"/>`, float64(left)+scale(rate), y+bar+8)
		}
		b.WriteByte('\n')
	}
	b.WriteString("</svg>\n")
	return b.String()
}
