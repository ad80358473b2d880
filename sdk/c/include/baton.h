/* Plugins for the Baton mail relay in C.
 *
 * A plugin defines functions and names those that are hooks:
 *
 *     static baton_decision on_data(void) { … return baton_next(); }
 *     BATON_ON_DATA(on_data)
 *
 * Text is UTF-8 that ends with NUL. What the relay gives lives until the hook returns: nothing is to be freed, and what
 * must stay (in `init`) stays by itself. NULL is "not there". What can be refused answers false, and baton_error() says
 * why; baton_must() ends the call as a failure of the plugin: the operator's `on_failure` decides, and no change is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct { const uint8_t *data; size_t length; } baton_octets;
typedef struct { const char **items; size_t count; } baton_texts;
/* A mailbox; the domain is in its ASCII form. Both are NULL in the null sender. */
typedef struct { const char *local, *domain; } baton_address;
/* An ESMTP parameter, such as SIZE=1000; the value is NULL for those without one. */
typedef struct { const char *name, *value; } baton_parameter;
typedef struct { const baton_parameter *items; size_t count; } baton_parameters;
/* What protects a connection. */
typedef struct {
  const char *version;           /* "TLSv1.3" or "TLSv1.2" */
  const char *cipher;            /* by its registered name, such as "TLS_AES_256_GCM_SHA384" */
  const char *server_name;       /* that the client asked for (SNI) */
  const char *verified_subject;  /* whom the client's certificate names, when it is trusted */
  /* What the client showed of itself, trusted or not: distrust says why it proves nothing. */
  const char *certificate_subject, *certificate_sha256, *certificate_distrust;
} baton_tls;
/* A field of a log line, or a label of a metric. */
typedef struct { const char *name, *value; } baton_field;

/* ------------------------------------------------------------ decisions */

typedef enum {
  BATON_NEXT, BATON_ACCEPT, BATON_REJECT, BATON_TEMPFAIL, BATON_DISCARD, BATON_QUARANTINE, BATON_DISCONNECT, BATON_ALLOW,
  BATON_DENY, BATON_ROUTED, BATON_HOLD, BATON_FAIL, BATON_NOTIFY, BATON_SILENT, BATON_RETRY, BATON_REROUTE
} baton_decision_kind;

/* What a hook answers: made by the functions below. Only some are legal at each hook; another one is a failure. */
typedef struct {
  baton_decision_kind kind;
  uint16_t code;          /* of a reply */
  const char *enhanced;   /* such as "5.7.1"; NULL: x.7.1 */
  const char *text;       /* of a reply, or the reason, or the account */
  uint64_t ms;
} baton_decision;

