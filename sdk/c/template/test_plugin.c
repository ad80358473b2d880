/* The hooks on the machine at hand, with a relay made up for each test. `baton plugin test` runs the component. */
#include <assert.h>
#include <stdio.h>

#include "testing/fake.h"

#include "plugin.c"

int main(void) {
  fake_config("blocked", "bad.example");
  init();
  assert(strcmp(fake_done(), "problem blocked\n") == 0);

  fake_reset();
  fake_config("blocked", "[\"bad.example\"]");
  fake_config("blocked.0", "bad.example");
  init();
  assert(strcmp(fake_done(), "") == 0);

  /* hook: rcpt */
  baton_parameters none = {NULL, 0};
  assert(on_rcpt((baton_address){"ann", "good.example"}, none).kind == BATON_NEXT);
  baton_decision refused = on_rcpt((baton_address){"ann", "bad.example"}, none);
  assert(refused.kind == BATON_REJECT && refused.code == 550);
  /* hook: end */
  puts("ok");
}
