package verify

import (
	"crypto/hmac"
	"encoding/base64"
	"strings"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// SessionHash is what the store knows of a browser session: nobody who reads the store can act in it.
func (f *Flow) SessionHash(realm, user string, id []byte) []byte {
	if len(id) == 0 {
		return nil
	}
	return mac(f.index.session, realm, user, string(id))[:16]
}

// Handle names a contact on the pages of one browser session. Its first half names the contact to this account
// alone, so that a form whose session was overwritten by another tab can be shown again; only the whole acts.
func (f *Flow) Handle(v Visitor, contactID string) string {
	return f.handleStem(v, contactID) + encode(mac(f.index.handle, "session", string(v.Session), contactID)[:9])
}

// stemLength is how long a stem is.
const stemLength = 12

func (f *Flow) handleStem(v Visitor, contactID string) string {
	return encode(mac(f.index.handle, "account", v.Realm, v.User, contactID)[:9])
}

// byHandle finds the contact, trying every one whether or not an earlier one matched.
func (f *Flow) byHandle(v Visitor, a *policy.Account, handle string) *policy.Contact {
	return f.named(a, handle, func(id string) string { return f.Handle(v, id) })
}

// Mentioned finds the contact that a form of another browser session of this person is about. Nothing may be done
// to it on the strength of that.
func (f *Flow) Mentioned(v Visitor, a *policy.Account, handle string) (policy.Contact, bool) {
	c := f.named(a, f.StemOf(handle), func(id string) string { return f.handleStem(v, id) })
	if c == nil || !c.Usable(f.now()) {
		return policy.Contact{}, false
	}
	return *c, true
}

func (f *Flow) named(a *policy.Account, name string, nameOf func(id string) string) *policy.Contact {
	var found *policy.Contact
	for i := range a.Contacts {
		c := &a.Contacts[i]
		if hmac.Equal([]byte(nameOf(c.ID)), []byte(name)) && !c.Retired {
			found = c
		}
	}
	return found
}

// FormToken is the hidden csrf field of a form: good for this person, this browser session, this action.
func (f *Flow) FormToken(v Visitor, action string) string {
	return encode(mac(f.index.form, v.Realm, v.User, string(v.Session), action)[:16])
}

// CheckForm tells whether a token is the one of this form.
func (f *Flow) CheckForm(v Visitor, action, token string) bool {
	return len(v.Session) > 0 && hmac.Equal([]byte(f.FormToken(v, action)), []byte(token))
}

const returnMAC = 16

// ReturnToken carries an address of this site through our pages: signed, for this person, with the moment at which
// it was made.
func (f *Flow) ReturnToken(v Visitor, target string) string {
	return encode(f.sealReturn(v.Realm, v.User, f.now(), target))
}

func (f *Flow) sealReturn(realm, user string, at time.Time, target string) []byte {
	stamp := at.UTC().Format("20060102150405")
	return append(mac(f.index.back, realm, user, stamp, target)[:returnMAC], stamp+target...)
}

// OpenReturn gives back the address and when the token was made; ok is false for anything that was not made for
// this person.
func (f *Flow) OpenReturn(v Visitor, token string) (target string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < returnMAC+14 {
		return "", false
	}
	stamp, target := string(raw[returnMAC:returnMAC+14]), string(raw[returnMAC+14:])
	want := mac(f.index.back, v.Realm, v.User, stamp, target)[:returnMAC]
	return target, hmac.Equal(want, raw[:returnMAC])
}

// ReturnAge reads when a token was made, without trusting it: for the loop breaker, which shows a plain page.
func ReturnAge(token string, now time.Time) (time.Duration, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < returnMAC+14 {
		return 0, false
	}
	at, err := time.Parse("20060102150405", string(raw[returnMAC:returnMAC+14]))
	return now.Sub(at), err == nil
}

// limitKey names the count of something that is limited, without telling what it is.
func (f *Flow) limitKey(of string, what string) string {
	return limitPrefix + encode(mac(f.index.limit, of, strings.ToLower(what))[:16])
}

// equalSecret compares in a time that depends on neither.
func equalSecret(a, b string) bool {
	return hmac.Equal(mac([]byte("compare"), a), mac([]byte("compare"), b))
}
