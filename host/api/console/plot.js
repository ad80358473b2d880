// Plots over time. The picture is for the eyes; the figures under it say the same in words, and follow the cursor, the arrow
// keys, or the newest look.

import { fresh, h, put, svg } from "./dom.js";
import { clock, day } from "./words.js";

const HEIGHT = 150;
const LEFT = 44;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;

/**
 * A plot: `series` are `{name, tone}`; `update(times, values)` takes moments and a list of figures for each series, null
 * where there is none. Stacked ones are areas on one another.
 */
export function plot({ title, series, format, stacked = false, days = false, reference = [] }) {
  const heading = fresh("plot");
  const picture = svg("svg", { class: "plot", height: HEIGHT, "aria-hidden": "true" });
  const values = series.map(() => h("span", { class: "figure" }, "–"));
  const moment = h("span", { class: "muted" });
  const legend = h(
    "ul",
    { class: "legend" },
    series.map(({ name, tone }, index) => h("li", null, h("i", { class: `swatch ${tone}` }), name, " ", values[index])),
  );
  const stage = h("div", {
    class: "stage",
    tabindex: "0",
    role: "group",
    "aria-label": `${title}: arrow keys move through time`,
    onkeydown: (event) => key(event),
    onpointermove: (event) => point(event),
    onpointerleave: () => choose(null),
    onblur: () => choose(null),
  });
  stage.append(picture);
  const spoken = h("p", { class: "hidden", "aria-live": "polite" });
  const element = h(
    "figure",
    { class: "panel plot-panel", "aria-labelledby": heading },
    h("figcaption", { id: heading }, title, " ", moment),
    stage,
    legend,
    spoken,
  );
  let times = [];
  let figures = [];
  let width = 0;
  let chosen = null;
  let cursor = null;

  const x = (index) => LEFT + ((width - LEFT - RIGHT) * index) / Math.max(1, times.length - 1);

  function draw() {
    if (width === 0 || times.length === 0) return;
    const layers = stacked ? pile(figures) : figures;
    const top = ceiling(Math.max(0, ...layers.flat().filter((value) => value !== null), ...reference));
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const grid = [0, 0.5, 1].map((share) => {
      const at = y(top * share);
      return [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
        svg("text", { class: "axis end", x: LEFT - 6, y: at + 4 }, format(top * share)),
      ];
    });
    const marks = ticks(times, width).map(([index, text]) => {
      const place = index === 0 ? "" : index > times.length - 2 ? "end" : "middle";
      return svg("text", { class: `axis ${place}`, x: x(index), y: HEIGHT - 5 }, text);
    });
    const lines = layers.map((layer, index) => {
      const { tone } = series[index];
      const edge = path(layer, x, y);
      if (!stacked) return svg("path", { class: `line ${tone}`, d: edge });
      const floor = index === 0 ? layer.map(() => 0) : layers[index - 1];
      const back = floor.map((value, at) => `L${x(at).toFixed(1)} ${y(value).toFixed(1)}`).reverse();
      return [svg("path", { class: `area ${tone}`, d: `${edge}${back.join("")}Z` }), svg("path", { class: `line ${tone}`, d: edge })];
    });
    cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    picture.setAttribute("width", width);
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    // The first of a pile is in front.
    put(picture, grid, stacked ? lines.reverse() : lines, marks, cursor);
    tellFigures();
  }

  function tellFigures() {
    const index = chosen ?? times.length - 1;
    values.forEach((value, at) => put(value, format(figures[at]?.[index] ?? null)));
    put(moment, chosen === null ? "" : label(times[index]));
    if (!cursor) return;
    cursor.setAttribute("visibility", chosen === null ? "hidden" : "visible");
    cursor.setAttribute("x1", x(index));
    cursor.setAttribute("x2", x(index));
  }

  const label = (time) => (days ? day(time) : `${clock(time)}`);

  function choose(index) {
    chosen = index === null || times.length === 0 ? null : Math.min(times.length - 1, Math.max(0, index));
    tellFigures();
  }

  function point(event) {
    const place = event.clientX - picture.getBoundingClientRect().left;
    choose(Math.round(((place - LEFT) / (width - LEFT - RIGHT)) * (times.length - 1)));
  }

  function key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 };
    const from = chosen ?? times.length - 1;
    if (event.key in steps) choose(from + steps[event.key]);
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(times.length - 1);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
    const index = chosen ?? times.length - 1;
    const words = series.map(({ name }, at) => `${name} ${format(figures[at]?.[index] ?? null)}`);
    put(spoken, times.length === 0 ? "" : `${label(times[index])}: ${words.join(", ")}`);
  }

  new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    draw();
  }).observe(stage);

  return {
    element,
    update(newTimes, newFigures) {
      times = newTimes;
      figures = newFigures;
      if (chosen !== null) chosen = Math.min(chosen, times.length - 1);
      draw();
    },
  };
}

/** Each series on top of those before. */
function pile(figures) {
  const sums = [];
  for (const layer of figures) {
    const below = sums[sums.length - 1];
    sums.push(layer.map((value, index) => (value ?? 0) + (below ? below[index] : 0)));
  }
  return sums;
}

/** A path that has gaps where there is nothing. */
function path(layer, x, y) {
  let text = "";
  let isOpen = false;
  layer.forEach((value, index) => {
    if (value === null) {
      isOpen = false;
      return;
    }
    text += `${isOpen ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    // A look with nothing on both sides is a dot.
    if (!isOpen && (layer[index + 1] ?? null) === null) text += "h0.1";
    isOpen = true;
  });
  return text;
}

/** The next round figure. */
function ceiling(value) {
  if (value <= 0) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * step).find((round) => round >= value * 0.999);
}

/** Which looks have their time under them. */
function ticks(times, width) {
  const wanted = Math.max(2, Math.min(6, Math.floor(width / 110)));
  const isLong = times[times.length - 1] - times[0] > 36 * 3_600_000;
  const isShort = times[times.length - 1] - times[0] < 10 * 60_000;
  const text = (time) => (isLong ? day(time).slice(5) : clock(time, isShort));
  if (times.length === 1) return [[0, text(times[0])]];
  const places = Array.from({ length: wanted }, (_, index) => Math.round(((times.length - 1) * index) / (wanted - 1)));
  return [...new Set(places)].map((index) => [index, text(times[index])]);
}

/** A bar for a share from 0 to 1, beside its figure. */
export function bar(share, tone = "accepted") {
  const wide = Math.max(0, Math.min(1, share || 0)) * 100;
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "groove", width: 100, height: 6, rx: 1 }),
    svg("rect", { class: `fill ${tone}`, width: wide, height: 6, rx: 1 }),
  );
}
