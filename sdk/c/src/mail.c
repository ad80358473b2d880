/* Session, envelope, message, routing, failure: thin wrappers over the bindings. */
#include "inside.h"

#define GETTER(name, from) \
  const char *name(void) { raw_text text; from(&text); return lift_text(text); }
#define GETTER_OR_NULL(name, from) \
  const char *name(void) { raw_text text; return from(&text) ? lift_text(text) : NULL; }
/* A change that the relay may refuse with a text. */
#define CHANGE(call) \
  raw_text error; \
  return (call) || baton_failed("refused", lift_text(error))

static baton_octets octets_if(bool is_there, baton_raw_list_u8_t octets) {
  return is_there ? lift_octets(octets) : (baton_octets){NULL, 0};
}

const baton_parameter *baton_lift_parameters(const void *given, size_t count) {
  const baton_relay_types_param_t *from = given;
  baton_parameter *parameters = baton_allocate(count * sizeof *parameters);
  for (size_t index = 0; index < count; index++) {
    const char *value = from[index].value.is_some ? lift_text(from[index].value.val) : NULL;
    parameters[index] = (baton_parameter){lift_text(from[index].name), value};
  }
  return parameters;
}

static baton_parameters lift_parameter_list(baton_relay_envelope_list_param_t list) {
  return (baton_parameters){baton_lift_parameters(list.ptr, list.len), list.len};
}

baton_address baton_lift_address(const baton_relay_types_address_t *address) {
  return (baton_address){lift_text(address->local), lift_text(address->domain)};
}

static baton_relay_types_address_t lower_address(baton_address address) {
  return (baton_relay_types_address_t){*TEXT(address.local), *TEXT(address.domain)};
}

/* ------------------------------------------------------------ session */

GETTER(baton_session_id, baton_relay_session_id)
GETTER(baton_session_listener, baton_relay_session_listener)
GETTER(baton_session_remote_ip, baton_relay_session_remote_ip)
uint16_t baton_session_remote_port(void) { return baton_relay_session_remote_port(); }
GETTER_OR_NULL(baton_session_remote_name, baton_relay_session_remote_name)
GETTER_OR_NULL(baton_session_helo, baton_relay_session_helo)
GETTER_OR_NULL(baton_session_authenticated_as, baton_relay_session_authenticated_as)
GETTER_OR_NULL(baton_session_iprev, baton_relay_session_iprev)

bool baton_session_tls(baton_tls *tls) {
  baton_relay_session_tls_facts_t facts;
  *tls = (baton_tls){NULL};
  if (!baton_relay_session_tls(&facts)) return false;
  tls->version = lift_text(facts.version);
  tls->cipher = lift_text(facts.cipher);
  if (facts.server_name.is_some) tls->server_name = lift_text(facts.server_name.val);
  if (!facts.certificate.is_some) return true;
  const baton_relay_session_certificate_t *shown = &facts.certificate.val;
  tls->certificate_subject = lift_text(shown->subject);
  tls->certificate_sha256 = lift_text(shown->sha256);
  if (shown->distrust.is_some) tls->certificate_distrust = lift_text(shown->distrust.val);
  else tls->verified_subject = tls->certificate_subject;
  return true;
}

baton_octets baton_session_note(const char *key) {
  baton_raw_list_u8_t octets;
  bool is_there = baton_relay_session_note(TEXT(key), &octets);
  return octets_if(is_there, octets);
}

bool baton_session_set_note(const char *key, baton_octets value) {
  CHANGE(baton_relay_session_set_note(TEXT(key), value.data ? OCTETS(value) : NULL, &error));
}

/* ------------------------------------------------------------ envelope */

GETTER(baton_envelope_id, baton_relay_envelope_id)
GETTER_OR_NULL(baton_envelope_tenant, baton_relay_envelope_tenant)
GETTER_OR_NULL(baton_envelope_stream, baton_relay_envelope_message_stream)

