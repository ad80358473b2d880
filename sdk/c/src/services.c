/* Settings, store, DNS, HTTP, callouts, log, metrics, clock, events. */
#include "inside.h"

#include <string.h>

void baton_drop_part_and_body(void);

const baton_field *baton_lift_fields(const baton_raw_list_tuple2_string_string_t *list) {
  baton_field *fields = baton_allocate(list->len * sizeof *fields);
  for (size_t index = 0; index < list->len; index++) {
    fields[index] = (baton_field){lift_text(list->ptr[index].f0), lift_text(list->ptr[index].f1)};
  }
  return fields;
}

baton_raw_list_tuple2_string_string_t baton_lower_fields(const baton_field *fields, size_t count) {
  baton_raw_tuple2_string_string_t *pairs = baton_allocate(count * sizeof *pairs);
  size_t used = 0;
  for (size_t index = 0; index < count; index++) {
    if (!fields[index].name) continue;
    pairs[used++] = (baton_raw_tuple2_string_string_t){*TEXT(fields[index].name), *TEXT(fields[index].value)};
  }
  return (baton_raw_list_tuple2_string_string_t){pairs, used};
}

/* ------------------------------------------------------------ settings, log, metrics, clock */

const char *baton_config_json(void) {
  raw_text text;
  baton_host_config_json(&text);
  return lift_text(text);
}

const char *baton_config(const char *path) {
  raw_text text;
  return baton_host_config_get(TEXT(path), &text) ? lift_text(text) : NULL;
}

const char *baton_secret(const char *name) {
  raw_text text;
  return baton_host_config_secret(TEXT(name), &text) ? lift_text(text) : NULL;
}

void baton_log_fields(baton_level level, const char *message, const baton_field *fields, size_t count) {
  baton_raw_list_tuple2_string_string_t list = baton_lower_fields(fields, count);
  baton_host_log_emit((baton_host_log_level_t)level, TEXT(message), &list);
}

void baton_count(const char *name, uint64_t value, const baton_field *labels, size_t count) {
  baton_raw_list_tuple2_string_string_t list = baton_lower_fields(labels, count);
  baton_host_metrics_count(TEXT(name), value, &list);
}

void baton_gauge(const char *name, double value, const baton_field *labels, size_t count) {
  baton_raw_list_tuple2_string_string_t list = baton_lower_fields(labels, count);
  baton_host_metrics_gauge(TEXT(name), value, &list);
}

void baton_observe(const char *name, double value, const baton_field *labels, size_t count) {
  baton_raw_list_tuple2_string_string_t list = baton_lower_fields(labels, count);
  baton_host_metrics_observe(TEXT(name), value, &list);
}

uint64_t baton_now_ms(void) { return baton_host_clock_now_ms(); }
uint32_t baton_remaining_ms(void) { return baton_host_clock_remaining_ms(); }

/* ------------------------------------------------------------ key-value store: one handle for each bucket in a call */

typedef baton_host_kv_error_t kv_error;
typedef struct { const char *name; baton_host_kv_own_bucket_t bucket; } opened;

enum { BUCKETS_MAX = 16 };
static opened buckets[BUCKETS_MAX];
static size_t bucket_count;

void baton_drop_handles(void) {
  for (size_t index = 0; index < bucket_count; index++) baton_host_kv_bucket_drop_own(buckets[index].bucket);
  bucket_count = 0;
  baton_drop_part_and_body();
}

static bool kv_failed(const kv_error *error) {
  static const char *const kinds[] = {"denied", "quota", "too-large", "unavailable"};
  bool has_words = error->tag == BATON_HOST_KV_ERROR_UNAVAILABLE;
  return baton_failed(kinds[error->tag], has_words ? lift_text(error->val.unavailable) : "");
}

static bool open_bucket(const char *name, baton_host_kv_borrow_bucket_t *bucket, kv_error *error) {
  for (size_t index = 0; index < bucket_count; index++) {
    if (strcmp(buckets[index].name, name) == 0) {
      *bucket = baton_host_kv_borrow_bucket(buckets[index].bucket);
      return true;
    }
  }
  if (bucket_count == BUCKETS_MAX) baton_give_up("more than 16 buckets in one call");
  opened *fresh = &buckets[bucket_count];
  if (!baton_host_kv_static_bucket_open(TEXT(name), &fresh->bucket, error)) return false;
  fresh->name = baton_format("%s", name);
  bucket_count++;
  *bucket = baton_host_kv_borrow_bucket(fresh->bucket);
  return true;
}

