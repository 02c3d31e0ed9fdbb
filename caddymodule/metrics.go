package caddymodule

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/contactgate/contactgate/policy"
)

// The collectors belong to the process, so that counts survive a reload. Labels are closed sets: no user, contact,
// path or address is ever one.
var collected = struct {
	decisions  *prometheus.CounterVec
	took       prometheus.Histogram
	sent       *prometheus.CounterVec
	checks     *prometheus.CounterVec
	sending    *prometheus.HistogramVec
	storeFails *prometheus.CounterVec
	cache      *prometheus.CounterVec
}{
	decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "contactgate_decisions_total", Help: "Requests decided, by decision and reason."}, []string{"decision", "reason"}),
	took: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "contactgate_decision_duration_seconds", Help: "Time to decide one request.",
		Buckets: []float64{1e-6, 2e-6, 5e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 2}}),
	sent: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "contactgate_codes_sent_total", Help: "Attempts to hand a message over, by channel and result."}, []string{"channel", "result"}),
	checks: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "contactgate_code_checks_total", Help: "Codes entered, by result."}, []string{"result"}),
	sending: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "contactgate_send_duration_seconds", Help: "Time to hand a message over.",
		Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 2, 4, 8, 12}}, []string{"channel"}),
	storeFails: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "contactgate_store_errors_total", Help: "Calls of the store that failed."}, []string{"store", "operation"}),
	cache: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "contactgate_cache_requests_total", Help: "Decisions made from what the node remembers, or not."}, []string{"result"}),
}

// Looking a label up takes longer than counting, so the hot path's counters are looked up once.
var (
	decisionCounters = func() [policy.Block + 1][]prometheus.Counter {
		var all [policy.Block + 1][]prometheus.Counter
		for action := range all {
			for _, reason := range policy.Reasons() {
				all[action] = append(all[action], collected.decisions.WithLabelValues(policy.Action(action).String(), reason.String()))
			}
		}
		return all
	}()
	cacheHit  = collected.cache.WithLabelValues("hit")
	cacheMiss = collected.cache.WithLabelValues("miss")
)

// registerMetrics makes the collectors readable through a configuration's own registry.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{collected.decisions, collected.took, collected.sent, collected.checks,
		collected.sending, collected.storeFails, collected.cache} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// countDecision counts a request once, however many gates it passes.
func countDecision(d policy.Decision, special string, p *published, began time.Time) {
	if p.counted {
		return
	}
	p.counted = true
	collected.took.Observe(time.Since(began).Seconds())
	if special != "" {
		collected.decisions.WithLabelValues("pass", special).Inc()
		return
	}
	decisionCounters[d.Action][d.Reason].Inc()
}

// counter tells package verify's doings to the collectors.
type counter struct{ store string }

var deliveries = map[policy.Delivery]string{
	policy.TakenOver: "accepted", policy.RefusedForGood: "refused", policy.AskedToWait: "deferred",
	policy.NotReached: "failed", policy.OutOfOrder: "failed", policy.BrokenOff: "broken_off", policy.LostAnswer: "unanswered",
}

func (counter) CodeSent(channel policy.Channel, d policy.Delivery, took time.Duration) {
	collected.sent.WithLabelValues(string(channel), deliveries[d]).Inc()
	collected.sending.WithLabelValues(string(channel)).Observe(took.Seconds())
}

func (counter) CodeChecked(result string) { collected.checks.WithLabelValues(result).Inc() }

func (c counter) StoreFailed(operation string) {
	collected.storeFails.WithLabelValues(c.store, operation).Inc()
}

func (counter) CacheAsked(hit bool) {
	if hit {
		cacheHit.Inc()
	} else {
		cacheMiss.Inc()
	}
}