baton_address baton_envelope_sender(void) {
  baton_relay_types_address_t address;
  return baton_relay_envelope_sender(&address) ? baton_lift_address(&address) : (baton_address){NULL, NULL};
}

baton_parameters baton_envelope_sender_parameters(void) {
  baton_relay_envelope_list_param_t list;
  baton_relay_envelope_sender_params(&list);
  return lift_parameter_list(list);
}

uint32_t baton_envelope_recipient_count(void) { return baton_relay_envelope_recipient_count(); }

baton_address baton_envelope_recipient(uint32_t index) {
  baton_relay_types_address_t address;
  return baton_relay_envelope_recipient(index, &address) ? baton_lift_address(&address) : (baton_address){NULL, NULL};
}

baton_parameters baton_envelope_recipient_parameters(uint32_t index) {
  baton_relay_envelope_list_param_t list;
  baton_relay_envelope_recipient_params(index, &list);
  return lift_parameter_list(list);
}

bool baton_envelope_set_sender(baton_address to) {
  baton_relay_types_address_t address = lower_address(to);
  CHANGE(baton_relay_envelope_set_sender(to.local ? &address : NULL, &error));
}

bool baton_envelope_add_recipient(baton_address to) {
  baton_relay_types_address_t address = lower_address(to);
  CHANGE(baton_relay_envelope_add_recipient(&address, &error));
}

bool baton_envelope_remove_recipient(uint32_t index) { CHANGE(baton_relay_envelope_remove_recipient(index, &error)); }

bool baton_envelope_redirect(uint32_t index, const baton_address *to, size_t count) {
  baton_relay_types_address_t *addresses = baton_allocate(count * sizeof *addresses);
  for (size_t at = 0; at < count; at++) addresses[at] = lower_address(to[at]);
  baton_relay_envelope_list_address_t list = {addresses, count};
  CHANGE(baton_relay_envelope_redirect(index, &list, &error));
}

bool baton_envelope_set_stream(const char *name) { CHANGE(baton_relay_envelope_set_message_stream(TEXT(name), &error)); }
int8_t baton_envelope_priority(void) { return baton_relay_envelope_priority(); }
bool baton_envelope_set_priority(int8_t priority) { CHANGE(baton_relay_envelope_set_priority(priority, &error)); }
bool baton_envelope_quarantine(const char *reason) { CHANGE(baton_relay_envelope_quarantine(TEXT(reason), &error)); }
bool baton_envelope_tag(const char *name, const char *value) { CHANGE(baton_relay_envelope_tag(TEXT(name), TEXT(value), &error)); }
bool baton_envelope_score(const char *symbol, double points) { CHANGE(baton_relay_envelope_score(TEXT(symbol), points, &error)); }
double baton_envelope_total_score(void) { return baton_relay_envelope_total_score(); }

baton_octets baton_envelope_note(const char *key) {
  baton_raw_list_u8_t octets;
  bool is_there = baton_relay_envelope_note(TEXT(key), &octets);
  return octets_if(is_there, octets);
}

bool baton_envelope_set_note(const char *key, baton_octets value) {
  CHANGE(baton_relay_envelope_set_note(TEXT(key), value.data ? OCTETS(value) : NULL, &error));
}

/* ------------------------------------------------------------ message */

uint64_t baton_message_size(void) { return baton_relay_message_size(); }
uint64_t baton_message_header_size(void) { return baton_relay_message_header_size(); }
GETTER_OR_NULL(baton_message_too_complex, baton_relay_message_too_complex)

const char *baton_message_header(const char *name) {
  raw_text text;
  return baton_relay_message_header(TEXT(name), &text) ? lift_text(text) : NULL;
}

baton_texts baton_message_headers(const char *name) {
  baton_raw_list_string_t list;
  baton_relay_message_headers(TEXT(name), &list);
  return lift_texts(list);
}

