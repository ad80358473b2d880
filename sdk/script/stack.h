/* Put in front of each C file of QuickJS (see build.sh). For WASI it leaves out its bound on the stack, so that recursion
 * without end would overwrite memory or trap, instead of ending in an error that a script can be told about. All that
 * asks for __wasi__ besides is this header, which needs it. */
#include <wasi/api.h>
#undef __wasi__
