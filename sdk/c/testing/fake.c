#include "fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 64, TEXT_MAX = 4096 };

typedef struct { const char *name, *value; } entry;
typedef struct { entry items[ENTRIES_MAX]; size_t count; } table;

static table settings, headers, parts;
static struct { char key[256]; int64_t value; } counters[ENTRIES_MAX];
static size_t counter_count;
static char done[TEXT_MAX];

static void put(table *into, const char *name, const char *value) {
  if (into->count == ENTRIES_MAX) abort();
  into->items[into->count++] = (entry){name, value};
}

static const char *find(const table *in, const char *name) {
  for (size_t index = 0; index < in->count; index++) {
    if (strcmp(in->items[index].name, name) == 0) return in->items[index].value;
  }
  return NULL;
}

static void did(const char *format, ...) {
  size_t length = strlen(done);
  va_list given;
  va_start(given, format);
  vsnprintf(done + length, sizeof done - length, format, given);
  va_end(given);
  strncat(done, "\n", sizeof done - strlen(done) - 1);
}

void fake_reset(void) {
  settings.count = headers.count = parts.count = counter_count = 0;
  done[0] = 0;
}

void fake_config(const char *path, const char *value) { put(&settings, path, value); }
void fake_header(const char *name, const char *value) { put(&headers, name, value); }
void fake_part(const char *filename) { put(&parts, filename ? filename : "", filename); }
const char *fake_done(void) { return done; }

const char *baton_session_iprev(void) { return "permerror"; }
bool baton_session_tls(baton_tls *tls) {
  *tls = (baton_tls){.version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384"};
  return true;
}
const char *baton_config(const char *path) { return find(&settings, path); }
void baton_problem(const char *path, const char *message) { (void)message; did("problem %s", path); }
const char *baton_error(void) { return "refused by the test"; }
void baton_must(bool succeeded) { if (!succeeded) abort(); }

const char *baton_format(const char *format, ...) {
  static char memory[1 << 16];
  static size_t used;
  va_list given;
  va_start(given, format);
  char *text = memory + used;
  int length = vsnprintf(text, sizeof memory - used, format, given);
  va_end(given);
  used += (size_t)length + 1;
  if (used > sizeof memory / 2) used = 0;
  return text;
}

const char *baton_message_header(const char *name) { return find(&headers, name); }
bool baton_message_set_header(const char *name, const char *value) { did("set %s: %s", name, value); return true; }
bool baton_message_add_header(const char *name, const char *value) { did("add %s: %s", name, value); return true; }
uint32_t baton_part_count(void) { return (uint32_t)parts.count; }
const char *baton_part_filename(uint32_t part) { return parts.items[part].value; }

bool baton_kv_increment(const char *bucket, const char *key, int64_t delta, uint64_t ttl_ms, int64_t *value) {
  char name[256];
  size_t index = 0;
  (void)ttl_ms;
  snprintf(name, sizeof name, "%s/%s", bucket, key);
  while (index < counter_count && strcmp(counters[index].key, name) != 0) index++;
  if (index == counter_count) {
    if (counter_count++ == ENTRIES_MAX) abort();
    strcpy(counters[index].key, name);
    counters[index].value = 0;
  }
  *value = counters[index].value += delta;
  did("count %s %lld", name, (long long)*value);
  return true;
}

void baton_log_fields(baton_level level, const char *message, const baton_field *fields, size_t count) {
  (void)level, (void)fields, (void)count;
  did("log %s", message);
}
