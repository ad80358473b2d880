// Package auth has the auth hook: importing it makes the relay call the plugin there.
package auth

import "baton"

var handler func(credential baton.Credential) (baton.Decision, error)

// Handle names the function that is asked.
func Handle(ask func(credential baton.Credential) (baton.Decision, error)) { handler = ask }
