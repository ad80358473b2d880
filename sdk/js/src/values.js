// Values as authors write them.

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of a number or of a text such as "90s", "1h", "7d"; `null` of nothing. */
export function duration(value) {
  if (value == null) return null;
  if (typeof value === "number") return Math.round(value);
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(value) ?? [];
  if (!unit) throw new TypeError(`not a duration: ${value}; for example 500, "90s", "1h", "7d"`);
  return Math.round(number * UNITS[unit]);
}

/** An object's fields as the host takes them. */
export const pairs = (fields = {}) => Object.entries(fields).map(([name, value]) => [name, String(value)]);

export const json = (text) => (text === undefined ? undefined : JSON.parse(text));
