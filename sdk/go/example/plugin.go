// Refuses attachments by the ending of their name, counts in the key-value store, says in the header what it saw.
package main

import (
	"fmt"
	"slices"
	"strings"

	"baton"
	"baton/data"
)

var (
	settings struct{ Blocked []string }
	counters = baton.KV("attachments")
)

func init() {
	baton.Settings(check)
	data.Handle(onData)
}

func main() {}

func check() []baton.Problem {
	if err := baton.Config(&settings); err != nil || len(settings.Blocked) == 0 {
		return []baton.Problem{{Path: "blocked", Message: `a list of file name endings is needed, such as ["exe"]`}}
	}
	return nil
}

func onData() (baton.Decision, error) {
	named := 0
	for _, part := range baton.Message.Parts() {
		name, isNamed := part.Filename()
		if !isNamed {
			continue
		}
		named++
		if slices.Contains(settings.Blocked, ending(name)) {
			count, err := counters.Increment("refused", 1, 0)
			baton.Log.Info("attachment refused", "name", name, "count", fmt.Sprint(count))
			return baton.Reject(550, "5.7.1", fmt.Sprintf("attachment %s is not accepted", name)), err
		}
	}
	seen, err := counters.Increment("passed", 1, 0)
	if err != nil {
		return baton.Decision{}, err
	}
	if err := baton.Message.SetHeader("X-Attachments", fmt.Sprintf("%d; seen=%d", named, seen)); err != nil {
		return baton.Decision{}, err
	}
	return baton.Next(), baton.Message.SetHeader("X-Session", seenOfSession())
}

func seenOfSession() string {
	tls, isProtected := baton.Session.TLS()
	if !isProtected {
		tls.Version = "plain text"
	}
	subject, isVerified := tls.VerifiedSubject()
	if !isVerified {
		subject = "nobody"
	}
	iprev, _ := baton.Session.Iprev()
	return fmt.Sprintf("%s of %s, iprev %s", tls.Version, subject, iprev)
}

func ending(name string) string {
	return strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
}