baton_texts baton_message_header_names(void) {
  baton_raw_list_string_t list;
  baton_relay_message_header_names(&list);
  return lift_texts(list);
}

baton_octets baton_message_raw_header(const char *name) {
  baton_raw_list_u8_t octets;
  bool is_there = baton_relay_message_raw_header(TEXT(name), &octets);
  return octets_if(is_there, octets);
}

baton_mailboxes baton_message_addresses(const char *header) {
  baton_raw_list_tuple2_string_string_t list;
  baton_relay_message_addresses(TEXT(header), &list);
  return (baton_mailboxes){(const baton_mailbox *)baton_lift_fields(&list), list.len};
}

baton_octets baton_message_read(uint64_t offset, uint32_t length) {
  baton_raw_list_u8_t octets;
  baton_relay_message_read(offset, length, &octets);
  return lift_octets(octets);
}

uint64_t baton_message_find(baton_octets needle, uint64_t start) {
  uint64_t at;
  return baton_relay_message_find(OCTETS(needle), start, &at) ? at : UINT64_MAX;
}

bool baton_message_add_header(const char *name, const char *value) {
  CHANGE(baton_relay_message_add_header(TEXT(name), TEXT(value), &error));
}

bool baton_message_insert_header(uint32_t index, const char *name, const char *value) {
  CHANGE(baton_relay_message_insert_header(index, TEXT(name), TEXT(value), &error));
}

bool baton_message_set_header(const char *name, const char *value) {
  uint32_t replaced;
  CHANGE(baton_relay_message_set_header(TEXT(name), TEXT(value), &replaced, &error));
}

bool baton_message_remove_header(const char *name) {
  uint32_t removed;
  CHANGE(baton_relay_message_remove_header(TEXT(name), &removed, &error));
}

/* ------------------------------------------------------------ routing, failure */

uint32_t baton_attempt(void) { return baton_relay_routing_attempt(); }
uint64_t baton_age_ms(void) { return baton_relay_routing_age_ms(); }
GETTER_OR_NULL(baton_last_error, baton_relay_routing_last_error)
bool baton_use_mx_of(const char *domain) { CHANGE(baton_relay_routing_use_mx_of(TEXT(domain), &error)); }
bool baton_use_host(const char *host, uint16_t port) { CHANGE(baton_relay_routing_use_host(TEXT(host), port, &error)); }
bool baton_use_lmtp(const char *target) { CHANGE(baton_relay_routing_use_lmtp(TEXT(target), &error)); }
bool baton_use_next_hop(const char *name) { CHANGE(baton_relay_routing_use_next_hop(TEXT(name), &error)); }
bool baton_add_fallback(const char *host, uint16_t port) { CHANGE(baton_relay_routing_add_fallback(TEXT(host), port, &error)); }
bool baton_set_queue(const char *name) { CHANGE(baton_relay_routing_set_queue(TEXT(name), &error)); }
bool baton_not_before(uint64_t unix_ms) { CHANGE(baton_relay_routing_not_before(unix_ms, &error)); }
bool baton_expire_after(uint64_t ms) { CHANGE(baton_relay_routing_expire_after(ms, &error)); }

bool baton_failure_permanent(void) { return baton_relay_failure_permanent(); }
GETTER_OR_NULL(baton_failure_remote_host, baton_relay_failure_remote_host)
GETTER(baton_failure_phase, baton_relay_failure_phase)
GETTER(baton_failure_class, baton_relay_failure_class)
bool baton_failure_set_class(const char *name) { CHANGE(baton_relay_failure_set_class(TEXT(name), &error)); }

baton_remote_reply baton_failure_remote_reply(void) {
  baton_relay_types_reply_t reply;
  if (!baton_relay_failure_remote_reply(&reply)) return (baton_remote_reply){0, NULL};
  return (baton_remote_reply){reply.code, lift_text(reply.text)};
}
