// UTF-8 by hand: the interpreter has no TextEncoder and no TextDecoder.

/** Octets of a text; octets stay as they are. */
export function toOctets(value) {
  if (value instanceof Uint8Array) return value;
  const escaped = unescape(encodeURIComponent(String(value).toWellFormed()));
  return Uint8Array.from(escaped, (character) => character.charCodeAt(0));
}

/** Text of octets; what is not UTF-8 becomes U+FFFD. */
export function toText(octets) {
  const pieces = [];
  for (let start = 0; start < octets.length; start += CHUNK) {
    pieces.push(String.fromCharCode(...octets.slice(start, start + CHUNK)));
  }
  const escaped = pieces.join("");
  try {
    return decodeURIComponent(escape(escaped));
  } catch {
    return decodeLossy(octets);
  }
}

/** Lower-case hexadecimal. */
export const toHex = (octets) => Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");

const CHUNK = 8192;

function decodeLossy(octets) {
  let text = "";
  for (let at = 0; at < octets.length; ) {
    const length = sequenceLength(octets[at]);
    try {
      text += decodeURIComponent(escape(String.fromCharCode(...octets.slice(at, at + length))));
      at += length;
    } catch {
      text += "\uFFFD";
      at += 1;
    }
  }
  return text;
}

function sequenceLength(first) {
  if (first >= 0xf0) return 4;
  if (first >= 0xe0) return 3;
  return first >= 0xc0 ? 2 : 1;
}
