package main

import (
	"slices"
	"testing"

	"baton"
)

func TestBlockedEndingsAreRefusedAndTheRestIsCounted(t *testing.T) {
	baton.Fake = &baton.World{ConfigJSON: `{"blocked": "exe"}`}
	if problems := baton.Fake.Problems(); len(problems) != 1 || problems[0].Path != "blocked" {
		t.Fatal(problems)
	}
	baton.Fake = &baton.World{ConfigJSON: `{"blocked": ["exe"]}`, PartNames: []string{"", "report.pdf"}}
	if problems := baton.Fake.Problems(); len(problems) != 0 {
		t.Fatal(problems)
	}
	if decision, err := onData(); decision.Kind != "next" || err != nil {
		t.Fatal(decision, err)
	}
	if !slices.Equal(baton.Fake.Done, []string{"set header X-Attachments: 1; seen=1", "set header X-Session: plain text of nobody, iprev permerror"}) {
		t.Fatal(baton.Fake.Done)
	}
	baton.Fake.PartNames = []string{"Setup.EXE"}
	if decision, _ := onData(); decision.Kind != "reject" || decision.Reply.Text != "attachment Setup.EXE is not accepted" {
		t.Fatal(decision)
	}
}
