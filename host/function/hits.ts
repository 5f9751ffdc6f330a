// The body of `POST /hits`, as Fluent Bit's out_http writes it (`format json`) with what the module's door `hits_only` made of
// the records: an array of elements, each with one hit or several.
//
//   [{"key":"0c0f0d9f3a6b1e42","hit":"{\"earshot\":1,…}"},{"hits":[{"key":"…","hit":"…"},…]},…]
//
// Elements that follow each other without an array are read as well. The hit is the text of `hit`, byte for byte. Its key
// is the one inside it: `key` is for Fluent Bit's own outputs.
//
// A `hit` may be a notice instead, which says that the module could not read a record:
//
//   {"earshot":1,"unreadable":4,"tag":"kube.x","time":"…Z","why":"…","record":"<the beginning of the record>"}

import type { Parcel } from './deliver.ts';
import { hitId, hitKey } from '../hit.ts';
import { parseJson, valuesOf } from '../json.ts';

/** Elements of a body that are dead letters one by one; what comes after them is one more. */
export const POISON_MAX = 10_000;
/** An element is a record's hits; Kafka takes no more than 1 MiB of one. Texts of many small values cost memory to parse. */
const ELEMENT_SIZE_MAX = 4 * 1024 * 1024;
/** Bytes that are kept of what is no hit: its beginning says what it is. */
const POISON_SIZE_MAX = 64 * 1024;
const NOTHING = new Uint8Array();
const NOTICE = '{"earshot":1,"unreadable":';

export interface Notice {
  /** Records that this module could not read so far. The notices are the 1st, 2nd, 4th, 8th … of them. */
  unreadable: number;
  tag: string;
  why: string;
  /** The notice itself. */
  text: string;
}

/** What a body holds. The offset of a parcel is the place of its element in the body. */
export interface Found {
  hits: Parcel[];
  notices: Notice[];
  /** What is no hit, notices included. */
  poison: Parcel[];
}

/** `cut` says why the bytes are only the beginning of the body. */
export function readHits(bytes: Uint8Array, cut?: string): Found {
  const found: Found = { hits: [], notices: [], poison: [] };
  const values = valuesOf(bytes);
  let offset = 0;
  let next = values.next();
  for (; !next.done; next = values.next(), offset++) {
    if (found.poison.length >= POISON_MAX) {
      const rest = bytes.subarray(next.value.byteOffset - bytes.byteOffset);
      found.poison.push(
        poisonOf(rest, offset, `the rest of a body with ${POISON_MAX} elements that are no hits`),
      );
      return found;
    }
    readElement(next.value, offset, found);
  }
  const why = cut ?? 'not JSON, or without its end';
  if (next.value || cut)
    found.poison.push(poisonOf(next.value ?? NOTHING, offset, `the rest of a body of hits: ${why}`));
  return found;
}

/** What is no hit, or no record, with the reason. */
export function poisonOf(bytes: Uint8Array, offset: number, why: string): Parcel {
  const isLong = bytes.length > POISON_SIZE_MAX;
  const size = isLong ? ` (the first ${POISON_SIZE_MAX} bytes of ${bytes.length})` : '';
  // Copied: a view would keep the whole body in memory.
  return { offset, key: null, bytes: bytes.slice(0, POISON_SIZE_MAX), poison: why + size };
}

function readElement(value: Uint8Array, offset: number, found: Found): void {
  if (value.length > ELEMENT_SIZE_MAX) {
    found.poison.push(poisonOf(value, offset, 'an element that is too large'));
    return;
  }
  const element = parseJson(value);
  const hits = (element as { hits?: unknown } | null | undefined)?.hits;
  if (!Array.isArray(hits)) {
    readHit(element, () => value, offset, found);
    return;
  }
  for (const [index, one] of hits.entries()) {
    const bytesOf = () => Buffer.from(JSON.stringify(one));
    if (found.poison.length < POISON_MAX) readHit(one, bytesOf, offset, found);
    else {
      found.poison.push(
        poisonOf(value, offset, `an element of which ${hits.length - index} hits are not looked at`),
      );
      return;
    }
  }
}

function readHit(element: unknown, bytesOf: () => Uint8Array, offset: number, found: Found): void {
  const text = (element as { hit?: unknown } | null | undefined)?.hit;
  if (typeof text !== 'string') {
    found.poison.push(poisonOf(bytesOf(), offset, 'an element without a hit'));
    return;
  }
  const bytes = Buffer.from(text);
  if (hitId(bytes) !== undefined) {
    found.hits.push({ offset, key: hitKey(bytes), bytes });
    return;
  }
  const notice = readNotice(text);
  if (notice) found.notices.push(notice);
  found.poison.push(
    poisonOf(bytes, offset, notice ? `unreadable for the module in Fluent Bit: ${notice.why}` : 'not a hit'),
  );
}

function readNotice(text: string): Notice | undefined {
  if (!text.startsWith(NOTICE)) return undefined;
  const notice = parseJson(Buffer.from(text)) as Partial<Notice> | undefined;
  const { unreadable = 0, tag, why } = notice ?? {};
  if (!Number.isSafeInteger(unreadable) || unreadable < 1) return undefined;
  return { unreadable, tag: String(tag), why: String(why), text };
}