#define TTL(ttl_ms) ((ttl_ms) ? &(uint64_t){ttl_ms} : NULL)
#define KV(call) \
  baton_host_kv_borrow_bucket_t self; \
  kv_error error; \
  return (open_bucket(bucket, &self, &error) && (call)) || kv_failed(&error)

bool baton_kv_get(const char *bucket, const char *key, baton_octets *value) {
  baton_raw_option_list_u8_t octets;
  baton_host_kv_borrow_bucket_t self;
  kv_error error;
  if (!open_bucket(bucket, &self, &error) || !baton_host_kv_method_bucket_get(self, TEXT(key), &octets, &error)) {
    return kv_failed(&error);
  }
  *value = octets.is_some ? lift_octets(octets.val) : (baton_octets){NULL, 0};
  return true;
}

bool baton_kv_set(const char *bucket, const char *key, baton_octets value, uint64_t ttl_ms) {
  KV(baton_host_kv_method_bucket_set(self, TEXT(key), OCTETS(value), TTL(ttl_ms), &error));
}

bool baton_kv_set_if_absent(const char *bucket, const char *key, baton_octets value, uint64_t ttl_ms, bool *was_set) {
  KV(baton_host_kv_method_bucket_set_if_absent(self, TEXT(key), OCTETS(value), TTL(ttl_ms), was_set, &error));
}

bool baton_kv_compare_and_set(const char *bucket, const char *key, baton_octets expected, baton_octets value, uint64_t ttl_ms, bool *was_set) {
  KV(baton_host_kv_method_bucket_compare_and_set(self, TEXT(key), expected.data ? OCTETS(expected) : NULL, value.data ? OCTETS(value) : NULL, TTL(ttl_ms), was_set, &error));
}

bool baton_kv_delete(const char *bucket, const char *key) { KV(baton_host_kv_method_bucket_delete(self, TEXT(key), &error)); }

bool baton_kv_increment(const char *bucket, const char *key, int64_t delta, uint64_t ttl_ms, int64_t *value) {
  KV(baton_host_kv_method_bucket_increment(self, TEXT(key), delta, TTL(ttl_ms), value, &error));
}

bool baton_kv_take(const char *bucket, const char *key, uint32_t cost, uint32_t burst, uint64_t period_ms, baton_taken *taken) {
  baton_host_kv_taken_t raw;
  baton_host_kv_borrow_bucket_t self;
  kv_error error;
  if (!open_bucket(bucket, &self, &error) || !baton_host_kv_method_bucket_take(self, TEXT(key), cost, burst, period_ms, &raw, &error)) {
    return kv_failed(&error);
  }
  *taken = (baton_taken){raw.allowed, raw.remaining, raw.retry_after_ms};
  return true;
}

bool baton_kv_scan(const char *bucket, const char *prefix, uint32_t limit, const char **cursor, baton_texts *keys) {
  baton_host_kv_page_t page;
  baton_host_kv_borrow_bucket_t self;
  kv_error error;
  raw_text *from = *cursor ? TEXT(*cursor) : NULL;
  if (!open_bucket(bucket, &self, &error) || !baton_host_kv_method_bucket_scan(self, TEXT(prefix), from, limit, &page, &error)) {
    return kv_failed(&error);
  }
  *keys = lift_texts(page.keys);
  *cursor = page.cursor.is_some ? lift_text(page.cursor.val) : NULL;
  return true;
}

/* ------------------------------------------------------------ DNS */

bool baton_dns_lookup(const char *name, uint16_t type, baton_dns_answer *answer) {
  static const char *const kinds[] = {"denied", "timeout", "bad-name", "failed"};
  baton_host_dns_query_t query = {*TEXT(name), type};
  baton_host_dns_answer_t raw;
  baton_host_dns_error_t error;
  if (!baton_host_dns_lookup(&query, &raw, &error)) {
    return baton_failed(kinds[error.tag], error.tag == BATON_HOST_DNS_ERROR_FAILED ? lift_text(error.val.failed) : "");
  }
  *answer = (baton_dns_answer){raw.rcode, raw.authenticated, raw.ttl, lift_texts(raw.records)};
  return true;
}

