// Package connect has the connect hook: importing it makes the relay call the plugin there.
package connect

import "baton"

var handler func() (baton.Decision, error)

// Handle names the function that is asked.
func Handle(ask func() (baton.Decision, error)) { handler = ask }
