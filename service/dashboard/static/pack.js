// The .xml and the .bin of an OpenVINO IR travel as one zip, stored and not compressed.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

const crc32 = async (file) => {
  let crc = ~0;
  for (const reader = file.stream().getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return ~crc >>> 0;
    for (const byte of value) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
};

const record = (signature, fields) => {
  const view = new DataView(new ArrayBuffer(4 + fields.reduce((sum, [size]) => sum + size, 0)));
  view.setUint32(0, signature, true);
  let at = 4;
  for (const [size, value] of fields) {
    size === 2 ? view.setUint16(at, value, true) : view.setUint32(at, value, true);
    at += size;
  }
  return view;
};

// The files as one, called `name`; the same files give the same bytes.
export const pack = async (files, name) => {
  const [entries, listing] = [[], []];
  let offset = 0;
  for (const file of files) {
    const called = new TextEncoder().encode(file.name);
    // version 2.0, names in UTF-8, stored, dated 1980
    const facts = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, await crc32(file)], [4, file.size], [4, file.size], [2, called.length], [2, 0]];
    entries.push(record(0x04034b50, facts), called, file);
    listing.push(record(0x02014b50, [[2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), called);
    offset += 30 + called.length + file.size;
  }
  const length = listing.reduce((sum, part) => sum + part.byteLength, 0);
  const end = record(0x06054b50, [[2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]]);
  return new File([...entries, ...listing, end], name, { type: "application/zip" });
};