void baton_dns_blocklists(const char *const *zones, size_t count, const char *subject, baton_texts *listed) {
  raw_text *names = baton_allocate(count * sizeof *names);
  for (size_t index = 0; index < count; index++) names[index] = *TEXT(zones[index]);
  baton_raw_list_string_t list = {names, count};
  baton_host_dns_list_result_list_string_error_t answers;
  baton_host_dns_blocklists(&list, TEXT(subject), &answers);
  for (size_t index = 0; index < count && index < answers.len; index++) {
    listed[index] = answers.ptr[index].is_err ? (baton_texts){NULL, 0} : lift_texts(answers.ptr[index].val.ok);
  }
}

/* ------------------------------------------------------------ HTTP, callouts */

static baton_host_http_request_t lower_request(const baton_request *request) {
  return (baton_host_http_request_t){
    *TEXT(request->method ? request->method : "GET"), *TEXT(request->url),
    baton_lower_fields(request->headers, request->header_count), *OCTETS(request->body),
    {request->timeout_ms != 0, request->timeout_ms}, {request->response_max != 0, request->response_max},
  };
}

static bool lift_response(bool is_there, const baton_host_http_response_t *raw, const baton_host_http_error_t *error, baton_response *response) {
  static const char *const kinds[] = {"denied", "timeout", "too-large", "failed"};
  if (!is_there) {
    return baton_failed(kinds[error->tag], error->tag == BATON_HOST_HTTP_ERROR_FAILED ? lift_text(error->val.failed) : "");
  }
  *response = (baton_response){raw->status, baton_lift_fields(&raw->headers), raw->headers.len, lift_octets(raw->body)};
  return true;
}

bool baton_http_fetch(const baton_request *request, baton_response *response) {
  baton_host_http_request_t lowered = lower_request(request);
  baton_host_http_response_t raw;
  baton_host_http_error_t error;
  bool is_there = baton_host_http_fetch(&lowered, &raw, &error);
  return lift_response(is_there, &raw, &error, response);
}

bool baton_message_post_raw(const baton_request *request, baton_response *response) {
  baton_host_http_request_t lowered = lower_request(request);
  baton_host_http_response_t raw;
  baton_host_http_error_t error;
  bool is_there = baton_relay_message_post_raw(&lowered, &raw, &error);
  return lift_response(is_there, &raw, &error, response);
}

bool baton_verify(baton_address recipient, const char **host, baton_remote_reply *reply) {
  static const char *const kinds[] = {"denied", "timeout", "failed"};
  baton_relay_types_address_t address = {*TEXT(recipient.local), *TEXT(recipient.domain)};
  baton_relay_verify_answer_t answer;
  baton_relay_verify_error_t error;
  if (!baton_relay_verify_recipient(&address, &answer, &error)) {
    return baton_failed(kinds[error.tag], error.tag == BATON_RELAY_VERIFY_ERROR_FAILED ? lift_text(error.val.failed) : "");
  }
  *host = lift_text(answer.host);
  *reply = (baton_remote_reply){answer.reply.code, lift_text(answer.reply.text)};
  return true;
}

/* ------------------------------------------------------------ events */

/* An event as the canonical ABI lays it out. */
typedef struct {
  uint64_t unix_ms;
  raw_text kind;
  baton_raw_option_string_t session_id, message_id;
  baton_raw_list_tuple2_string_string_t fields;
} raw_event;

const baton_event *baton_lift_events(const void *given, size_t count) {
  const raw_event *from = given;
  baton_event *events = baton_allocate(count * sizeof *events);
  for (size_t index = 0; index < count; index++) {
    const raw_event *raw = &from[index];
    events[index] = (baton_event){
      raw->unix_ms, lift_text(raw->kind), raw->session_id.is_some ? lift_text(raw->session_id.val) : NULL,
      raw->message_id.is_some ? lift_text(raw->message_id.val) : NULL, baton_lift_fields(&raw->fields), raw->fields.len,
    };
  }
  return events;
}
