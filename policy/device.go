package policy

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Device is a browser that the person ticked as their own, on one host: "do not ask for a code here". The record decides;
// the browser's cookie only names it.
type Device struct {
	// ID is a hash of what the browser holds: nobody who reads the store can pass for it.
	ID []byte `cbor:"1,keyasint,omitzero"`
	// Host and Browser tell people which one it is. Browser is a family, "Firefox"; both may be empty.
	Host    string `cbor:"2,keyasint,omitzero"`
	Browser string `cbor:"3,keyasint,omitzero"`
	// Trusted is when the box was ticked, Used when the browser was last seen, to the day. Ends is what the person was
	// told: whatever the operator allows later, it does not last longer.
	Trusted time.Time `cbor:"4,keyasint,omitzero"`
	Used    time.Time `cbor:"5,keyasint,omitzero"`
	Ends    time.Time `cbor:"6,keyasint,omitzero"`
	// By is what the code proved: the ID of a contact, or ByAuthenticatorApp. Trust does not outlive it.
	By string `cbor:"7,keyasint,omitzero"`
}

// Trust is how long a ticked browser is trusted.
type Trust struct {
	// For is how long in all, Unused how long without being seen.
	For, Unused time.Duration
	// Most is how many browsers of an account are trusted at the same time; the oldest goes.
	Most int
}

// Until is when trust ends under these rules, as far as is known now: later, once the browser is seen again.
func (d *Device) Until(t Trust) time.Time {
	until := d.Ends
	for _, end := range []time.Time{d.Trusted.Add(t.For), d.Used.Add(t.Unused)} {
		if end.Before(until) {
			until = end
		}
	}
	return until
}

// usedEvery is how often the last use is written down: once a day, and more often only where a day is much of unused.
func (t Trust) usedEvery() time.Duration { return min(day, t.Unused/60) }

// Entry is a browser session in which a code was entered: of a contact that was not on hold, or of the authenticator app.
type Entry struct {
	Session []byte    `cbor:"1,keyasint,omitzero"`
	At      time.Time `cbor:"2,keyasint,omitzero"`
	// By is what the code proved, as in Device.
	By string `cbor:"3,keyasint,omitzero"`
	// Device is the trusted browser that it is, if it is one: who revokes that ends this, too.
	Device []byte `cbor:"4,keyasint,omitzero"`
}

const (
	// freshFor is how long an entered code allows changes in the same browser.
	freshFor = 10 * time.Minute
	// enteredFor is how long it satisfies device_code: the life of a browser session.
	enteredFor = 12 * time.Hour
	// mostEntered bounds the list; the oldest goes.
	mostEntered = 20
)

// Evidence is what a browser brought that may prove something of itself: hashes of a session and of a trusted device that
// were made for this very account and site. Whatever else a browser sends is none. The zero Evidence proves nothing.
type Evidence struct {
	Session, Device []byte
}

// trusted finds the browser among those that are trusted under these rules now.
func (f *Facts) trusted(t Trust, e Evidence, now time.Time) *Device {
	i := findDevice(f.Devices, e.Device)
	if i < 0 || !now.Before(f.Devices[i].Until(t)) {
		return nil
	}
	return &f.Devices[i]
}

// entered tells whether a code was entered in the browser session.
func (f *Facts) entered(e Evidence, now time.Time) bool {
	i := findEntry(f.Entered, e.Session)
	return i >= 0 && now.Sub(f.Entered[i].At) < enteredFor
}

func findDevice(list []Device, id []byte) int {
	return slices.IndexFunc(list, func(d Device) bool { return sameHash(d.ID, id) })
}

func findEntry(list []Entry, session []byte) int {
	return slices.IndexFunc(list, func(e Entry) bool { return sameHash(e.Session, session) })
}

// sameHash compares two hashes; an empty one is nobody's.
func sameHash(a, b []byte) bool {
	return len(a) > 0 && subtle.ConstantTimeCompare(a, b) == 1
}

// proves tells that what a code proved is still on file: a browser that was trusted by the code of a contact is not
// trusted any more once that contact is gone. The same goes for the authenticator app.
func (a *Account) proves(by string) bool {
	if by == ByAuthenticatorApp {
		return a.HasAuthenticator()
	}
	return a.Contact(by) != nil
}

// entry is what was proved in this browser session, as long as it holds: nobody has revoked it, and what it was proved by is
// on file.
func (a *Account) entry(session []byte) (e Entry, ok bool) {
	i := findEntry(a.Entered, session)
	if i < 0 {
		return Entry{}, false
	}
	return a.Entered[i], a.proves(a.Entered[i].By)
}

// IsFresh tells whether a code was entered in this browser session lately.
func (a *Account) IsFresh(session []byte, now time.Time) bool {
	e, ok := a.entry(session)
	return ok && now.Sub(e.At) < freshFor
}

// IsFreshByContact tells whether it was a code that was sent to a contact, and to one that is not there by the authenticator
// app alone.
func (a *Account) IsFreshByContact(session []byte, now time.Time) bool {
	return a.IsFresh(session, now) && a.enteredOfContact(session, now)
}

// hasEntered tells that something was proved in this browser session. What was begun with a fresh code may be ended with it
// only as long as this is so.
func (a *Account) hasEntered(session []byte) bool {
	_, ok := a.entry(session)
	return ok
}

