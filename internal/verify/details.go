package verify

import (
	"context"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// Remove takes a contact off the account, as its person wishes. Those who are told find a notice in the account's outbox.
func (f *Flow) Remove(ctx context.Context, r *policy.Rules, v Visitor, handle string) (policy.Result, error) {
	var done policy.Removal
	result, err := f.changeContact(ctx, v, handle, func(a *policy.Account, id string, now time.Time) (result policy.Result) {
		if done, result = a.Remove(v.Session, id, r, now); result.Outcome == policy.Accepted {
			f.tell(a, r, v, done.Tell, removed[done.Contact.Kind], "", now)
			a.Note(policy.ContactRemoved, done.Contact.Address, v.Browser, now)
		}
		return result
	})
	if err != nil || result.Outcome != policy.Accepted {
		return result, err
	}
	f.audit("contact_removed", v, "contact", done.Contact.Address, "verified", !done.Contact.Verified.IsZero())
	for _, d := range done.Devices {
		f.auditRevoked(v, d, "contact_removed")
	}
	return result, nil
}

var (
	removed = map[policy.Kind]policy.Kind{policy.Email: policy.EmailRemoved, policy.Phone: policy.PhoneRemoved}
	primary = map[policy.Kind]policy.Kind{policy.Email: policy.EmailPrimary, policy.Phone: policy.PhonePrimary}
)

// MakePrimary makes a contact the one of its kind that apps are told.
func (f *Flow) MakePrimary(ctx context.Context, r *policy.Rules, v Visitor, handle string) (policy.Result, error) {
	var made policy.Contact
	result, err := f.changeContact(ctx, v, handle, func(a *policy.Account, id string, now time.Time) policy.Result {
		c, tell, result := a.MakePrimary(v.Session, id, now)
		if made = c; result.Outcome == policy.Accepted {
			f.tell(a, r, v, tell, primary[c.Kind], "", now)
			a.Note(policy.ContactPrimary, c.Address, v.Browser, now)
		}
		return result
	})
	if err == nil && result.Outcome == policy.Accepted {
		f.audit("contact_primary", v, "contact", made.Address)
	}
	return result, err
}

// changeContact applies change to the contact that a handle names. One of another browser session, or of somebody else, is
// as good as none.
func (f *Flow) changeContact(ctx context.Context, v Visitor, handle string, change func(a *policy.Account, id string, now time.Time) policy.Result) (policy.Result, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return policy.Result{}, err
	}
	now := f.now()
	var result policy.Result
	a, err := f.update(ctx, v, now, func(a *policy.Account) bool {
		result = policy.Result{Outcome: policy.Gone}
		if c := f.byHandle(v, a, handle); c != nil {
			result = change(a, c.ID, now)
		}
		return result.Outcome == policy.Accepted
	})
	if err != nil {
		return policy.Result{}, err
	}
	f.auditLimit(v, "changes", result)
	if !a.Due().IsZero() {
		f.work.kick(f.accountKey(v.Realm, v.User))
	}
	return result, nil
}

// Stem is what names a contact to its own account alone, in whatever browser session: enough to show the page with it
// again, and to do nothing to it.
func (f *Flow) Stem(v Visitor, contactID string) string { return f.handleStem(v, contactID) }

// StemOf is the stem of a handle.
func (f *Flow) StemOf(handle string) string { return handle[:min(len(handle), stemLength)] }
