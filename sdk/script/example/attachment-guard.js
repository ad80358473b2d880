// Refuses attachments by the ending of their name, counts messages, and says in the header what it saw.
//   [plugins.attachment-guard.config]  blocked = ["exe", "scr"]
//   [plugins.attachment-guard.grants]  kv = ["attachments"], edit = ["headers"]

const { blocked } = config;
if (!Array.isArray(blocked) || !blocked.every((ending) => typeof ending === "string")) {
  throw new ConfigError("blocked", 'must be a list of endings, such as ["exe", "scr"]');
}
const endings = new Set(blocked.map((ending) => ending.toLowerCase()));

export function onData() {
  const names = message.parts().flatMap((part) => part.filename ?? []);
  for (const name of names) {
    if (endings.has(name.toLowerCase().split(".").at(-1))) {
      log.warn("attachment refused", { name });
      return reject(550, "5.7.1", `attachment ${name} is not accepted`);
    }
  }
  const seen = kv("attachments").increment("messages");
  message.setHeader("X-Attachments", `${names.length}; seen=${seen}`);
  message.setHeader("X-Session", `${session.tls?.version ?? "plain text"} of ${session.tls?.verifiedSubject ?? "nobody"}, iprev ${session.iprev}`);
  return next();
}
