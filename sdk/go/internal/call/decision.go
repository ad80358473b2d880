// Package call is what the hooks' packages share: decisions, and the way from the relay to a plugin's functions.
package call

import (
	"fmt"
	"strings"
	"time"
)

// Reply is an SMTP reply.
type Reply struct {
	Code     uint16
	Enhanced [3]uint16
	// HasEnhanced is false where the relay chooses x.7.1.
	HasEnhanced bool
	Text        string
}

// Decision is what a hook answers.
type Decision struct {
	Kind  string
	Reply Reply
	Text  string
	After time.Duration
}

// Problem is something wrong in the settings.
type Problem struct {
	// Path is dotted, below [plugins.NAME.config].
	Path    string
	Message string
}

// Carries says what the host takes with a decision.
type Carries int

// What a decision carries.
const (
	Nothing Carries = iota
	AReply
	AText
	ADuration
)

// Case is one of a hook's decisions; its place in the hook's list is its number in the contract.
type Case struct {
	Kind    string
	Carries Carries
}

// The decisions of each hook, in the order of the contract.
var (
	Connect = []Case{{"next", Nothing}, {"accept", Nothing}, {"reject", AReply}, {"tempfail", AReply}}
	Auth    = []Case{{"next", Nothing}, {"allow", AText}, {"deny", AReply}, {"tempfail", AReply}, {"disconnect", AReply}}
	Rcpt    = []Case{{"next", Nothing}, {"accept", Nothing}, {"reject", AReply}, {"tempfail", AReply}, {"discard", Nothing}, {"disconnect", AReply}}
	Data    = []Case{{"next", Nothing}, {"accept", Nothing}, {"reject", AReply}, {"tempfail", AReply}, {"discard", AText}, {"quarantine", AText}, {"disconnect", AReply}}
	Route   = []Case{{"next", Nothing}, {"routed", Nothing}, {"hold", AText}, {"fail", AReply}}
	Bounce  = []Case{{"next", Nothing}, {"notify", Nothing}, {"silent", Nothing}, {"retry", ADuration}, {"reroute", Nothing}, {"fail", Nothing}}
)

// Find gives the number of a decision at a hook, or an error in words for the author.
func Find(cases []Case, decision Decision) (int, error) {
	names := make([]string, len(cases))
	for number, one := range cases {
		if one.Kind == decision.Kind {
			return number, nil
		}
		names[number] = one.Kind
	}
	return 0, fmt.Errorf("the hook returned %q; it must return %s", decision.Kind, strings.Join(names, ", "))
}

var settings func() []Problem

// Settings names the function that looks at the settings.
func Settings(check func() []Problem) { settings = check }

// Check looks at the settings.
func Check() []Problem {
	if settings == nil {
		return nil
	}
	return settings()
}
