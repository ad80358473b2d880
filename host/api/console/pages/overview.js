// The relay at a glance: what comes in, what goes out, what waits, and why.

import { every, get, seesAll } from "../api.js";
import { failure, h, link, put } from "../dom.js";
import { table } from "../list.js";
import { bar, plot } from "../plot.js";
import { count, latency, octets, percent, short, span, timeline } from "../words.js";

export const name = () => "Overview";

/** Rows of each table. */
const TOP = 8;
/** Looks in a plot: those of an hour. */
const LOOKS = 720;

export async function show(content, context) {
  const day = h("div", { class: "columns" });
  if (seesAll()) {
    const now = live(context);
    put(content, now.element, h("h2", null, "Last 24 hours"), day);
    now.begin();
  } else {
    put(content, h("h2", null, "Last 24 hours"), day);
  }
  const [mail, why, largest, where] = [flow(), reasons(), streams(), destinations()];
  put(day, mail.element, h("div", { class: "page" }, why.element, where.element), largest.element);
  every(60_000, context.signal, () => Promise.all([mail, why, largest, where].map(({ look }) => look(context.signal))));
}

/** What is now, every few seconds. */
function live({ signal }) {
  const tiles = {
    accepted: tile("Accepted", "a second"),
    delivered: tile("Delivered", "a second"),
    failing: tile("Deferred, failed", "a second"),
    queue: tile("In the queue", ""),
    oldest: tile("Oldest due", ""),
    attempt: tile("An attempt takes", "p99"),
    open: tile("Open", "in, out"),
  };
  const traffic = plot({
    title: "Traffic, a second",
    format: short,
    series: [
      { name: "accepted", tone: "accepted" },
      { name: "delivered", tone: "delivered" },
    ],
  });
  const trouble = plot({
    title: "Trouble, a second",
    format: short,
    series: [
      { name: "deferred", tone: "deferred" },
      { name: "failed", tone: "failed" },
      { name: "refused", tone: "refused" },
    ],
  });
  const queue = plot({
    title: "Queue",
    format: short,
    stacked: true,
    series: [
      { name: "in delivery", tone: "accepted" },
      { name: "ready", tone: "delivered" },
      { name: "waiting", tone: "deferred" },
      { name: "held", tone: "held" },
    ],
  });
  const times = plot({
    title: "Times",
    format: latency,
    series: [
      { name: "attempt, median", tone: "accepted" },
      { name: "attempt, p99", tone: "refused" },
      { name: "reply after data, p99", tone: "deferred" },
    ],
  });
  const said = h("div", null);
  const waiting = h("section", { class: "panel" });
  const element = h(
    "div",
    null,
    said,
    h("div", { class: "tiles" }, Object.values(tiles).map((one) => one.element)),
    h("div", { class: "plots" }, [traffic, trouble, queue, times].map((one) => one.element)),
    waiting,
  );
  let looks = [];

  const look = async () => {
    try {
      const view = await get("/v1/pulse", { after: looks[looks.length - 1]?.at }, signal);
      looks = [...looks, ...view.looks].slice(-LOOKS);
      put(said);
      if (looks.length > 0) draw();
    } catch (error) {
      if (error.name !== "AbortError") put(said, failure(error));
    }
  };

  const draw = () => {
    const at = looks.map((one) => one.at);
    const of = (read) => looks.map(read);
    traffic.update(at, [of((one) => one.accepted), of((one) => one.delivered)]);
    trouble.update(at, [of((one) => one.deferred), of((one) => one.failed), of((one) => one.refused + one.refused_for_now)]);
    queue.update(at, [of((one) => one.claimed), of((one) => one.ready), of((one) => one.waiting), of((one) => one.held)]);
    times.update(at, [of((one) => one.attempt_ms[0]), of((one) => one.attempt_ms[1]), of((one) => one.accept_ms[1])]);
    const last = looks[looks.length - 1];
    tiles.accepted.set(short(last.accepted), "a second");
    tiles.delivered.set(short(last.delivered), "a second");
    tiles.failing.set(`${short(last.deferred)}, ${short(last.failed)}`, "a second", last.failed > 0 ? "bad" : last.deferred > 0 ? "warn" : "");
    const all = last.ready + last.waiting + last.held + last.claimed;
    tiles.queue.set(count(all), all === 0 ? "nothing waits" : octets(last.octets));
    tiles.oldest.set(last.oldest_due_s > 0 ? span(last.oldest_due_s * 1000) : "–", last.oldest_due_s > 0 ? "late" : "nothing is late", last.oldest_due_s > 60 ? "warn" : "");
    const recent = [...looks].reverse().find((one) => one.attempt_ms[0] !== null);
    tiles.attempt.set(latency(recent?.attempt_ms[0]), `p99 ${latency(recent?.attempt_ms[1])}`);
    tiles.open.set(`${last.sessions}, ${last.connections}`, "in, out");
  };

  const lookAtQueue = async () => {
    const [summary, classes] = await Promise.all([get("/v1/queue/summary", null, signal), get("/v1/queue/count", null, signal)]);
    put(waiting, h("h2", null, "Why mail waits"), h("div", { class: "columns" }, why(classes), longest(summary)));
    waiting.hidden = false;
  };
  waiting.hidden = true;
  return {
    element,
    begin() {
      every(5_000, signal, look);
      every(10_000, signal, lookAtQueue);
    },
  };
}

