// Package bounce has the bounce hook: importing it makes the relay call the plugin there.
package bounce

import "baton"

var handler func(recipient baton.Address) (baton.Decision, error)

// Handle names the function that is asked for each recipient.
func Handle(ask func(recipient baton.Address) (baton.Decision, error)) { handler = ask }
