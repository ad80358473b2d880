/* cc -I../include test_plugin.c ../testing/fake.c -o test_plugin && ./test_plugin */
#include <assert.h>
#include <stdio.h>

#include "../testing/fake.h"
#include "plugin.c"

int main(void) {
  init();
  assert(strcmp(fake_done(), "problem blocked\n") == 0);

  fake_reset();
  fake_config("blocked.0", "exe");
  init();
  fake_part(NULL);
  fake_part("report.pdf");
  assert(on_data().kind == BATON_NEXT);
  assert(strcmp(fake_done(), "count attachments/passed 1\nset X-Attachments: 1; seen=1\nset X-Session: TLSv1.3 of nobody, iprev permerror\n") == 0);

  fake_part("Setup.EXE");
  baton_decision refused = on_data();
  assert(refused.kind == BATON_REJECT && strcmp(refused.text, "attachment Setup.EXE is not accepted") == 0);
  puts("ok");
}