/* Ask the next plugin. */
static inline baton_decision baton_next(void) { return (baton_decision){.kind = BATON_NEXT}; }
/* Ask no more plugins at this hook. In the rcpt hook it lets in what the relay would refuse (grant: relay). */
static inline baton_decision baton_accept(void) { return (baton_decision){.kind = BATON_ACCEPT}; }
/* Refuse for good, 5xx: baton_reject(550, "5.7.1", "we do not serve that domain"). */
static inline baton_decision baton_reject(uint16_t code, const char *enhanced, const char *text) { return (baton_decision){BATON_REJECT, code, enhanced, text, 0}; }
/* Refuse for now: 4xx. */
static inline baton_decision baton_tempfail(uint16_t code, const char *enhanced, const char *text) { return (baton_decision){BATON_TEMPFAIL, code, enhanced, text, 0}; }
/* Answer 4xx or 5xx and close the connection. */
static inline baton_decision baton_disconnect(uint16_t code, const char *enhanced, const char *text) { return (baton_decision){BATON_DISCONNECT, code, enhanced, text, 0}; }
/* Answer 250 and drop it; in the data hook with a reason. */
static inline baton_decision baton_discard(const char *reason) { return (baton_decision){.kind = BATON_DISCARD, .text = reason}; }
/* Answer 250 and hold it for an operator. */
static inline baton_decision baton_quarantine(const char *reason) { return (baton_decision){.kind = BATON_QUARANTINE, .text = reason}; }
/* The client is that account. */
static inline baton_decision baton_allow(const char *account) { return (baton_decision){.kind = BATON_ALLOW, .text = account}; }
/* The client is not who it says it is: 5xx. */
static inline baton_decision baton_deny(uint16_t code, const char *enhanced, const char *text) { return (baton_decision){BATON_DENY, code, enhanced, text, 0}; }
/* Use what was set by baton_use_…, and ask no more plugins. */
static inline baton_decision baton_routed(void) { return (baton_decision){.kind = BATON_ROUTED}; }
/* Keep the copy until an operator releases it. */
static inline baton_decision baton_hold(const char *reason) { return (baton_decision){.kind = BATON_HOLD, .text = reason}; }
/* Give up. The bounce hook needs no reply: baton_fail(0, NULL, NULL). */
static inline baton_decision baton_fail(uint16_t code, const char *enhanced, const char *text) { return (baton_decision){BATON_FAIL, code, enhanced, text, 0}; }
/* Give up and report to the sender. */
static inline baton_decision baton_notify(void) { return (baton_decision){.kind = BATON_NOTIFY}; }
/* Give up without a report. */
static inline baton_decision baton_silent(void) { return (baton_decision){.kind = BATON_SILENT}; }
/* Try again after so many milliseconds. */
static inline baton_decision baton_retry(uint64_t after_ms) { return (baton_decision){.kind = BATON_RETRY, .ms = after_ms}; }
/* Ask the route hook again at once. */
static inline baton_decision baton_reroute(void) { return (baton_decision){.kind = BATON_REROUTE}; }

/* ------------------------------------------------------------ the plugin */

typedef struct { const char *mechanism, *user, *password, *token; } baton_credential; /* one of the last two is NULL */
typedef struct {
  uint64_t unix_ms;
  const char *kind;       /* "accepted", "rejected", "delivered", …: ignore what you do not know */
  const char *session_id, *message_id;
  const baton_field *fields;
  size_t field_count;
} baton_event;

/* Settings are read by dotted path: "blocked.0", "limits.per_minute"; or all of them as JSON. */
const char *baton_config(const char *path);
const char *baton_config_json(void);
/* A secret that the settings bind to this plugin; NULL in init. */
const char *baton_secret(const char *name);
/* In init: something wrong in the settings, shown like mistakes in the relay's own. */
void baton_problem(const char *path, const char *message);
/* Why the last call of the relay was refused: "denied", "quota", "timeout", …, with more words where there are any. */
const char *baton_error(void);
/* Ends the call as a failure of the plugin when it is false, with baton_error() in the log. */
void baton_must(bool succeeded);
/* printf, into memory that lives until the hook returns. */
const char *baton_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#include "baton_export.h"

/* ------------------------------------------------------------ session */

const char *baton_session_id(void);
const char *baton_session_listener(void);
const char *baton_session_remote_ip(void);
uint16_t baton_session_remote_port(void);
/* Forward-confirmed reverse name, looked up on first use. */
const char *baton_session_remote_name(void);
const char *baton_session_helo(void);
const char *baton_session_authenticated_as(void);
/* What came of looking for the client's name and for the way back from it (RFC 8601 2.7.3), looked up on first use: "pass",
 * "fail", "permerror" or "temperror". */
const char *baton_session_iprev(void);
/* False in plain text. */
bool baton_session_tls(baton_tls *tls);
/* Notes are private to the plugin unless the key begins with "shared/". Data NULL: not set, or to be removed. */
baton_octets baton_session_note(const char *key);
bool baton_session_set_note(const char *key, baton_octets value);

/* ------------------------------------------------------------ envelope */

