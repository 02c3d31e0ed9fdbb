package caddymodule

import (
	"net/http"
	"time"

	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// frozen answers a visit to one of our pages whose account is frozen: one page, whatever was asked for, and no change.
func (x *visit) frozen(a *policy.Account) error {
	limitUnreadBody(x.w, x.r)
	if classify(x.r) == policy.Other {
		return x.problemFrozen(x.w, x.r)
	}
	return x.page(http.StatusForbidden, frozenPage(a))
}

func frozenPage(a *policy.Account) pages.Frozen {
	if a == nil || a.Frozen == nil { // it was lifted a moment ago
		return pages.Frozen{}
	}
	return pages.Frozen{Reference: a.Frozen.Reference, Since: a.Frozen.At, ByPerson: a.Frozen.By == policy.ByPerson}
}

func (g *Gate) problemFrozen(w http.ResponseWriter, r *http.Request) error {
	return g.problem(w, r, http.StatusForbidden, verificationRequired,
		"This account is stopped", "Access stops here until the people who run this site lift it. The page says whom to ask.", time.Time{})
}
