// Package route has the route hook: importing it makes the relay call the plugin there.
package route

import "baton"

var handler func(recipient baton.Address) (baton.Decision, error)

// Handle names the function that is asked for each recipient.
func Handle(ask func(recipient baton.Address) (baton.Decision, error)) { handler = ask }
