package rcpt

import (
	"baton"
	"baton/internal/call"
	"unsafe"
)

// param is an ESMTP parameter as the canonical ABI lays it out.
type param struct {
	name       uint32
	nameLength uint32
	hasValue   uint8
	value      uint32
	length     uint32
}

//go:wasmexport baton:relay/rcpt-hook@0.1.0#on-rcpt
func on(local uintptr, localLength uint32, domain uintptr, domainLength uint32, list uintptr, count uint32) uintptr {
	recipient := baton.Address{Local: call.Text(local, localLength), Domain: call.Text(domain, domainLength)}
	parameters := baton.Parameters{}
	for _, raw := range unsafe.Slice((*param)(unsafe.Pointer(list)), count) {
		value := ""
		if raw.hasValue != 0 {
			value = call.Text(uintptr(raw.value), raw.length)
		}
		parameters[call.Text(uintptr(raw.name), raw.nameLength)] = value
	}
	return call.Hook(call.Rcpt, func() (baton.Decision, error) { return handler(recipient, parameters) })
}

//go:wasmexport cabi_post_baton:relay/rcpt-hook@0.1.0#on-rcpt
func after(uintptr) {}