const char *baton_envelope_id(void);
const char *baton_envelope_tenant(void);
const char *baton_envelope_stream(void);
baton_address baton_envelope_sender(void);
baton_parameters baton_envelope_sender_parameters(void);
uint32_t baton_envelope_recipient_count(void);
baton_address baton_envelope_recipient(uint32_t index);
baton_parameters baton_envelope_recipient_parameters(uint32_t index);
bool baton_envelope_set_sender(baton_address to);
bool baton_envelope_add_recipient(baton_address to);
bool baton_envelope_remove_recipient(uint32_t index);
bool baton_envelope_redirect(uint32_t index, const baton_address *to, size_t count);
bool baton_envelope_set_stream(const char *name);
int8_t baton_envelope_priority(void);
bool baton_envelope_set_priority(int8_t priority);
bool baton_envelope_quarantine(const char *reason);
bool baton_envelope_tag(const char *name, const char *value);
bool baton_envelope_score(const char *symbol, double points);
double baton_envelope_total_score(void);
baton_octets baton_envelope_note(const char *key);
bool baton_envelope_set_note(const char *key, baton_octets value);

/* ------------------------------------------------------------ message: it stays in the relay */

typedef struct { const char *name, *address; } baton_mailbox;
typedef struct { const baton_mailbox *items; size_t count; } baton_mailboxes;

uint64_t baton_message_size(void);
uint64_t baton_message_header_size(void);
const char *baton_message_too_complex(void);
/* First value of that name, unfolded and decoded. */
const char *baton_message_header(const char *name);
baton_texts baton_message_headers(const char *name);
baton_texts baton_message_header_names(void);
baton_octets baton_message_raw_header(const char *name);
baton_mailboxes baton_message_addresses(const char *header);
/* Raw octets, at most 1 MiB. */
baton_octets baton_message_read(uint64_t offset, uint32_t length);
/* Where it stands first at or after `start`; UINT64_MAX when it does not. */
uint64_t baton_message_find(baton_octets needle, uint64_t start);
/* In hexadecimal: "sha-256", "sha-1", "md5". NULL: baton_error(). */
const char *baton_message_digest(const char *algorithm);
bool baton_message_add_header(const char *name, const char *value);
bool baton_message_insert_header(uint32_t index, const char *name, const char *value);
/* Replaces the first field of that name and removes the others, or adds it. */
bool baton_message_set_header(const char *name, const char *value);
bool baton_message_remove_header(const char *name);
/* A new body: write and copy in order, then finish. Lines end with CRLF. */
bool baton_body_write(baton_octets chunk);
bool baton_body_copy(uint64_t offset, uint64_t length);
bool baton_body_finish(void);

/* The leaves of the MIME tree, by index from 0. */
uint32_t baton_part_count(void);
const char *baton_part_content_type(uint32_t part);
const char *baton_part_disposition(uint32_t part);
const char *baton_part_filename(uint32_t part);
const char *baton_part_charset(uint32_t part);
const char *baton_part_transfer_encoding(uint32_t part);
const char *baton_part_header(uint32_t part, const char *name);
baton_texts baton_part_within(uint32_t part);
void baton_part_raw_range(uint32_t part, uint64_t *offset, uint64_t *length);
uint64_t baton_part_decoded_size(uint32_t part);
baton_octets baton_part_read(uint32_t part, uint64_t offset, uint32_t length);
const char *baton_part_text(uint32_t part, uint32_t characters_max, bool strip_html);
const char *baton_part_digest(uint32_t part, const char *algorithm);
baton_texts baton_part_urls(uint32_t part, uint32_t max);

/* ------------------------------------------------------------ services */

