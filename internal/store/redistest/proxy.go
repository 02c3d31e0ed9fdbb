package redistest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is a network between a client and a server, which loses what it is told to lose.
type Proxy struct {
	Addr string

	target   string
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
	rule     func(request []byte) Fate
	lost     atomic.Int64
	before   atomic.Pointer[[]byte]
}

// Fate is what becomes of the answer to a request.
type Fate int

const (
	Deliver Fate = iota
	// Remember delivers it, and keeps a copy for Mistake.
	Remember
	// Lose carries the request to the server, waits for the answer, and then breaks the connection in its place.
	Lose
	// Mistake delivers an answer that another question got before, as a connection does that is one answer behind.
	Mistake
)

// StartProxy listens before a server.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, open: map[net.Conn]bool{}}
	go p.serve()
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.open {
			_ = c.Close()
		}
	})
	return p
}

// Rule sets what happens to the answers of requests from now on. It sees what one write of the client held.
func (p *Proxy) Rule(rule func(request []byte) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// Lost is how many answers met another fate than to be delivered.
func (p *Proxy) Lost() int { return int(p.lost.Load()) }

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open[client], p.open[server] = true, true
		p.mu.Unlock()
		fate := &atomic.Int64{}
		go p.carry(server, client, func(request []byte) []byte { fate.Store(int64(p.fateOf(request))); return request })
		go p.carry(client, server, func(answer []byte) []byte {
			switch Fate(fate.Swap(int64(Deliver))) {
			case Lose:
				p.lost.Add(1)
				return nil
			case Mistake:
				if old := p.before.Swap(nil); old != nil {
					p.lost.Add(1)
					return *old
				}
			case Remember:
				kept := bytes.Clone(answer)
				p.before.Store(&kept)
			}
			return answer
		})
	}
}

func (p *Proxy) fateOf(request []byte) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rule == nil {
		return Deliver
	}
	return p.rule(request)
}

// carry copies what comes, as change makes it; nil ends both connections.
func (p *Proxy) carry(to, from net.Conn, change func([]byte) []byte) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, to)
		delete(p.open, from)
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			out := change(buffer[:n])
			if out == nil {
				return
			}
			if _, err := to.Write(out); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
