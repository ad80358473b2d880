package call

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"unsafe"

	"baton/internal/bindings/baton_host_log"
	witRuntime "baton/internal/wit/runtime"
	witTypes "baton/internal/wit/types"
)

// heapMax is how far the heap grows between two collections, in octets.
const heapMax = 8 << 20

var (
	area    [32]byte
	pinner  runtime.Pinner
	release []func()
	checked bool
	found   []Problem
	heap    = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	kept    uint64
)

// A collection asks for the time. While the relay hands over arguments and results that is not allowed, and ends the
// call; so none begins by itself: they are made where the plugin's own code runs.
//
// The standard streams are handles of the relay. Go opens them when it starts, and an instance that holds a handle after a
// call is not used again: so they are closed, and the plugin writes to Log. A panic is logged by run.
func init() {
	debug.SetGCPercent(-1)
	pinner.Pin(&area)
	for stream := range 3 {
		_ = syscall.Close(stream)
	}
}

// Collect frees memory when much was used since the last time.
func Collect() {
	metrics.Read(heap)
	if used := heap[0].Value.Uint64(); used > kept+heapMax {
		runtime.GC()
		metrics.Read(heap)
		kept = heap[0].Value.Uint64()
	}
}

// OnRelease is called when the call ends: handles belong to it.
func OnRelease(drop func()) { release = append(release, drop) }

// Text reads an argument.
func Text(pointer uintptr, length uint32) string {
	return unsafe.String((*byte)(unsafe.Pointer(pointer)), length)
}

//go:wasmexport baton:relay/lifecycle@0.1.0#init
func initialise() uintptr {
	defer end()
	if _, err := run(func() (Decision, error) { return Decision{}, nil }); err != nil && len(found) == 0 {
		fail(err)
	}
	problems := found
	type raw struct{ path, pathLength, message, messageLength uint32 }
	*at[uint8](0) = 0
	if len(problems) > 0 {
		list := make([]raw, len(problems))
		for index, problem := range problems {
			path, message := pin(problem.Path), pin(problem.Message)
			list[index] = raw{path, uint32(len(problem.Path)), message, uint32(len(problem.Message))}
		}
		pinner.Pin(&list[0])
		*at[uint8](0), *at[uint32](4), *at[uint32](8) = 1, uint32(uintptr(unsafe.Pointer(&list[0]))), uint32(len(list))
	}
	return uintptr(unsafe.Pointer(&area))
}

// prepare runs once in each instance: where the relay keeps what init left in memory, that is once in each load.
func prepare() []Problem {
	if !checked {
		checked = true
		found = Check()
	}
	return found
}

// Hook runs one call of a hook and lays its decision out as the canonical ABI wants it.
func Hook(cases []Case, ask func() (Decision, error)) uintptr {
	defer end()
	decision, err := run(ask)
	if err != nil {
		fail(err)
	}
	number, err := Find(cases, decision)
	if err != nil {
		fail(err)
	}
	pinner.Unpin()
	pinner.Pin(&area)
	clear(area[:])
	*at[uint8](0) = uint8(number)
	switch cases[number].Carries {
	case AReply:
		reply := decision.Reply
		*at[uint16](4) = reply.Code
		if reply.HasEnhanced {
			*at[uint8](6), *at[uint8](8) = 1, uint8(reply.Enhanced[0])
			*at[uint16](10), *at[uint16](12) = reply.Enhanced[1], reply.Enhanced[2]
		}
		*at[uint32](16), *at[uint32](20) = pin(reply.Text), uint32(len(reply.Text))
	case AText:
		*at[uint32](4), *at[uint32](8) = pin(decision.Text), uint32(len(decision.Text))
	case ADuration:
		*at[uint64](8) = uint64(decision.After.Milliseconds())
	}
	return uintptr(unsafe.Pointer(&area))
}

// Events runs one call of the events hook.
func Events(ask func() error) {
	defer end()
	if _, err := run(func() (Decision, error) { return Decision{}, ask() }); err != nil {
		fail(err)
	}
}

func run(ask func() (Decision, error)) (decision Decision, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("panic: %v\n%s", thrown, debug.Stack())
		}
	}()
	witRuntime.Unpin()
	for _, problem := range prepare() {
		return Decision{}, fmt.Errorf("settings: %s: %s", problem.Path, problem.Message)
	}
	return ask()
}

// fail ends the call as a failure of the plugin: the operator's policy decides, and none of its changes is kept.
func fail(err error) {
	baton_host_log.Emit(baton_host_log.Level_Error, err.Error(), []witTypes.Tuple2[string, string]{})
	panic(err)
}

func end() {
	for _, drop := range release {
		drop()
	}
	release = release[:0]
	Collect()
}

func at[T any](offset uintptr) *T { return (*T)(unsafe.Pointer(&area[offset])) }

func pin(text string) uint32 {
	if text == "" {
		return 0
	}
	data := unsafe.StringData(text)
	pinner.Pin(data)
	return uint32(uintptr(unsafe.Pointer(data)))
}
