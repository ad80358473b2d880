// Package rcpt has the rcpt hook: importing it makes the relay call the plugin there.
package rcpt

import "baton"

var handler func(recipient baton.Address, parameters baton.Parameters) (baton.Decision, error)

// Handle names the function that is asked for each recipient.
func Handle(ask func(recipient baton.Address, parameters baton.Parameters) (baton.Decision, error)) {
	handler = ask
}