// enteredOfContact tells that what was proved in this browser session is a contact that vouches for others.
func (a *Account) enteredOfContact(session []byte, now time.Time) bool {
	e, _ := a.entry(session)
	c := a.Contact(e.By)
	return c != nil && c.Vouches(now)
}

// CodeEntered writes down that a right code was entered in the browser session before, which goes on as next. It is the
// one way to a fresh code and, by Trust, to a trusted browser, so nothing else may call it; a code of a contact on hold
// proves nothing yet.
func (a *Account) CodeEntered(before, next []byte, by string, now time.Time) {
	a.Entered = slices.DeleteFunc(slices.Clone(a.Entered), func(e Entry) bool {
		// Whoever knew the session before is not in the one that goes on.
		return sameHash(e.Session, before) || sameHash(e.Session, next) || now.Sub(e.At) >= enteredFor
	})
	if len(next) == 0 {
		return
	}
	a.Entered = append(a.Entered, Entry{Session: slices.Clone(next), At: now, By: by})
	a.Entered = a.Entered[max(0, len(a.Entered)-mostEntered):]
}

// goOn keeps what was entered in a session for the one that takes its place, where the code itself proves nothing yet.
func (a *Account) goOn(before, next []byte) {
	i := findEntry(a.Entered, before)
	if i < 0 {
		return
	}
	a.Entered = slices.Clone(a.Entered)
	a.Entered[i].Session = slices.Clone(next)
}

// OnDevice ties what was entered in a session to the trusted browser that it is in.
func (a *Account) OnDevice(session, device []byte) {
	if i := findEntry(a.Entered, session); i >= 0 && findDevice(a.Devices, device) >= 0 {
		a.Entered[i].Device = slices.Clone(device)
	}
}

// Trust makes the browser of a session one that is trusted. It works only in the update that calls CodeEntered for the
// session: trust comes from an entered code and from nothing else. d names the browser; the rest of it is filled in here.
// The oldest ones make room.
func (a *Account) Trust(session []byte, d Device, t Trust, now time.Time) (trusted Device, ok bool) {
	i := findEntry(a.Entered, session)
	if i < 0 || !a.Entered[i].At.Equal(now) || !a.proves(a.Entered[i].By) || len(d.ID) == 0 || t.Most < 1 {
		return Device{}, false
	}
	d.Trusted, d.Used, d.Ends, d.By = now, now, now.Add(t.For), a.Entered[i].By
	was := a.Entered[i].Device
	a.Devices = slices.DeleteFunc(slices.Clone(a.Devices), func(old Device) bool {
		// A browser that was ticked before is one browser still.
		return sameHash(old.ID, d.ID) || sameHash(old.ID, was) || !now.Before(old.Until(t))
	})
	a.Devices = append(a.Devices, d)
	a.Devices = a.Devices[max(0, len(a.Devices)-t.Most):]
	a.Entered[i].Device = slices.Clone(d.ID)
	return d, true
}

// TrustedDevice is the browser with this ID, as long as it is trusted.
func (a *Account) TrustedDevice(id []byte, t Trust, now time.Time) (Device, bool) {
	i := findDevice(a.Devices, id)
	if i < 0 || !now.Before(a.Devices[i].Until(t)) || !a.proves(a.Devices[i].By) {
		return Device{}, false
	}
	return a.Devices[i], true
}

// TrustedDevices are the browsers that are trusted now, the newest first.
func (a *Account) TrustedDevices(t Trust, now time.Time) []Device {
	var list []Device
	for _, d := range slices.Backward(a.Devices) {
		if now.Before(d.Until(t)) && a.proves(d.By) {
			list = append(list, d)
		}
	}
	return list
}

// Revoke ends the trust in a browser, and what was entered in it. It reports whether there was any.
func (a *Account) Revoke(id []byte) (revoked Device, ok bool) {
	i := findDevice(a.Devices, id)
	if i < 0 {
		return Device{}, false
	}
	revoked = a.Devices[i]
	a.Devices = slices.Delete(slices.Clone(a.Devices), i, i+1)
	a.Entered = slices.DeleteFunc(slices.Clone(a.Entered), func(e Entry) bool { return sameHash(e.Device, revoked.ID) })
	return revoked, true
}

// RevokeAll ends all trust, and what was entered in any browser session but this one; nil: in any. It returns the
// browsers that were trusted.
func (a *Account) RevokeAll(except []byte) []Device {
	revoked := a.Devices
	a.Devices = nil
	a.Entered = slices.DeleteFunc(slices.Clone(a.Entered), func(e Entry) bool { return !sameHash(e.Session, except) })
	for i := range a.Entered {
		a.Entered[i].Device = nil
	}
	return revoked
}

// longestTrust is as long as browsers keep a cookie.
const longestTrust = 400 * day

// validate names everything that is wrong with trust, each with its remedy.
func (t Trust) validate() error {
	var errs []error
	if t.For < time.Second || t.For > longestTrust {
		errs = append(errs, fmt.Errorf("trust %s: use 1s to 400d; browsers keep no cookie for longer", t.For))
	}
	if t.Unused < time.Second {
		errs = append(errs, fmt.Errorf("trust unused %s: use at least 1s", t.Unused))
	}
	if t.Most < 1 || t.Most > mostTrusted {
		errs = append(errs, fmt.Errorf("trust most %d: use 1 to %d", t.Most, mostTrusted))
	}
	return errors.Join(errs...)
}

// mostTrusted keeps an account's record small.
const mostTrusted = 100
