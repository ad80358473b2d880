package bounce

import (
	"baton"
	"baton/internal/call"
)

//go:wasmexport baton:relay/bounce-hook@0.1.0#on-bounce
func on(local uintptr, localLength uint32, domain uintptr, domainLength uint32) uintptr {
	recipient := baton.Address{Local: call.Text(local, localLength), Domain: call.Text(domain, domainLength)}
	return call.Hook(call.Bounce, func() (baton.Decision, error) { return handler(recipient) })
}
