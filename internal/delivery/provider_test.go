package delivery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"
)

// What is told of a request that failed depends on how far it had come: "nothing was handed over" must be true.
func TestFailedRequestMeansWhatItsProgressAllows(t *testing.T) {
	begun := func(p *httptrace.ClientTrace) { p.TLSHandshakeStart() }
	connected := func(p *httptrace.ClientTrace) { p.TLSHandshakeStart(); p.GotConn(httptrace.GotConnInfo{}) }
	for _, c := range []struct {
		what  string
		so    func(*httptrace.ClientTrace)
		kind  error
		stage stage
	}{
		{"no connection", func(*httptrace.ClientTrace) {}, ErrUnreachable, atConnect},
		{"no TLS", begun, ErrUnreachable, atTLS},
		{"cut off in the middle of the request", func(p *httptrace.ClientTrace) {
			connected(p)
			p.WroteRequest(httptrace.WroteRequestInfo{Err: io.ErrShortWrite})
		}, ErrBrokenOff, atRequest},
		{"nobody knows whether all of it was written", connected, ErrUnknown, atAnswer},
		{"all of it was written", func(p *httptrace.ClientTrace) { connected(p); p.WroteRequest(httptrace.WroteRequestInfo{}) }, ErrUnknown, atAnswer},
	} {
		var way progress
		c.so(httptrace.ContextClientTrace(way.watch(t.Context())))
		for _, err := range []error{io.EOF, context.DeadlineExceeded, http.ErrSchemeMismatch} {
			var f failure
			if got := way.failed(t.Context(), err); !errors.As(got, &f) || f.kind.Error() != c.kind.Error() || f.stage != c.stage || f.cause == "" {
				t.Errorf("%s, %v: %v", c.what, err, got)
			}
		}
	}
}
