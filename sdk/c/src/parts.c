/* MIME parts and new bodies. One handle serves all parts, so that a message of a thousand needs no thousand. */
#include "inside.h"

typedef baton_relay_message_borrow_part_t borrowed;

static baton_relay_message_own_part_t part;
static baton_relay_message_own_body_writer_t body;
static uint32_t part_index;
static bool has_part, has_body;

void baton_drop_part_and_body(void) {
  if (has_part) baton_relay_message_part_drop_own(part);
  if (has_body) baton_relay_message_body_writer_drop_own(body);
  has_part = has_body = false;
}

static borrowed at(uint32_t index) {
  if (has_part && part_index != index) {
    baton_relay_message_part_drop_own(part);
    has_part = false;
  }
  if (!has_part) {
    if (!baton_relay_message_get_part(index, &part)) baton_give_up(baton_format("there is no part %u", (unsigned)index));
    has_part = true;
    part_index = index;
  }
  return baton_relay_message_borrow_part(part);
}

static const char *hexadecimal(baton_raw_list_u8_t octets) {
  char *text = baton_allocate(octets.len * 2 + 1);
  for (size_t index = 0; index < octets.len; index++) {
    text[index * 2] = "0123456789abcdef"[octets.ptr[index] >> 4];
    text[index * 2 + 1] = "0123456789abcdef"[octets.ptr[index] & 15];
  }
  text[octets.len * 2] = 0;
  return text;
}

const char *baton_message_digest(const char *algorithm) {
  baton_raw_list_u8_t octets;
  raw_text error;
  if (baton_relay_message_digest(TEXT(algorithm), &octets, &error)) return hexadecimal(octets);
  baton_failed("refused", lift_text(error));
  return NULL;
}

#define PART_TEXT(name, from) \
  const char *name(uint32_t index) { raw_text text; from(at(index), &text); return lift_text(text); }
#define PART_TEXT_OR_NULL(name, from) \
  const char *name(uint32_t index) { raw_text text; return from(at(index), &text) ? lift_text(text) : NULL; }

uint32_t baton_part_count(void) { return baton_relay_message_part_count(); }
PART_TEXT(baton_part_content_type, baton_relay_message_method_part_content_type)
PART_TEXT_OR_NULL(baton_part_disposition, baton_relay_message_method_part_disposition)
PART_TEXT_OR_NULL(baton_part_filename, baton_relay_message_method_part_filename)
PART_TEXT_OR_NULL(baton_part_charset, baton_relay_message_method_part_charset)
PART_TEXT(baton_part_transfer_encoding, baton_relay_message_method_part_transfer_encoding)

const char *baton_part_header(uint32_t index, const char *name) {
  raw_text text;
  return baton_relay_message_method_part_header(at(index), TEXT(name), &text) ? lift_text(text) : NULL;
}

baton_texts baton_part_within(uint32_t index) {
  baton_raw_list_string_t list;
  baton_relay_message_method_part_within(at(index), &list);
  return lift_texts(list);
}

void baton_part_raw_range(uint32_t index, uint64_t *offset, uint64_t *length) {
  baton_raw_tuple2_u64_u64_t range;
  baton_relay_message_method_part_raw_range(at(index), &range);
  *offset = range.f0;
  *length = range.f1;
}

uint64_t baton_part_decoded_size(uint32_t index) { return baton_relay_message_method_part_decoded_size(at(index)); }

baton_octets baton_part_read(uint32_t index, uint64_t offset, uint32_t length) {
  baton_raw_list_u8_t octets;
  baton_relay_message_method_part_read(at(index), offset, length, &octets);
  return lift_octets(octets);
}

const char *baton_part_text(uint32_t index, uint32_t characters_max, bool strip_html) {
  raw_text text;
  baton_relay_message_method_part_text(at(index), characters_max, strip_html, &text);
  return lift_text(text);
}

const char *baton_part_digest(uint32_t index, const char *algorithm) {
  baton_raw_list_u8_t octets;
  raw_text error;
  if (baton_relay_message_method_part_digest(at(index), TEXT(algorithm), &octets, &error)) return hexadecimal(octets);
  baton_failed("refused", lift_text(error));
  return NULL;
}

baton_texts baton_part_urls(uint32_t index, uint32_t max) {
  baton_raw_list_string_t list;
  baton_relay_message_method_part_urls(at(index), max, &list);
  return lift_texts(list);
}

/* ------------------------------------------------------------ a new body */

static bool begin_body(raw_text *error) {
  return has_body || (has_body = baton_relay_message_replace_body(&body, error));
}

bool baton_body_write(baton_octets chunk) {
  raw_text error;
  bool is_done = begin_body(&error) && baton_relay_message_method_body_writer_write(baton_relay_message_borrow_body_writer(body), OCTETS(chunk), &error);
  return is_done || baton_failed("refused", lift_text(error));
}

bool baton_body_copy(uint64_t offset, uint64_t length) {
  raw_text error;
  bool is_done = begin_body(&error) && baton_relay_message_method_body_writer_copy(baton_relay_message_borrow_body_writer(body), offset, length, &error);
  return is_done || baton_failed("refused", lift_text(error));
}

bool baton_body_finish(void) {
  raw_text error;
  bool is_done = begin_body(&error) && baton_relay_message_method_body_writer_finish(baton_relay_message_borrow_body_writer(body), &error);
  if (has_body) baton_relay_message_body_writer_drop_own(body);
  has_body = false;
  return is_done || baton_failed("refused", lift_text(error));
}
