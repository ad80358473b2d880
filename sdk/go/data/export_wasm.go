package data

import "baton/internal/call"

//go:wasmexport baton:relay/data-hook@0.1.0#on-data
func on() uintptr { return call.Hook(call.Data, handler) }

//go:wasmexport cabi_post_baton:relay/data-hook@0.1.0#on-data
func after(uintptr) {}
