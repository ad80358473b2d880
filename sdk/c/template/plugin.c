/* {{name}}: each function that a macro names is a hook; what is not named is never called. */
#include <string.h>

#include "baton.h"

/* Checks the settings, [plugins.{{name}}.config], once per load. */
static void init(void) {
  if (baton_config("blocked") && !baton_config("blocked.0") && strcmp(baton_config("blocked"), "[]") != 0) {
    baton_problem("blocked", "a list of domains is needed");
  }
}
BATON_INIT(init)

static bool is_blocked(baton_address address) {
  const char *blocked;
  for (int index = 0; (blocked = baton_config(baton_format("blocked.%d", index))); index++) {
    if (strcmp(address.domain, blocked) == 0) return true;
  }
  return false;
}

/* hook: connect */
/* A client connected. */
static baton_decision on_connect(void) {
  return baton_next();
}
BATON_ON_CONNECT(on_connect)

/* hook: end */
/* hook: auth */
/* A client wants to log in. */
static baton_decision on_auth(const baton_credential *credential) {
  BATON_LOG(BATON_DEBUG, "asked for an account", {"user", credential->user});
  return baton_next();
}
BATON_ON_AUTH(on_auth)

/* hook: end */
/* hook: rcpt */
/* RCPT TO. */
static baton_decision on_rcpt(baton_address recipient, baton_parameters parameters) {
  (void)parameters;
  if (is_blocked(recipient)) return baton_reject(550, "5.7.1", "we do not serve that domain");
  return baton_next();
}
BATON_ON_RCPT(on_rcpt)

/* hook: end */
/* hook: data */
/* The whole message is here and not yet accepted. */
static baton_decision on_data(void) {
  return baton_next();
}
BATON_ON_DATA(on_data)

/* hook: end */
/* hook: route */
/* A copy for this recipient is due. */
static baton_decision on_route(baton_address recipient) {
  if (is_blocked(recipient)) BATON_LOG(BATON_INFO, "a copy for a blocked domain is due", {"domain", recipient.domain});
  return baton_next();
}
BATON_ON_ROUTE(on_route)

/* hook: end */
/* hook: bounce */
/* An attempt for this recipient failed. */
static baton_decision on_bounce(baton_address recipient) {
  BATON_LOG(BATON_DEBUG, "an attempt failed", {"domain", recipient.domain});
  return baton_next();
}
BATON_ON_BOUNCE(on_bounce)

/* hook: end */
/* hook: events */
/* What happened, off the mail path. */
static void on_events(const baton_event *events, size_t count) {
  for (size_t index = 0; index < count; index++) {
    const char *message = events[index].message_id ? events[index].message_id : "";
    BATON_LOG(BATON_INFO, events[index].kind, {"message", message});
  }
}
BATON_ON_EVENTS(on_events)

/* hook: end */
