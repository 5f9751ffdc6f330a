// The functions of templates: a text → a text. A function works on a copy in one fixed buffer, so that it does the same at
// the edge, while a hit is written, and while an alert is. What is longer than an annotation may be is cut first.
import * as layout from './layout';
import { addressOf, copyBytes, sizeOf, textOf } from './bytes';
import { HUMAN_SIZE_MAX, humanize } from './humanize';

const SIZE_MAX: usize = layout.ANNOTATION_SIZE_MAX;
const buffer: usize = memory.data(layout.ANNOTATION_SIZE_MAX + 64); // HUMAN_SIZE_MAX, or SLACK of copyBytes

/** Applies a part that is a function. The result is valid until the next call. */
export function applyFunction(part: usize, text: u64): u64 {
  const kind = load<u32>(part, layout.PART_KIND) & ~layout.PART_CHAINED;
  let size = sizeOf(text);
  if (addressOf(text) != buffer) {
    copyBytes(buffer, addressOf(text), min(size, SIZE_MAX + 1));
    if (size > SIZE_MAX) size = cut(buffer, SIZE_MAX);
  }
  if (kind >= layout.PART_HUMANIZE) return textOf(buffer, humanize(kind, buffer, size));
  if (kind == layout.PART_TRIM) return trim(size);
  if (kind == layout.PART_TRUNCATE) return textOf(buffer, truncate(size, load<u32>(part, layout.PART_A)));
  if (kind == layout.PART_SLACK_ESCAPE) return textOf(buffer, escape(size));
  changeCase(size, kind == layout.PART_UPPER ? 0x61 : 0x41);
  return textOf(buffer, size);
}

/** Turns the 26 letters from `first` on to the other case. */
function changeCase(size: usize, first: u32): void {
  for (let at = buffer; at < buffer + size; at++) {
    const byte = <u32>load<u8>(at);
    if (byte - first < 26) store<u8>(at, byte ^ 0x20);
  }
}

function isSpace(byte: u32): bool {
  return byte == 0x20 || byte - 9 < 5;
}

/** Moves the text to the start of the buffer, where the next function expects it. */
function trim(size: usize): u64 {
  let at = buffer;
  let end = buffer + size;
  while (at < end && isSpace(load<u8>(at))) at++;
  while (at < end && isSpace(load<u8>(end - 1))) end--;
  memory.copy(buffer, at, end - at);
  return textOf(buffer, end - at);
}

/** At most `most` characters; of a longer text the last one is an ellipsis. */
function truncate(size: usize, most: u32): usize {
  let count: u32 = 0;
  let last: usize = 0; // the start of the character that an ellipsis replaces
  for (let at: usize = 0; at < size; at++) {
    if ((load<u8>(buffer + at) & 0xc0) == 0x80) continue;
    if (++count == most) last = at;
    if (count > most) return ellipsis(buffer + last) - buffer;
  }
  return size;
}

/** Escapes what has a meaning in Slack's texts: `&`, `<`, `>`. */
function escape(size: usize): usize {
  let whole: usize = 0; // bytes of the text so far
  let escaped: usize = 0; // the same, escaped
  let fits: usize = 0; // bytes of the text that leave room for an ellipsis
  for (; whole < size; whole++) {
    const byte = <u32>load<u8>(buffer + whole);
    if (escaped <= SIZE_MAX - 3 && (byte & 0xc0) != 0x80) fits = whole;
    escaped += escapedSize(byte);
  }
  if (escaped <= SIZE_MAX) return writeEscaped(size, escaped);
  escaped = 0;
  for (let at: usize = 0; at < fits; at++) escaped += escapedSize(load<u8>(buffer + at));
  writeEscaped(fits, escaped);
  return ellipsis(buffer + escaped) - buffer;
}

function escapedSize(byte: u32): usize {
  return byte == 0x26 ? 5 : byte == 0x3c || byte == 0x3e ? 4 : 1;
}

/** From the end, so that nothing is overwritten before it is read. */
function writeEscaped(size: usize, escaped: usize): usize {
  let target = buffer + escaped;
  for (let at = buffer + size; at > buffer && at != target;) {
    const byte = <u32>load<u8>(--at);
    const count = escapedSize(byte);
    target -= count;
    if (count == 1) store<u8>(target, byte);
    else if (count == 5) {
      store<u32>(target, 0x706d6126); // &amp
      store<u8>(target, 0x3b, 4);
    } else store<u32>(target, byte == 0x3c ? 0x3b746c26 : 0x3b746726); // &lt; or &gt;
  }
  return escaped;
}

// ── Cutting ─────────────────────────────────────────────────────────────────────────────────────────

/** Shortens a text to at most `sizeMax` bytes, between two code points, with an ellipsis at its end. */
export function cut(copy: usize, sizeMax: usize): usize {
  return ellipsis(copy + boundary(copy, sizeMax - 3)) - copy;
}

/** Writes an ellipsis; returns the address after it. */
function ellipsis(at: usize): usize {
  store<u16>(at, 0x80e2);
  store<u8>(at, 0xa6, 2);
  return at + 3;
}

/** The end of the last code point that ends at or before `size`. */
export function boundary(copy: usize, size: usize): usize {
  while (size > 0 && (load<u8>(copy + size) & 0xc0) == 0x80) size--;
  return size;
}
