package verify

import (
	"context"

	"github.com/contactgate/contactgate/policy"
)

// Subject is an account as an operator names it.
type Subject struct{ Realm, User string }

func (s Subject) visitor() Visitor { return Visitor{Realm: s.Realm, User: s.User} }

// Freeze stops an account on an operator's word. One that is frozen already stays as it is, with its reference. Nobody
// has to have been seen before: whoever is to be kept out may not have come yet.
func (f *Flow) Freeze(ctx context.Context, s Subject, reason string) (a *policy.Account, changed bool, err error) {
	defer NoRandom(&err)
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return nil, false, err
	}
	now, reference := f.now(), f.reference()
	a, err = f.updateAnyway(ctx, s.visitor(), now, func(a *policy.Account) bool {
		if changed = a.Freeze(policy.Freeze{At: now, By: policy.ByOperator, Reference: reference, Reason: reason}); changed {
			a.Note(policy.AccountFrozen, "", "", now)
		}
		return changed
	})
	if err != nil {
		return nil, false, err
	}
	if changed {
		f.audit("account_frozen", s.visitor(), "by", "operator", "reference", reference, "reason", reason)
	}
	return a, changed, nil
}

// Unfreeze lets an account go on, on an operator's word. The account is nil when there is none of this name.
func (f *Flow) Unfreeze(ctx context.Context, s Subject, reason string) (a *policy.Account, changed bool, err error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return nil, false, err
	}
	now := f.now()
	var before *policy.Freeze
	a, err = f.updateKey(ctx, f.accountKey(s.Realm, s.User), func(a *policy.Account) bool {
		before = a.Frozen
		if changed = a.Unfreeze(); changed {
			a.Note(policy.AccountUnfrozen, "", "", now)
		}
		return changed
	})
	if err != nil {
		return nil, false, err
	}
	if a.User == "" {
		return nil, false, nil
	}
	if changed {
		reference := ""
		if before != nil {
			reference = before.Reference
		}
		f.audit("account_unfrozen", s.visitor(), "by", "operator", "reference", reference, "reason", reason)
	}
	return a, changed, nil
}
