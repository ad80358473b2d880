// Package events has the events hook: importing it makes the relay tell the plugin what happened, off the mail path.
package events

import "baton"

var handler func(batch []baton.Event) error

// Handle names the function that is told. A batch may come again after a crash.
func Handle(tell func(batch []baton.Event) error) { handler = tell }
