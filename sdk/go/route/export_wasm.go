package route

import (
	"baton"
	"baton/internal/call"
)

//go:wasmexport baton:relay/route-hook@0.1.0#on-route
func on(local uintptr, localLength uint32, domain uintptr, domainLength uint32) uintptr {
	recipient := baton.Address{Local: call.Text(local, localLength), Domain: call.Text(domain, domainLength)}
	return call.Hook(call.Route, func() (baton.Decision, error) { return handler(recipient) })
}

//go:wasmexport cabi_post_baton:relay/route-hook@0.1.0#on-route
func after(uintptr) {}
