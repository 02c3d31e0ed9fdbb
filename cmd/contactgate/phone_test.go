package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// phoneSink is a provider of texts and calls: it takes what "sms http" and "voice http" send, checks that it is signed and
// carries its idempotency key, and keeps it. Both are at one address: /sms and /voice.
type phoneSink struct {
	Addr   string
	server *httptest.Server
	mu     sync.Mutex
	taken  []phoneMessage
	asked  []phoneMessage // all of them, whatever was answered
	answer map[string]http.HandlerFunc
	faults []string
}

// phoneMessage is a text or a call as the provider got it.
type phoneMessage struct {
	ID       string `json:"id"`
	Channel  string `json:"channel"`
	To       string `json:"to"`
	Language string `json:"language"`
	Text     string `json:"text"`
	Sent     string `json:"code"`
	Greeting string `json:"greeting"`
}

const phoneSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

func newPhoneSink() *phoneSink {
	s := &phoneSink{answer: map[string]http.HandlerFunc{}}
	s.server = serve(s)
	s.Addr = strings.TrimPrefix(s.server.URL, "http://")
	return s
}

func (s *phoneSink) Close() { s.server.CloseClientConnections(); s.server.Close() }

// Words are those of a Caddyfile that sends texts and calls here.
func (s *phoneSink) Words() string {
	words := ""
	for _, channel := range []string{"sms", "voice"} {
		words += fmt.Sprintf(`%[1]s http http://%[2]s/%[1]s {
			secret %[3]s
			body %[4]s
		}
		`, channel, s.Addr, phoneSecret, "`"+`{"id": "{id}", "channel": "{channel}", "to": "{to}", "language": "{language}", "text": "{text}", "code": "{code}", "greeting": "{greeting}"}`+"`")
	}
	return words
}

// Break makes it answer a channel's requests in another way; nil mends it. What is broken keeps no message.
func (s *phoneSink) Break(channel string, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer[channel] = answer
}

// status answers with one.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hang waits until the client has gone, and answers nothing.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); panic(http.ErrAbortHandler) }

// Asked are the requests for a number, whatever they were answered.
func (s *phoneSink) Asked(number string) []phoneMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.asked), func(m phoneMessage) bool { return m.To != number })
}

func (s *phoneSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	channel := strings.TrimPrefix(r.URL.Path, "/")
	body, err := io.ReadAll(r.Body)
	m, fault := s.check(channel, r, body, err)
	s.mu.Lock()
	s.asked = append(s.asked, m)
	answer := s.answer[channel]
	if fault != "" {
		s.faults = append(s.faults, fault)
	} else if answer == nil {
		s.taken = append(s.taken, m)
	}
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *phoneSink) check(channel string, r *http.Request, body []byte, err error) (m phoneMessage, fault string) {
	signed, _ := standardwebhooks.NewWebhook(phoneSecret)
	switch {
	case err != nil:
		return m, "reading a request: " + err.Error()
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json":
		return m, fmt.Sprintf("%s with %q", r.Method, r.Header.Get("Content-Type"))
	case signed.Verify(body, r.Header) != nil:
		return m, "a request is not signed as Standard Webhooks wants it"
	case json.Unmarshal(body, &m) != nil:
		return m, "a request is no JSON"
	case m.ID == "" || r.Header.Get("Idempotency-Key") != m.ID || r.Header.Get("webhook-id") != m.ID:
		return m, "a request without its idempotency key"
	case m.Channel != channel:
		return m, fmt.Sprintf("a message for %s came to %s", m.Channel, channel)
	case r.URL.RawQuery != "" || m.Sent != "" && strings.Contains(r.RequestURI, m.Sent):
		return m, "G10: a code in an address"
	}
	return m, ""
}

// Code is the code as somebody reads or hears it. It must be the one that the message is about.
func (m phoneMessage) Code() string {
	if m.Channel == "voice" {
		return strings.NewReplacer(", ", "", "、", "", "，", "", "، ", "").Replace(spokenCode.FindString(m.Text))
	}
	return writtenCode.FindString(m.Text)
}

var (
	spokenCode  = regexp.MustCompile(`(?m)^\d(?:(?:, |、|，|، )\d){5}$`)
	writtenCode = regexp.MustCompile(`\d{6}`)
)

// Phones are the messages of a channel to a number, oldest first, each once however often it was sent.
func (r *rig) Phones(channel, number string) []phoneMessage {
	r.Phone.mu.Lock()
	defer r.Phone.mu.Unlock()
	var found []phoneMessage
	seen := map[string]bool{}
	for _, m := range r.Phone.taken {
		if m.Channel == channel && m.To == number && !seen[m.ID] {
			seen[m.ID] = true
			found = append(found, m)
		}
	}
	return found
}

// WaitText waits for the nth text (from 1) to a number, WaitCall for the nth call.
func (r *rig) WaitText(t *testing.T, number string, n int) phoneMessage {
	t.Helper()
	return r.waitPhone(t, "sms", number, n)
}

func (r *rig) WaitCall(t *testing.T, number string, n int) phoneMessage {
	t.Helper()
	return r.waitPhone(t, "voice", number, n)
}

func (r *rig) waitPhone(t *testing.T, channel, number string, n int) phoneMessage {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := r.Phones(channel, number); len(found) >= n {
			m := found[n-1]
			r.oracle.secret("code", m.Code())
			r.oracle.secret("address", number)
			if m.Sent != "" && m.Code() != m.Sent {
				t.Errorf("the %s has the code %q in its words, and %q beside them", channel, m.Code(), m.Sent)
			}
			return m
		}
	}
	t.Fatalf("no %d messages by %s", n, channel)
	return phoneMessage{}
}
