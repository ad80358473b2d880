// Who may be written to, how often, and from where: what a small site would write.
const closed = new Set(["closed.example", "old.example", "gone.example"]);
const roles = /^(abuse|postmaster|hostmaster|webmaster)$/i;
const partners = [
  { suffix: ".partner.example", most: 1000 },
  { suffix: ".supplier.example", most: 200 },
];

function limit(domain) {
  for (const { suffix, most } of partners) {
    if (domain.endsWith(suffix)) return most;
  }
  return 50;
}

export function onRcpt(rcpt, params) {
  if (roles.test(rcpt.local)) return next();
  if (closed.has(rcpt.domain)) return reject(`mail for ${rcpt.domain} is not taken any more`);
  if (params.NOTIFY === "NEVER" && !envelope.sender) return reject(501, "5.5.4", "nothing to report, and nobody to report to");

  const from = envelope.sender?.domain ?? "";
  const seen = Number(kv("rate").get(`${from}/${session.remoteIp}`) ?? 0);
  if (seen > limit(from)) {
    log.warn("too many", { from, seen });
    return tempfail(450, "4.7.1", "too many messages, try again in an hour");
  }
  if (seen > limit(from) / 2) log.info("many", { from, seen });
  return next();
}
