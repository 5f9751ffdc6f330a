// Texts in memory for the specs, each with room around it: what lies there is not part of the text, and must not
// matter.
const ROOM: usize = 1024;
const block: usize = memory.data(2 * 1024 + 64, 16);
let end: usize = 0;

/** Puts a text between bytes `around`, its last byte in front of more of them. */
export function put(text: string, around: u8 = 0x22): usize {
  const size = String.UTF8.byteLength(text);
  memory.fill(block, around, 2 * ROOM + 64);
  const at = block + ROOM;
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  end = at + size;
  return at;
}

/** Puts bytes, written in hexadecimal. */
export function putBytes(hex: string, around: u8 = 0x22): usize {
  memory.fill(block, around, 2 * ROOM + 64);
  const at = block + ROOM;
  for (let i = 0; i < hex.length; i += 2)
    store<u8>(at + (i >>> 1), <u8>parseInt(hex.substring(i, i + 2), 16));
  end = at + (hex.length >>> 1);
  return at;
}

/** Behind the text that was put last. */
export function behind(): usize {
  return end;
}

export function textAt(at: usize, size: usize): string {
  return String.UTF8.decodeUnsafe(at, size);
}
