// The id of an event in JavaScript, as chronoflux/mesh/event_id.py says. Reads vectors (JSON) from stdin and
// prints the id of each.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const utf8 = new TextEncoder();

function count(tag, number) {
  const view = new DataView(new ArrayBuffer(5));
  view.setUint8(0, tag.charCodeAt(0));
  view.setUint32(1, number);
  return new Uint8Array(view.buffer);
}

function write(value, parts) {
  if (value === null || typeof value === "boolean") {
    parts.push(utf8.encode(value === null ? "z" : value ? "t" : "f"));
  } else if (typeof value === "number") {
    const view = new DataView(new ArrayBuffer(9));
    view.setUint8(0, "n".charCodeAt(0));
    view.setFloat64(1, value + 0);
    parts.push(new Uint8Array(view.buffer));
  } else if (typeof value === "string") {
    const text = utf8.encode(value);
    parts.push(count("s", text.length), text);
  } else if (Array.isArray(value)) {
    parts.push(count("l", value.length));
    value.forEach((item) => write(item, parts));
  } else {
    const keys = Object.keys(value).map((key) => [key, Buffer.from(key)]);
    keys.sort((a, b) => Buffer.compare(a[1], b[1])); // the order of code points is that of UTF-8
    parts.push(count("o", keys.length));
    for (const [key] of keys) {
      write(key, parts);
      write(value[key], parts);
    }
  }
}

function eventId({ origin, type, at, content }) {
  const parts = [];
  [origin, type, at, content].forEach((value) => write(value, parts));
  const hash = createHash("sha256");
  parts.forEach((part) => hash.update(part));
  return hash.digest("hex").slice(0, 32);
}

const vectors = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(vectors.map(eventId)));
