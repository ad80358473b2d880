/* Put in front of each C file of QuickJS (see build.sh). For WASI it leaves out its bound on the stack, so that recursion
 * without end would overwrite memory or trap, instead of ending in an error that a script can be told about. All that
 * asks for __wasi__ besides is this header, which needs it. */
#include <wasi/api.h>
#undef __wasi__

/* QuickJS sees how deep it is by the address of a frame in linear memory. But most of what a function keeps, WebAssembly
 * keeps out of there: the writer of JSON, which calls itself for each level, has 16 octets in memory and hundreds on the
 * stack that the host gives, and would be at the end of the latter long before it were at its own bound. So each function
 * that asks how deep it is gets a larger frame by asking. It is the body of an inline function that this becomes. */
#define FRAME_OCTETS 112
#define __builtin_frame_address(level) \
    ({ \
        char frame_octets[FRAME_OCTETS]; \
        void *here = frame_octets; \
        __asm__ volatile("" : "+r"(here) : : "memory"); \
        here; \
    })
