package verify

import (
	"context"
	"crypto/hmac"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// NextSession is the ID of the browser session that follows a right code. It is derived from the challenge, so that the
// same form posted twice is answered alike: whichever answer a double click leaves in the browser, it is the session that
// has entered the code.
func (f *Flow) NextSession(v Visitor, c *policy.Challenge) []byte {
	return mac(f.index.session, "next", v.Realm, v.User, string(c.Nonce), string(c.Session))[:16]
}

// DeviceHash is what the store knows of a trusted browser: whoever reads the store cannot pass for it, and what one account
// knows it by means nothing to another.
func (f *Flow) DeviceHash(realm, user string, id []byte) []byte {
	if len(id) == 0 {
		return nil
	}
	return mac(f.index.device, "hash", realm, user, string(id))[:16]
}

// DeviceMark tells the cookies of the people who use one browser apart. It is a hash: a browser's list of cookies does not
// say who uses it.
func (f *Flow) DeviceMark(realm, user string) []byte {
	return mac(f.index.device, "mark", realm, user)[:4]
}

// deviceID is what a browser is given to be known by: 128 bits that nobody can guess, since nobody has the nonce and the
// key. Like the next session it is the same for the same form.
func (f *Flow) deviceID(v Visitor, nonce []byte) []byte {
	return mac(f.index.device, "id", v.Realm, v.User, string(nonce))[:16]
}

// onBrowser writes down on which browser the right code was just entered, and trusts it if that was ticked. nonce makes
// what the browser is given; nil: it is not trusted from now on.
func (f *Flow) onBrowser(a *policy.Account, r *policy.Rules, v Visitor, nonce []byte, now time.Time) (id []byte, trusted policy.Device) {
	a.OnDevice(v.Next, v.Device)
	if !v.Ticked {
		return nil, policy.Device{}
	}
	id = f.deviceID(v, nonce)
	trusted, ok := a.Trust(v.Next, policy.Device{ID: f.DeviceHash(v.Realm, v.User, id), Host: v.Host, Browser: v.Browser}, r.Trust, now)
	if !ok {
		return nil, policy.Device{}
	}
	a.Note(policy.DeviceTrusted, "", v.Browser, now)
	return id, trusted
}

// trustedBy is what the browser was given when this code was accepted, for the same form posted again.
func (f *Flow) trustedBy(a *policy.Account, v Visitor, nonce []byte) []byte {
	id := f.deviceID(v, nonce)
	hash := f.DeviceHash(v.Realm, v.User, id)
	for _, d := range a.Devices {
		if v.Ticked && hmac.Equal(d.ID, hash) {
			return id
		}
	}
	return nil
}

// tick remembers what was ticked with a code that was not accepted. It reports whether that is news.
func (f *Flow) tick(a *policy.Account, v Visitor) bool {
	if !f.asking(a, v) || !a.Challenge.Done.IsZero() || a.Challenge.Ticked == v.Ticked {
		return false
	}
	a.Challenge.Ticked = v.Ticked
	return true
}

// Tick remembers the box of a form whose code was not worth a try.
func (f *Flow) Tick(ctx context.Context, v Visitor) error {
	if err := f.Admit(ctx); err != nil {
		return err
	}
	_, err := f.update(ctx, v, f.now(), func(a *policy.Account) bool { return f.tick(a, v) })
	return err
}

func (f *Flow) toldTrust(v Visitor, d policy.Device) {
	if len(d.ID) > 0 {
		f.audit("device_trusted", v, "host", d.Host, "browser", d.Browser, "until", d.Ends)
	}
}

// DeviceMisused notes a cookie of a trusted browser that was made for another account or site: somebody copied it. It does
// nothing here.
func (f *Flow) DeviceMisused(v Visitor) { f.audit("device_misused", v) }

// DeviceHandle names a trusted browser on the pages of one browser session, as Handle does contacts.
func (f *Flow) DeviceHandle(v Visitor, d policy.Device) string {
	return encode(mac(f.index.handle, "device", v.Realm, v.User, string(v.Session), string(d.ID))[:18])
}

// Revoke ends the trust in the browser that a handle names, at once, and what was entered in it. The contacts are told. The
// outcome is Accepted, NotFresh, or Gone when there is none of that name.
func (f *Flow) Revoke(ctx context.Context, v Visitor, handle string) (o policy.Outcome, err error) {
	_, _, err = f.revoke(ctx, v, policy.ByPerson, "", func(a *policy.Account) []policy.Device {
		d, ok := f.byDeviceHandle(v, a, handle)
		if o = mayRevoke(a, v, ok, f.now()); o != policy.Accepted {
			return nil
		}
		a.Revoke(d.ID)
		f.tellRevoked(a, v, policy.DeviceRevoked)
		return []policy.Device{d}
	})
	return o, err
}

// RevokeAll ends the trust in every browser, for the person themselves. The browser session that asks for it goes on.
func (f *Flow) RevokeAll(ctx context.Context, v Visitor) (o policy.Outcome, err error) {
	_, _, err = f.revoke(ctx, v, policy.ByPerson, "", func(a *policy.Account) []policy.Device {
		if o = mayRevoke(a, v, true, f.now()); o != policy.Accepted {
			return nil
		}
		revoked := a.RevokeAll(v.Session)
		if len(revoked) > 0 {
			f.tellRevoked(a, v, policy.DevicesRevoked)
		}
		return revoked
	})
	return o, err
}

// mayRevoke tells whether a person may end trust in this browser session now.
func mayRevoke(a *policy.Account, v Visitor, there bool, now time.Time) policy.Outcome {
	switch {
	case !there:
		return policy.Gone
	case !a.IsFresh(v.Session, now):
		return policy.NotFresh
	}
	return policy.Accepted
}

func (f *Flow) byDeviceHandle(v Visitor, a *policy.Account, handle string) (found policy.Device, ok bool) {
	for _, d := range a.Devices {
		if hmac.Equal([]byte(f.DeviceHandle(v, d)), []byte(handle)) {
			found, ok = d, true
		}
	}
	return found, ok
}

func (f *Flow) tellRevoked(a *policy.Account, v Visitor, what policy.Happening) {
	now := f.now()
	a.Note(what, "", v.Browser, now)
	f.tellAll(a, v, policy.BrowsersRevoked, now)
}

// RevokeFor ends the trust in every browser of somebody, and what was entered in any, on an operator's word. The account is
// nil when there is none of this name.
func (f *Flow) RevokeFor(ctx context.Context, s Subject, reason string) (a *policy.Account, changed bool, err error) {
	a, changed, err = f.revoke(ctx, s.visitor(), policy.ByOperator, reason, func(a *policy.Account) []policy.Device {
		a.Note(policy.DevicesRevoked, "", "", f.now())
		return a.RevokeAll(nil)
	})
	if err != nil || a.User == "" {
		return nil, false, err
	}
	return a, changed, nil
}

// revoke applies do, if the account is known at all. It audits one line, and one more for every browser that lost its
// trust.
func (f *Flow) revoke(ctx context.Context, v Visitor, by, reason string, do func(a *policy.Account) []policy.Device) (a *policy.Account, changed bool, err error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return nil, false, err
	}
	var revoked []policy.Device
	a, err = f.updateKey(ctx, f.accountKey(v.Realm, v.User), func(a *policy.Account) bool {
		revoked, changed = nil, false
		if a.User == "" || a.Frozen != nil && by == policy.ByPerson {
			return false
		}
		entered := len(a.Entered)
		revoked = do(a)
		changed = len(revoked) > 0 || len(a.Entered) != entered
		return changed
	})
	if err != nil || !changed {
		return a, false, err
	}
	args := []any{"by", by, "count", len(revoked)}
	if reason != "" {
		args = append(args, "reason", reason)
	}
	f.audit("devices_revoked", v, args...)
	for _, d := range revoked {
		f.auditRevoked(v, d, by)
	}
	if !a.Due().IsZero() {
		f.work.kick(f.accountKey(v.Realm, v.User))
	}
	return a, true, nil
}

func (f *Flow) auditRevoked(v Visitor, d policy.Device, by string) {
	f.audit("device_revoked", v, "by", by, "host", d.Host, "browser", d.Browser, "trusted", d.Trusted)
}
