package main

import (
	"testing"

	"baton"
)

// `go test` runs the hooks natively, with a relay made up for each test. `baton plugin test` runs the component.

func TestSettingsAreChecked(t *testing.T) {
	baton.Fake = &baton.World{ConfigJSON: `{"blocked": "bad.example"}`}
	if problems := baton.Fake.Problems(); len(problems) != 1 {
		t.Fatal(problems)
	}
}
// hook: rcpt

func TestBlockedDomainsAreRefused(t *testing.T) {
	baton.Fake = &baton.World{ConfigJSON: `{"blocked": ["bad.example"]}`}
	if problems := baton.Fake.Problems(); len(problems) != 0 {
		t.Fatal(problems)
	}
	for domain, expected := range map[string]string{"good.example": "next", "bad.example": "reject"} {
		if decision, err := onRcpt(baton.Address{Local: "ann", Domain: domain}, nil); decision.Kind != expected || err != nil {
			t.Fatal(domain, decision, err)
		}
	}
}
// hook: end
