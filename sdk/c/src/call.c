/* A call from begin to end: memory, decisions, settings' problems, what went wrong. */
#include "inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BATON_SECTION_imports
BATON_SECTION_lifecycle

/* The bindings ask for an object file with such sections to be linked; here they are. */
void __component_type_object_force_link_baton_raw(void) {}

/* ------------------------------------------------------------ memory
 * All that the relay gives is allocated here, one octet longer than asked for and with a NUL there. It is dropped when
 * the call ends, but for what init got. */

typedef struct block { struct block *next; size_t size; } block;
static block *blocks;
static block *kept;

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (size == 0) return (void *)align;
  block *fresh = malloc(sizeof(block) + size + 1);
  if (!fresh) abort();
  fresh->next = blocks;
  fresh->size = size;
  blocks = fresh;
  char *memory = (char *)(fresh + 1);
  if (old_size) memcpy(memory, old, old_size < size ? old_size : size);
  memory[size] = 0;
  return memory;
}

void *baton_allocate(size_t size) {
  return cabi_realloc(NULL, 0, sizeof(block), size ? size : 1);
}

static void release_memory(void) {
  while (blocks != kept) {
    block *next = blocks->next;
    free(blocks);
    blocks = next;
  }
}

const char *baton_format(const char *format, ...) {
  va_list given, again;
  va_start(given, format);
  va_copy(again, given);
  int length = vsnprintf(NULL, 0, format, given);
  char *text = baton_allocate((size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, format, again);
  va_end(given);
  va_end(again);
  return text;
}

/* ------------------------------------------------------------ errors */

static const char *last_error = "";

const char *baton_error(void) { return last_error; }

bool baton_failed(const char *kind, const char *detail) {
  last_error = detail && *detail ? baton_format("%s: %s", kind, detail) : kind;
  return false;
}

_Noreturn void baton_give_up(const char *why) {
  BATON_LOG(BATON_ERROR, why, {NULL, NULL});
  abort();
}

void baton_must(bool succeeded) {
  if (!succeeded) baton_give_up(last_error);
}

/* ------------------------------------------------------------ init */

typedef struct { const char *path; size_t path_length; const char *message; size_t message_length; } raw_problem;
static raw_problem *problems;
static size_t problem_count;
static bool is_ready;

/* The plugin's own, when it has one. */
__attribute__((weak)) void baton_plugin_init(void) {}

void baton_problem(const char *path, const char *message) {
  problems = realloc(problems, (problem_count + 1) * sizeof(raw_problem));
  if (!problems) abort();
  problems[problem_count++] = (raw_problem){path, strlen(path), message, strlen(message)};
}

/* Once in each instance: where the relay keeps what init left in memory, that is once in each load. */
static void prepare(void) {
  if (is_ready) return;
  is_ready = true;
  baton_plugin_init();
  kept = blocks;
}

__attribute__((export_name("baton:relay/lifecycle@0.1.0#init")))
const void *baton_lifecycle_init(void) {
  static struct { uint8_t is_err; raw_problem *items; size_t count; } answer;
  prepare();
  baton_drop_handles();
  answer.is_err = problem_count > 0;
  answer.items = problems;
  answer.count = problem_count;
  return &answer;
}

void baton_begin(void) {
  prepare();
  if (problem_count > 0) baton_give_up(baton_format("settings: %s: %s", problems[0].path, problems[0].message));
}

void baton_end(void) {
  release_memory();
  last_error = "";
}

/* ------------------------------------------------------------ decisions */

enum { NOT_LEGAL = 0xff };

/* The case of each hook's variant, by kind. */
#define CASES(next, accept, reject, tempfail, discard, quarantine, disconnect, allow, deny, routed, hold, fail, notify, silent, retry, reroute) \
  {next, accept, reject, tempfail, discard, quarantine, disconnect, allow, deny, routed, hold, fail, notify, silent, retry, reroute}
#define X NOT_LEGAL
static const uint8_t CASE[][16] = {
  [BATON_HOOK_CONNECT] = CASES(0, 1, 2, 3, X, X, X, X, X, X, X, X, X, X, X, X),
  [BATON_HOOK_AUTH] = CASES(0, X, X, 3, X, X, 4, 1, 2, X, X, X, X, X, X, X),
  [BATON_HOOK_RCPT] = CASES(0, 1, 2, 3, 4, X, 5, X, X, X, X, X, X, X, X, X),
  [BATON_HOOK_DATA] = CASES(0, 1, 2, 3, 4, 5, 6, X, X, X, X, X, X, X, X, X),
  [BATON_HOOK_ROUTE] = CASES(0, X, X, X, X, X, X, X, X, 1, 2, 3, X, X, X, X),
  [BATON_HOOK_BOUNCE] = CASES(0, X, X, X, X, X, X, X, X, X, X, 5, 1, 2, 3, 4),
};
#undef X

/* A variant as the canonical ABI lays it out in 32-bit memory: a reply, a text or (at 8) a number behind the case. */
typedef struct {
  uint8_t tag;
  union {
    struct {
      uint16_t code;
      uint8_t has_enhanced, unused, class, unused_too; /* option<tuple<u8, u16, u16>>: the flag at 2, the numbers at 4, 6, 8 */
      uint16_t subject, detail;
      const char *text;
      size_t length;
    } reply;
    struct { const char *text; size_t length; } text;
  } value;
} raw_decision;
_Static_assert(offsetof(raw_decision, value.reply.text) == 16 && sizeof(raw_decision) == 24, "as the canonical ABI lays it out");

static void lower_reply(raw_decision *raw, const baton_decision *decision) {
  unsigned class = 0, subject = 0, detail = 0;
  raw->value.reply.code = decision->code;
  raw->value.reply.text = decision->text ? decision->text : "";
  raw->value.reply.length = strlen(raw->value.reply.text);
  if (!decision->enhanced) return;
  if (sscanf(decision->enhanced, "%u.%u.%u", &class, &subject, &detail) != 3) {
    baton_give_up(baton_format("\"%s\" is no enhanced status code such as \"5.7.1\"", decision->enhanced));
  }
  raw->value.reply.has_enhanced = 1;
  raw->value.reply.class = (uint8_t)class;
  raw->value.reply.subject = (uint16_t)subject;
  raw->value.reply.detail = (uint16_t)detail;
}

const void *baton_answer(baton_hook hook, baton_decision decision) {
  static _Alignas(8) uint8_t area[32];
  raw_decision *raw = (raw_decision *)area;
  memset(area, 0, sizeof area);
  raw->tag = CASE[hook][decision.kind];
  if (raw->tag == NOT_LEGAL) baton_give_up("the hook returned a decision that is not one of its own");
  switch (decision.kind) {
    case BATON_REJECT: case BATON_TEMPFAIL: case BATON_DISCONNECT: case BATON_DENY:
      lower_reply(raw, &decision);
      break;
    case BATON_FAIL:
      if (hook == BATON_HOOK_ROUTE) lower_reply(raw, &decision);
      break;
    case BATON_DISCARD: case BATON_QUARANTINE: case BATON_ALLOW: case BATON_HOLD:
      raw->value.text.text = decision.text ? decision.text : "";
      raw->value.text.length = strlen(raw->value.text.text);
      break;
    case BATON_RETRY:
      memcpy(area + 8, &decision.ms, sizeof decision.ms);
      break;
    default:
      break;
  }
  baton_drop_handles(); /* here: what runs after the return may not call the relay */
  return raw;
}
