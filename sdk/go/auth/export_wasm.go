package auth

import (
	"baton"
	"baton/internal/call"
)

//go:wasmexport baton:relay/auth-hook@0.1.0#on-auth
func on(mechanism uintptr, mechanismLength uint32, user uintptr, userLength uint32, kind int32, secret uintptr, secretLength uint32) uintptr {
	credential := baton.Credential{Mechanism: call.Text(mechanism, mechanismLength), User: call.Text(user, userLength)}
	if kind == 0 {
		credential.Password = call.Text(secret, secretLength)
	} else {
		credential.Token = call.Text(secret, secretLength)
	}
	return call.Hook(call.Auth, func() (baton.Decision, error) { return handler(credential) })
}

//go:wasmexport cabi_post_baton:relay/auth-hook@0.1.0#on-auth
func after(uintptr) {}
