package connect

import "baton/internal/call"

//go:wasmexport baton:relay/connect-hook@0.1.0#on-connect
func on() uintptr { return call.Hook(call.Connect, handler) }

//go:wasmexport cabi_post_baton:relay/connect-hook@0.1.0#on-connect
func after(uintptr) {}
