// Figures, times and states in words.

import { h } from "./dom.js";

const two = (number) => String(number).padStart(2, "0");

/** Milliseconds since 1970 of a moment in either form. */
export function toMs(moment) {
  return typeof moment === "number" ? moment : Date.parse(moment);
}

/** `2026-11-27 18:03:21`, in the time of who looks. */
export function stamp(moment) {
  const date = new Date(toMs(moment));
  return `${day(date)} ${clock(date)}`;
}

export function day(moment) {
  const date = new Date(moment);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function clock(moment, withSeconds = true) {
  const date = new Date(moment);
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${minutes}:${two(date.getSeconds())}` : minutes;
}

/** A moment as an element; its title has the exact time with the zone. */
export function time(moment) {
  if (moment === null || moment === undefined) return h("span", { class: "muted" }, "–");
  const date = new Date(toMs(moment));
  return h("time", { datetime: date.toISOString(), title: date.toString() }, stamp(date.getTime()));
}

/** How far a moment is from now: `in 5 min`, `3 h ago`. */
export function relative(moment, now = Date.now()) {
  const distance = toMs(moment) - now;
  const text = span(Math.abs(distance));
  return distance >= 0 ? `in ${text}` : `${text} ago`;
}

/** A time in its two largest units. */
export function span(milliseconds) {
  const units = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1_000, "s"],
  ];
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const first = units.findIndex(([size]) => milliseconds >= size);
  const [size, name] = units[first];
  const whole = Math.floor(milliseconds / size);
  const next = units[first + 1];
  const rest = next && whole < 10 ? Math.floor((milliseconds % size) / next[0]) : 0;
  return rest > 0 ? `${whole} ${name} ${rest} ${next[1]}` : `${whole} ${name}`;
}

/** A count with its thousands told apart. */
export function count(number) {
  return Math.round(number).toLocaleString("en-US");
}

/** A figure in few places: `0.4`, `12`, `3.1 k`, `2.4 M`. */
export function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  const steps = [
    [1e9, " G"],
    [1e6, " M"],
    [1e4, " k"],
  ];
  for (const [size, suffix] of steps) {
    if (Math.abs(number) >= size) return trim(number / (suffix === " k" ? 1e3 : size)) + suffix;
  }
  return number >= 100 ? count(number) : trim(number);
}

function trim(number) {
  const places = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2;
  return String(Number(number.toFixed(places)));
}

/** Octets. */
export function octets(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (number >= 1024 && at < units.length - 1) {
    number /= 1024;
    at += 1;
  }
  return `${trim(number)} ${units[at]}`;
}

/** Milliseconds of a latency. */
export function latency(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  return milliseconds < 1_000 ? `${trim(milliseconds)} ms` : span(milliseconds);
}

/** A share from 0 to 1. */
export function percent(share) {
  return share === null || share === undefined ? "–" : `${trim(share * 100)} %`;
}

const TONES = {
  delivered: "good",
  ready: "info",
  accepted: "info",
  queued: "info",
  claimed: "info",
  waiting: "warn",
  deferred: "warn",
  held: "hold",
  quarantined: "hold",
  bounced: "bad",
  failed: "bad",
  expired: "bad",
  rejected: "bad",
  complained: "bad",
  stuck: "bad",
  damaged: "bad",
  suppressed: "mute",
  discarded: "mute",
  removed: "mute",
};

const NAMES = { claimed: "in delivery", "retry-asked": "retry asked", "bounce-asked": "return asked", "came-back": "came back" };

/** A state as a small label; its colour says nothing that its word does not. */
export function chip(state, tone) {
  return h("span", { class: `chip ${tone ?? TONES[state] ?? "plain"}` }, NAMES[state] ?? state);
}

/** A return path as the relay tells it; the empty one is `<>`. */
export function returnPath(path) {
  const address = typeof path === "object" && path !== null ? path.Mailbox : path === "Null" ? "" : path;
  return address || "<>";
}

/** The parts of time of a report, those with nothing too: moments, and the row of each. */
export function timeline({ since, until, rows }, hours) {
  const step = hours * 3_600_000;
  const known = new Map(rows.map((row) => [Date.parse(row.time), row]));
  const moments = [];
  for (let at = Date.parse(since); at < Date.parse(until); at += step) moments.push(at);
  return [moments, moments.map((at) => known.get(at) ?? { counts: {} })];
}

/** Whose mail: `tenant/stream`. */
export function owner(tenant, stream) {
  if (!tenant && !stream) return h("span", { class: "muted" }, "–");
  return [tenant, stream].filter(Boolean).join("/");
}