/* Key-value buckets (grant: kv, by name). A time to live of 0 is for good. Absent: data is NULL. */
bool baton_kv_get(const char *bucket, const char *key, baton_octets *value);
bool baton_kv_set(const char *bucket, const char *key, baton_octets value, uint64_t ttl_ms);
bool baton_kv_set_if_absent(const char *bucket, const char *key, baton_octets value, uint64_t ttl_ms, bool *was_set);
bool baton_kv_compare_and_set(const char *bucket, const char *key, baton_octets expected, baton_octets value, uint64_t ttl_ms, bool *was_set);
bool baton_kv_delete(const char *bucket, const char *key);
bool baton_kv_increment(const char *bucket, const char *key, int64_t delta, uint64_t ttl_ms, int64_t *value);
typedef struct { bool allowed; uint32_t remaining; uint64_t retry_after_ms; } baton_taken;
/* A token bucket: `burst` tokens at most, all of them back after `period_ms`. */
bool baton_kv_take(const char *bucket, const char *key, uint32_t cost, uint32_t burst, uint64_t period_ms, baton_taken *taken);
/* Keys that begin with the prefix; `cursor` goes in (NULL: from the start) and comes out (NULL: that was all). */
bool baton_kv_scan(const char *bucket, const char *prefix, uint32_t limit, const char **cursor, baton_texts *keys);

typedef struct { uint16_t rcode; bool authenticated; uint32_t ttl; baton_texts records; } baton_dns_answer;
/* The type is the IANA number: 1 A, 15 MX, 16 TXT, 28 AAAA. */
bool baton_dns_lookup(const char *name, uint16_t type, baton_dns_answer *answer);
/* Asks all lists at once; `listed[i]` is what list i says, without items when it is not listed or did not answer. */
void baton_dns_blocklists(const char *const *zones, size_t count, const char *subject, baton_texts *listed);

typedef struct {
  const char *method, *url;
  const baton_field *headers;
  size_t header_count;
  baton_octets body;
  uint32_t timeout_ms, response_max; /* 0: the relay's own */
} baton_request;
typedef struct { uint16_t status; const baton_field *headers; size_t header_count; baton_octets body; } baton_response;
bool baton_http_fetch(const baton_request *request, baton_response *response);
/* Sends the raw message as the body, without copying it into the plugin. */
bool baton_message_post_raw(const baton_request *request, baton_response *response);

typedef struct { uint16_t code; const char *text; } baton_remote_reply; /* code 0: none */
/* Asks the next hop whether it takes mail for a recipient (rcpt hook only; grant: verify). */
bool baton_verify(baton_address recipient, const char **host, baton_remote_reply *reply);

uint32_t baton_attempt(void);
uint64_t baton_age_ms(void);
const char *baton_last_error(void);
bool baton_use_mx_of(const char *domain);
bool baton_use_host(const char *host, uint16_t port);
bool baton_use_lmtp(const char *target);
bool baton_use_next_hop(const char *name);
bool baton_add_fallback(const char *host, uint16_t port);
bool baton_set_queue(const char *name);
bool baton_not_before(uint64_t unix_ms);
bool baton_expire_after(uint64_t ms);

/* The failed attempt that a bounce hook is asked about. */
bool baton_failure_permanent(void);
const char *baton_failure_remote_host(void);
baton_remote_reply baton_failure_remote_reply(void);
const char *baton_failure_phase(void);
const char *baton_failure_class(void);
bool baton_failure_set_class(const char *name);

typedef enum { BATON_TRACE, BATON_DEBUG, BATON_INFO, BATON_WARN, BATON_ERROR } baton_level;
void baton_log_fields(baton_level level, const char *message, const baton_field *fields, size_t count);
/* BATON_LOG(BATON_INFO, "refused", {"name", name}, {"count", count}) */
#define BATON_LOG(level, message, ...) \
  baton_log_fields(level, message, (const baton_field[]){{0, 0}, __VA_ARGS__} + 1, sizeof((const baton_field[]){{0, 0}, __VA_ARGS__}) / sizeof(baton_field) - 1)

void baton_count(const char *name, uint64_t value, const baton_field *labels, size_t count);
void baton_gauge(const char *name, double value, const baton_field *labels, size_t count);
void baton_observe(const char *name, double value, const baton_field *labels, size_t count);

uint64_t baton_now_ms(void);
uint32_t baton_remaining_ms(void);

/* Octets of a text, without the NUL. */
static inline baton_octets baton_text(const char *text) {
  size_t length = 0;
  while (text && text[length]) length++;
  return (baton_octets){(const uint8_t *)text, length};
}

#ifdef __cplusplus
}
#endif
