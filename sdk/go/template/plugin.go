// {{name}}: each hook whose package is imported is called, the others are not.
package main

import (
	"slices"

	"baton"
	// hook: auth
	"baton/auth"
// hook: end
// hook: bounce
	"baton/bounce"
// hook: end
// hook: connect
	"baton/connect"
// hook: end
// hook: data
	"baton/data"
// hook: end
// hook: events
	"baton/events"
// hook: end
// hook: rcpt
	"baton/rcpt"
// hook: end
// hook: route
	"baton/route"
// hook: end
)

// settings are [plugins.{{name}}.config].
var settings struct{ Blocked []string }

func init() {
	baton.Settings(check)
	// hook: connect
	connect.Handle(onConnect)
	// hook: end
	// hook: auth
	auth.Handle(onAuth)
	// hook: end
	// hook: rcpt
	rcpt.Handle(onRcpt)
	// hook: end
	// hook: data
	data.Handle(onData)
	// hook: end
	// hook: route
	route.Handle(onRoute)
	// hook: end
	// hook: bounce
	bounce.Handle(onBounce)
	// hook: end
	// hook: events
	events.Handle(onEvents)
	// hook: end
}

func main() {}

// check reads the settings, once per load.
func check() []baton.Problem {
	if err := baton.Config(&settings); err != nil {
		return []baton.Problem{{Path: "blocked", Message: err.Error()}}
	}
	return nil
}

func isBlocked(address baton.Address) bool { return slices.Contains(settings.Blocked, address.Domain) }

// hook: connect
// onConnect: a client connected.
func onConnect() (baton.Decision, error) { return baton.Next(), nil }

// hook: end
// hook: auth
// onAuth: a client wants to log in.
func onAuth(credential baton.Credential) (baton.Decision, error) {
	baton.Log.Debug("asked for an account", "user", credential.User)
	return baton.Next(), nil
}

// hook: end
// hook: rcpt
// onRcpt: RCPT TO.
func onRcpt(recipient baton.Address, _ baton.Parameters) (baton.Decision, error) {
	if isBlocked(recipient) {
		return baton.Reject(550, "5.7.1", "we do not serve that domain"), nil
	}
	return baton.Next(), nil
}

// hook: end
// hook: data
// onData: the whole message is here and not yet accepted.
func onData() (baton.Decision, error) { return baton.Next(), nil }

// hook: end
// hook: route
// onRoute: a copy for this recipient is due.
func onRoute(recipient baton.Address) (baton.Decision, error) {
	if isBlocked(recipient) {
		baton.Log.Info("a copy for a blocked domain is due", "recipient", recipient.String())
	}
	return baton.Next(), nil
}

// hook: end
// hook: bounce
// onBounce: an attempt for this recipient failed.
func onBounce(recipient baton.Address) (baton.Decision, error) {
	baton.Log.Debug("an attempt failed", "recipient", recipient.String())
	return baton.Next(), nil
}

// hook: end
// hook: events
// onEvents: what happened, off the mail path.
func onEvents(batch []baton.Event) error {
	for _, event := range batch {
		baton.Log.Info(event.Kind, "message", event.MessageID)
	}
	return nil
}

// hook: end
