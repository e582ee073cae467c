// What the page's protocol makes of messages: reads {events, messages (base64)} from stdin, writes a list to stdout:
// null for a message that is refused, else what was read.
import { readFileSync } from "node:fs";
import { Refused, checkEvent, decode } from "../../chronoflux/page/static/protocol.js";

const { events, messages } = JSON.parse(readFileSync(0, "utf8"));
const results = messages.map((text) => {
  const bytes = Buffer.from(text, "base64");
  try {
    const read = decode(bytes, events);
    return read.type === "event" ? { type: "event", data: checkEvent(read.kind, read.data, null) } : read;
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
});
process.stdout.write(JSON.stringify(results));
