export function onRcpt(rcpt) {
  if (rcpt.domain === "closed.example") return reject("mail for closed.example is not taken any more");
  if (kv("rate").get(session.remoteIp) === "refused") return tempfail("try again in an hour");
  return next();
}