function why({ classes, next }) {
  const rows = Object.entries(classes).sort((one, other) => other[1] - one[1]);
  const most = rows[0]?.[1] ?? 1;
  return h(
    "div",
    null,
    h("h3", null, "By reason", next && h("small", { class: "muted" }, " of the part that was looked at")),
    table({
      caption: "The queue by reason",
      empty: "Nothing is in the queue.",
      rows: rows.slice(0, TOP),
      columns: [
        { head: "Reason", cell: ([reason]) => (reason === "not tried" ? "not tried yet" : link(`/queue?class=${encodeURIComponent(reason)}`, reason)) },
        { head: "Entries", class: "number", cell: ([, entries]) => count(entries) },
        { head: "Share", class: "share", cell: ([reason, entries]) => bar(entries / most, reason === "not tried" ? "accepted" : "deferred") },
      ],
    }),
  );
}

function longest({ queues }) {
  const most = queues[0]?.jobs ?? 1;
  return h(
    "div",
    null,
    h("h3", null, "Longest queues"),
    table({
      caption: "The longest queues",
      empty: "Nothing is in the queue.",
      rows: queues.slice(0, TOP),
      columns: [
        { head: "Queue", cell: (row) => (row.queue === "" ? "all others" : link(`/queue?domain=${encodeURIComponent(row.queue)}`, row.queue)) },
        { head: "Entries", class: "number", cell: (row) => count(row.jobs) },
        { head: "Octets", class: "number", cell: (row) => octets(row.octets) },
        { head: "Share", class: "share", cell: (row) => bar(row.jobs / most, "accepted") },
      ],
    }),
  );
}

function tile(title, unit) {
  const value = h("strong", null, "–");
  const more = h("small", null, unit);
  const element = h("div", { class: "tile" }, h("span", null, title), value, more);
  return {
    element,
    set(text, about, tone = "") {
      put(value, text);
      put(more, about);
      value.className = tone;
    },
  };
}

/** A panel that looks at sums. */
function panel(title, query, show) {
  const body = h("div", null, h("p", { class: "muted" }, "…"));
  const element = h("section", { class: "panel" }, h("h3", null, title), body);
  return {
    element,
    async look(signal) {
      try {
        put(body, show(await get("/v1/reports/mail", { since: "24h", ...query }, signal)));
      } catch (error) {
        if (error.name !== "AbortError") put(body, failure(error));
      }
    },
  };
}

