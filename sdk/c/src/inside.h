/* What the files of the SDK share; not for plugins. */
#pragma once
#include "../bindings/baton_raw.h"
#include "../include/baton.h"

/* Memory until the call ends. */
void *baton_allocate(size_t size);
/* Keeps what went wrong for baton_error(); answers false. */
bool baton_failed(const char *kind, const char *detail);
/* Says why in the log, and ends the call. */
_Noreturn void baton_give_up(const char *why);

typedef baton_raw_string_t raw_text;

/* The bindings take texts by pointer, and do not change them. */
#define TEXT(text) (&(raw_text){(uint8_t *)(text), baton_text(text).length})
#define OCTETS(octets) (&(baton_raw_list_u8_t){(uint8_t *)(octets).data, (octets).length})
/* What has no octets points nowhere. */
static inline const char *lift_text(raw_text text) { return text.len ? (const char *)text.ptr : ""; }
static inline baton_octets lift_octets(baton_raw_list_u8_t octets) { return (baton_octets){octets.len ? octets.ptr : (const uint8_t *)"", octets.len}; }
/* The list of pointers and lengths becomes one of pointers, in its own place. */
static inline baton_texts lift_texts(baton_raw_list_string_t list) {
  const char **items = (const char **)list.ptr;
  for (size_t index = 0; index < list.len; index++) items[index] = lift_text(list.ptr[index]);
  return (baton_texts){items, list.len};
}
const baton_field *baton_lift_fields(const baton_raw_list_tuple2_string_string_t *list);
baton_raw_list_tuple2_string_string_t baton_lower_fields(const baton_field *fields, size_t count);
baton_address baton_lift_address(const baton_relay_types_address_t *address);
