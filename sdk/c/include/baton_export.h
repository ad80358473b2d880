/* The macros that name a plugin's functions as hooks: each exports what the relay calls, and says so in the module's own
 * sections. Included by baton.h. In a native build (for unit tests) they export nothing. */
#pragma once

typedef enum { BATON_HOOK_CONNECT, BATON_HOOK_AUTH, BATON_HOOK_RCPT, BATON_HOOK_DATA, BATON_HOOK_ROUTE, BATON_HOOK_BOUNCE } baton_hook;

/* Called by the macros only. */
void baton_begin(void);
const void *baton_answer(baton_hook hook, baton_decision decision);
void baton_drop_handles(void);
void baton_end(void);
const baton_parameter *baton_lift_parameters(const void *parameters, size_t count);
const baton_event *baton_lift_events(const void *events, size_t count);

#ifdef __wasm__
#include "../bindings/sections.h"
#define BATON_EXPORT(name) __attribute__((export_name("baton:relay/" name)))
#define BATON_AFTER(name, function) \
  __attribute__((export_name("cabi_post_baton:relay/" name))) void function(const void *answer) { (void)answer; baton_end(); }

/* void init(void): reads the settings, and reports what is wrong with them by baton_problem(). */
#define BATON_INIT(function) \
  void baton_plugin_init(void) { function(); }

/* baton_decision function(void) */
#define BATON_ON_CONNECT(function) \
  BATON_SECTION_connect \
  BATON_EXPORT("connect-hook@0.1.0#on-connect") const void *baton_on_connect(void) { \
    baton_begin(); \
    return baton_answer(BATON_HOOK_CONNECT, function()); \
  } \
  BATON_AFTER("connect-hook@0.1.0#on-connect", baton_after_connect)

/* baton_decision function(const baton_credential *credential) */
#define BATON_ON_AUTH(function) \
  BATON_SECTION_auth \
  BATON_EXPORT("auth-hook@0.1.0#on-auth") const void *baton_on_auth(const char *mechanism, size_t mechanism_length, const char *user, size_t user_length, int32_t kind, const char *secret, size_t secret_length) { \
    baton_credential credential = {mechanism_length ? mechanism : "", user_length ? user : "", kind == 0 ? (secret_length ? secret : "") : NULL, kind == 1 ? (secret_length ? secret : "") : NULL}; \
    baton_begin(); \
    return baton_answer(BATON_HOOK_AUTH, function(&credential)); \
  } \
  BATON_AFTER("auth-hook@0.1.0#on-auth", baton_after_auth)

/* baton_decision function(baton_address recipient, baton_parameters parameters) */
#define BATON_ON_RCPT(function) \
  BATON_SECTION_rcpt \
  BATON_EXPORT("rcpt-hook@0.1.0#on-rcpt") const void *baton_on_rcpt(const char *local, size_t local_length, const char *domain, size_t domain_length, const void *parameters, size_t count) { \
    baton_address recipient = {local_length ? local : "", domain_length ? domain : ""}; \
    baton_begin(); \
    baton_parameters lifted = {baton_lift_parameters(parameters, count), count}; \
    return baton_answer(BATON_HOOK_RCPT, function(recipient, lifted)); \
  } \
  BATON_AFTER("rcpt-hook@0.1.0#on-rcpt", baton_after_rcpt)

/* baton_decision function(void) */
#define BATON_ON_DATA(function) \
  BATON_SECTION_data \
  BATON_EXPORT("data-hook@0.1.0#on-data") const void *baton_on_data(void) { \
    baton_begin(); \
    return baton_answer(BATON_HOOK_DATA, function()); \
  } \
  BATON_AFTER("data-hook@0.1.0#on-data", baton_after_data)

/* baton_decision function(baton_address recipient) */
#define BATON_ON_ROUTE(function) \
  BATON_SECTION_route \
  BATON_EXPORT("route-hook@0.1.0#on-route") const void *baton_on_route(const char *local, size_t local_length, const char *domain, size_t domain_length) { \
    baton_address recipient = {local_length ? local : "", domain_length ? domain : ""}; \
    baton_begin(); \
    return baton_answer(BATON_HOOK_ROUTE, function(recipient)); \
  } \
  BATON_AFTER("route-hook@0.1.0#on-route", baton_after_route)

/* baton_decision function(baton_address recipient) */
#define BATON_ON_BOUNCE(function) \
  BATON_SECTION_bounce \
  BATON_EXPORT("bounce-hook@0.1.0#on-bounce") const void *baton_on_bounce(const char *local, size_t local_length, const char *domain, size_t domain_length) { \
    baton_address recipient = {local_length ? local : "", domain_length ? domain : ""}; \
    baton_begin(); \
    const void *answer = baton_answer(BATON_HOOK_BOUNCE, function(recipient)); \
    baton_end(); \
    return answer; \
  }

/* void function(const baton_event *events, size_t count) */
#define BATON_ON_EVENTS(function) \
  BATON_SECTION_events \
  BATON_EXPORT("events-hook@0.1.0#on-events") void baton_on_events(const void *events, size_t count) { \
    baton_begin(); \
    function(baton_lift_events(events, count), count); \
    baton_drop_handles(); \
    baton_end(); \
  }

#else
#define BATON_NATIVE(function) __attribute__((unused)) static void *const baton_is_used_##function = (void *)function;
#define BATON_INIT(function) BATON_NATIVE(function)
#define BATON_ON_CONNECT(function) BATON_NATIVE(function)
#define BATON_ON_AUTH(function) BATON_NATIVE(function)
#define BATON_ON_RCPT(function) BATON_NATIVE(function)
#define BATON_ON_DATA(function) BATON_NATIVE(function)
#define BATON_ON_ROUTE(function) BATON_NATIVE(function)
#define BATON_ON_BOUNCE(function) BATON_NATIVE(function)
#define BATON_ON_EVENTS(function) BATON_NATIVE(function)
#endif
