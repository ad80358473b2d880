/* A relay made up for a unit test: compile it with the test for the machine at hand, not for WebAssembly.
 *
 * What a plugin asks for most is here: settings, the header, names of parts, counters, the log; a session in TLS 1.3. Any function of baton.h can
 * be defined by the test itself. The whole contract is what `baton plugin test` runs. */
#pragma once
#include "../include/baton.h"

/* Forgets everything. */
void fake_reset(void);
void fake_config(const char *path, const char *value);
void fake_header(const char *name, const char *value);
void fake_part(const char *filename);
/* What the plugin did, in order, a line each: "set X-A: 1", "count attachments/passed 1", "log refused", "problem blocked". */
const char *fake_done(void);
