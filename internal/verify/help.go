package verify

import (
	"context"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// helpsPerIP is how often help may be asked for from a client IP in an hour: offices share one address.
const helpsPerIP = 30

// Helped is how a wish for help ended: policy.Accepted, AcceptedAgain or TooMany.
type Helped struct {
	policy.Result
	// Reference is what the people who run the site know it by.
	Reference string
}

// AskHelp leaves a mail to the people who run the site. It works in every standing.
func (f *Flow) AskHelp(ctx context.Context, r *policy.Rules, v Visitor, h policy.HelpRequest) (Helped, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return Helped{}, err
	}
	now, id, reference := f.now(), f.newID(), f.reference()
	counted := []outside{{f.limitKey("help ip", client(v.IP)), func(s *spent, _ policy.Limits, now time.Time) policy.Result {
		wait := s.All.Wait(helpsPerIP, time.Hour, now)
		if wait == 0 {
			s.All = s.All.Add(time.Hour, now)
		}
		return tooMany(wait)
	}, func(s *spent) { s.All = s.All.Undo() }}}
	taken, err := f.takeOutside(ctx, r.Limits, counted, now)
	if err != nil {
		return Helped{}, err
	}
	if taken.Outcome != policy.Started {
		f.auditLimit(v, "help_outside", taken)
		return Helped{Result: taken}, nil
	}
	var helped Helped
	_, err = f.updateAnyway(ctx, v, now, func(a *policy.Account) bool {
		standing, _ := r.Standing(f.facts(a, r, now), now)
		h.Standing = standing.String()
		helped = Helped{Reference: reference}
		var earlier string
		if helped.Result, earlier = a.AskHelp(h, now); helped.Outcome != policy.Accepted {
			helped.Reference = earlier
			return false
		}
		a.Outbox = append(a.Outbox, policy.Send{
			ID: id, Kind: policy.SendHelp, Channel: policy.ByEmail, Host: v.Host, Base: v.Base, Browser: v.Browser,
			Reference: reference, Help: &h, At: now, Ends: now.Add(policy.NoticeLife), NotBefore: now,
		})
		return true
	})
	if err != nil || helped.Outcome != policy.Accepted {
		f.undo(ctx, counted)
		if err == nil {
			f.auditLimit(v, "help", helped.Result)
		}
		return helped, err
	}
	f.audit("help_requested", v, "problem", h.Problem, "reference", reference)
	f.work.kick(f.accountKey(v.Realm, v.User))
	return helped, nil
}
