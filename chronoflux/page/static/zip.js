/**
 * ZIP archives of stored files (PKWARE APPNOTE 6.3.9), written part by part; large ones as Zip64.
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});
const LARGE = 0xffffffff;

/** The CRC-32 of bytes, going on from that of what came before. @param {Uint8Array} bytes @param {number} [before] */
export function crc32(bytes, before = 0) {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Bytes of numbers, least significant first: pairs of value and width. @param {[number, number][]} fields */
function packed(fields) {
  const bytes = [];
  for (const [value, width] of fields) {
    let rest = BigInt(value);
    for (let i = 0; i < width; i++, rest >>= 8n) bytes.push(Number(rest & 255n));
  }
  return Uint8Array.from(bytes);
}

/** @param {Uint8Array[]} parts */
function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * The parts of an archive, one after the other. Sizes and checksums follow each file, so that it is read once.
 *
 * @param {AsyncIterable<{name: string, parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>}>
 *   | Iterable<{name: string, parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>}>} files
 * @param {Date} date
 * @returns {AsyncGenerator<Uint8Array>}
 */
export async function* zipped(files, date = new Date()) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  const FLAGS = 0x0808; // sizes in a descriptor behind the data, names in UTF-8
  /** @type {Uint8Array[]} */
  const directory = [];
  let offset = 0;
  let count = 0;
  for await (const { name, parts } of files) {
    const encoded = new TextEncoder().encode(name);
    const begin = offset;
    const extra = packed([[1, 2], [16, 2], [0, 8], [0, 8]]); // Zip64: the descriptor has 64-bit sizes
    const head = packed([
      [0x04034b50, 4], [45, 2], [FLAGS, 2], [0, 2], [time, 2], [day, 2],
      [0, 4], [LARGE, 4], [LARGE, 4], [encoded.length, 2], [extra.length, 2],
    ]);
    yield joined(head, encoded, extra);
    offset += head.length + encoded.length + extra.length;
    let crc = 0;
    let size = 0;
    for await (const part of parts) {
      crc = crc32(part, crc);
      size += part.length;
      yield part;
    }
    const descriptor = packed([[0x08074b50, 4], [crc, 4], [size, 8], [size, 8]]);
    yield descriptor;
    offset += size + descriptor.length;
    const more = packed([[1, 2], [24, 2], [size, 8], [size, 8], [begin, 8]]);
    directory.push(
      joined(
        packed([
          [0x02014b50, 4], [45, 2], [45, 2], [FLAGS, 2], [0, 2], [time, 2], [day, 2], [crc, 4],
          [LARGE, 4], [LARGE, 4], [encoded.length, 2], [more.length, 2], [0, 2], [0, 2], [0, 2], [0, 4], [LARGE, 4],
        ]),
        encoded,
        more,
      ),
    );
    count++;
  }
  const entries = joined(...directory);
  yield entries;
  yield packed([
    [0x06064b50, 4], [44, 8], [45, 2], [45, 2], [0, 4], [0, 4], [count, 8], [count, 8], [entries.length, 8], [offset, 8],
    [0x07064b50, 4], [0, 4], [offset + entries.length, 8], [1, 4],
    [0x06054b50, 4], [0, 2], [0, 2], [0xffff, 2], [0xffff, 2], [LARGE, 4], [LARGE, 4], [0, 2],
  ]);
}
