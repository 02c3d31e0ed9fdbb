package main

import "testing"

func TestRigStarts(t *testing.T) {
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	p.wantPage("first", p.Open("/app?x=1"))
	p.Verify()
	p.wantPass("verified", p.Open("/app"))
	b := newPerson(t, r, "app.example", "bob")
	overdue(b)
	b.At("late.example")
	b.wantPage("overdue", b.Open("/app"))
	b.wantProblem("overdue", b.Fetch("GET", "/app"))
}
