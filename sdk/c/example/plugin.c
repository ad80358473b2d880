/* Refuses attachments by the ending of their name, counts in the key-value store, says in the header what it saw. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "baton.h"

static void init(void) {
  if (!baton_config("blocked.0")) baton_problem("blocked", "a list of file name endings is needed, such as [\"exe\"]");
}
BATON_INIT(init)

static bool is_blocked(const char *name) {
  const char *dot = strrchr(name, '.');
  const char *ending = dot ? dot + 1 : name;
  const char *blocked;
  for (int index = 0; (blocked = baton_config(baton_format("blocked.%d", index))); index++) {
    if (strcasecmp(ending, blocked) == 0) return true;
  }
  return false;
}

static int64_t count(const char *what) {
  int64_t value = 0;
  baton_must(baton_kv_increment("attachments", what, 1, 0, &value));
  return value;
}

static const char *seen_of_session(void) {
  baton_tls tls;
  const char *version = baton_session_tls(&tls) ? tls.version : "plain text";
  return baton_format("%s of %s, iprev %s", version, tls.verified_subject ? tls.verified_subject : "nobody", baton_session_iprev());
}

static baton_decision on_data(void) {
  int named = 0;
  for (uint32_t part = 0; part < baton_part_count(); part++) {
    const char *name = baton_part_filename(part);
    if (!name) continue;
    named++;
    if (is_blocked(name)) {
      BATON_LOG(BATON_INFO, "attachment refused", {"name", name}, {"count", baton_format("%" PRId64, count("refused"))});
      return baton_reject(550, "5.7.1", baton_format("attachment %s is not accepted", name));
    }
  }
  baton_must(baton_message_set_header("X-Attachments", baton_format("%d; seen=%" PRId64, named, count("passed"))));
  baton_must(baton_message_set_header("X-Session", seen_of_session()));
  return baton_next();
}
BATON_ON_DATA(on_data)
