// A plan of warm-up as a picture: what each day allows a new source to send, and where it stands. A table says the same.

import { fresh, h, put, svg } from "./dom.js";
import { table } from "./list.js";
import { count, short } from "./words.js";

const HEIGHT = 150;
const LEFT = 44;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 20;

/** The plan of a row of `/v1/warmup`; `isOpen` and `onToggle` keep whether its table is shown. */
export function plan(row, isOpen, onToggle) {
  const heading = fresh("plan");
  const picture = svg("svg", { class: "plot plan", height: HEIGHT, "aria-hidden": "true" });
  const stage = h("div", { class: "stage" }, picture);
  new ResizeObserver(([entry]) => draw(picture, row, Math.floor(entry.contentRect.width))).observe(stage);
  const legend = [["past", "days before"], ["sent", "sent today"], ["today", "allowed today"], ["ahead", "days to come"]];
  return h(
    "figure",
    { class: "panel plot-panel", "aria-labelledby": heading },
    h("figcaption", { id: heading }, h("span", null, `${row.source} at ${row.provider}`), h("span", { class: "muted" }, standing(row))),
    stage,
    h("ul", { class: "legend" }, legend.map(([tone, text]) => h("li", null, h("i", { class: `swatch ${tone}` }), text))),
    h(
      "details",
      { open: isOpen, ontoggle: (event) => onToggle(event.target.open) },
      h("summary", null, "As a table"),
      table({ caption: `The plan of ${row.source} at ${row.provider}`, empty: "The plan has no days.", rows: days(row), columns: COLUMNS }),
    ),
  );
}

const COLUMNS = [
  { head: "Day", cell: ({ day, isToday }) => (isToday ? `${day}, today` : String(day)) },
  { head: "Allowed", class: "number", cell: ({ allowed }) => count(allowed) },
  { head: "Sent", class: "number", cell: ({ sent }) => (sent === null ? "–" : count(sent)) },
];

function days({ days: allowed, day: today, sent }) {
  return allowed.map((most, index) => ({ day: index + 1, allowed: most, isToday: index + 1 === today, sent: index + 1 === today ? sent : null }));
}

function standing({ day, days: allowed, sent }) {
  if (day > allowed.length) return `all ${allowed.length} days are over: no bound`;
  return `day ${day} of ${allowed.length}: ${count(sent)} of ${count(allowed[day - 1])} sent`;
}

/** Plans grow by a factor, so the steps of the scale are tenfold. */
function draw(picture, row, width) {
  const rows = days(row);
  if (width === 0 || rows.length === 0) return;
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(...rows.map(({ allowed }) => allowed), 10))));
  const floor = HEIGHT - BOTTOM;
  const y = (value) => floor - ((floor - TOP) * Math.log10(Math.max(1, value))) / decades;
  const step = (width - LEFT - RIGHT) / rows.length;
  const bar = (tone, index, value) => {
    const top = Math.min(y(value), floor - 1);
    return svg("rect", { class: tone, x: LEFT + index * step + step * 0.12, width: Math.max(1, step * 0.76), y: top, height: floor - top });
  };
  const grid = Array.from({ length: decades + 1 }, (_, power) => {
    const at = y(10 ** power);
    return [svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }), svg("text", { class: "axis end", x: LEFT - 6, y: at + 4 }, short(10 ** power))];
  });
  const bars = rows.map(({ day, allowed, isToday, sent }, index) => {
    if (isToday) return [bar("today", index, allowed), sent > 0 && bar("sent", index, sent)].filter(Boolean);
    return bar(day < row.day ? "past" : "ahead", index, allowed);
  });
  const every = Math.max(1, Math.ceil(rows.length / Math.max(2, Math.floor(width / 60))));
  const marks = rows.filter((_, index) => index % every === 0).map(({ day }) => svg("text", { class: "axis middle", x: LEFT + (day - 0.5) * step, y: HEIGHT - 5 }, day));
  picture.setAttribute("width", width);
  picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  put(picture, grid, bars, marks);
}
