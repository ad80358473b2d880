// Package data has the data hook: importing it makes the relay call the plugin there.
package data

import "baton"

var handler func() (baton.Decision, error)

// Handle names the function that is asked.
func Handle(ask func() (baton.Decision, error)) { handler = ask }