/** Hours of a day, with the sums of it. */
function flow() {
  const chart = plot({
    title: "By the hour",
    format: short,
    series: [
      { name: "accepted", tone: "accepted" },
      { name: "delivered", tone: "delivered" },
      { name: "bounced", tone: "failed" },
    ],
  });
  const part = panel("Mail", { step: "hour" }, (report) => {
    const hours = report.rows;
    const all = (what) => hours.reduce((sum, row) => sum + (row.counts[what] ?? 0), 0);
    const [moments, parts] = timeline(report, 1);
    const per = (what) => parts.map((row) => row.counts[what] ?? 0);
    chart.update(moments, [per("accepted"), per("delivered"), per("bounced")]);
    const ended = all("delivered") + all("bounced") + all("expired");
    const figures = [
      ["Accepted", count(all("accepted"))],
      ["Delivered", count(all("delivered")), ended > 0 && percent(all("delivered") / ended)],
      ["Bounced", count(all("bounced") + all("expired")), ended > 0 && percent((all("bounced") + all("expired")) / ended)],
      ["Complaints", count(all("complained"))],
      ["Suppressed", count(all("suppressed"))],
      ["Refused", count(all("rejected"))],
    ];
    return [
      h("dl", { class: "sums" }, figures.map(([what, value, more]) => h("div", null, h("dt", null, what), h("dd", null, value, more && h("small", null, ` ${more}`))))),
      chart.element,
    ];
  });
  part.element.classList.add("wide");
  return part;
}

function reasons() {
  return panel("Bounces by reason", { by: "reason" }, ({ rows }) => {
    const bad = (row) => (row.counts.bounced ?? 0) + (row.counts.expired ?? 0);
    const sorted = rows.filter((row) => row.reason && bad(row) > 0).sort((one, other) => bad(other) - bad(one));
    const most = sorted.length > 0 ? bad(sorted[0]) : 1;
    return table({
      caption: "Bounces of the last day by reason",
      empty: "Nothing bounced.",
      rows: sorted.slice(0, TOP),
      columns: [
        { head: "Reason", cell: (row) => row.reason },
        { head: "Copies", class: "number", cell: (row) => count(bad(row)) },
        { head: "Share", class: "share", cell: (row) => bar(bad(row) / most, "failed") },
      ],
    });
  });
}

const outcome = [
  { head: "Accepted", class: "number", cell: (row) => count(row.counts.accepted ?? 0) },
  { head: "Delivered", class: "number", cell: (row) => percent(row.rates.delivered) },
  { head: "Bounced", class: "number", cell: (row) => percent(row.rates.bounced) },
  { head: "Median", class: "number", cell: (row) => latency(row.latency.p50_ms) },
];

function streams() {
  return panel("Streams", { by: "tenant,stream", limit: TOP }, ({ rows }) =>
    table({
      caption: "The largest streams of the last day",
      empty: "Nothing was sent.",
      rows: rows.slice(0, TOP),
      columns: [{ head: "Stream", cell: (row) => [row.tenant, row.stream].filter(Boolean).join("/") || "of no tenant" }, ...outcome],
    }),
  );
}

function destinations() {
  return panel("Providers", { by: "provider", limit: TOP }, ({ rows }) =>
    table({
      caption: "The largest providers of the last day",
      empty: "Nothing was sent.",
      rows: rows.filter((row) => row.provider).slice(0, TOP),
      columns: [
        { head: "Provider", cell: (row) => row.provider },
        { head: "Delivered", class: "number", cell: (row) => count(row.counts.delivered ?? 0) },
        { head: "Deferrals", class: "number", cell: (row) => count(row.counts.deferred ?? 0) },
        { head: "Bounced", class: "number", cell: (row) => percent(row.rates.bounced) },
        { head: "Median", class: "number", cell: (row) => latency(row.latency.p50_ms) },
      ],
    }),
  );
}
