package events

import (
	"baton"
	"baton/internal/call"
	"time"
	"unsafe"
)

// As the canonical ABI lays them out.
type (
	text struct {
		data   uint32
		length uint32
	}
	optional struct {
		isSome uint8
		value  text
	}
	event struct {
		unixMs     uint64
		kind       text
		sessionID  optional
		messageID  optional
		fields     uint32
		fieldCount uint32
	}
)

//go:wasmexport baton:relay/events-hook@0.1.0#on-events
func on(list uintptr, count uint32) {
	batch := make([]baton.Event, 0, count)
	for _, raw := range unsafe.Slice((*event)(unsafe.Pointer(list)), count) {
		fields := map[string]string{}
		for _, pair := range unsafe.Slice((*[2]text)(unsafe.Pointer(uintptr(raw.fields))), raw.fieldCount) {
			fields[read(pair[0])] = read(pair[1])
		}
		batch = append(batch, baton.Event{
			Time: time.UnixMilli(int64(raw.unixMs)), Kind: read(raw.kind), Fields: fields,
			SessionID: readOptional(raw.sessionID), MessageID: readOptional(raw.messageID),
		})
	}
	call.Events(func() error { return handler(batch) })
}

func read(given text) string { return call.Text(uintptr(given.data), given.length) }

func readOptional(given optional) string {
	if given.isSome == 0 {
		return ""
	}
	return read(given.value)
}
