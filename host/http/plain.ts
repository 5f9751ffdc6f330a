// A body of records: one, an array, one after the other, or one a line. Fluent Bit's out_http, Vector's http sink and curl
// write these.

import { isArray, valuesOf } from '../json.ts';
import type { Posted } from './posted.ts';

const NEWLINE = 0x0a;

/** Bodies of these types have a record in each line. */
const LINES = /^application\/(?:x-)?(?:ndjson|jsonl|json-?lines|json-seq)\b/;

export function* readPlain(body: Uint8Array, contentType = ''): Generator<Posted> {
  if (LINES.test(contentType)) return yield* linesOf(body);
  const values = valuesOf(body);
  for (;;) {
    const { done, value } = values.next();
    if (!done) yield { bytes: value };
    else if (value === undefined) return;
    // From here on each line is looked at once: in a search for the next value a hostile body would be read for each of them.
    else if (isArray(body)) return yield { bytes: value, poison: 'the rest of an array without its end' };
    else return yield* linesOf(value);
  }
}

function* linesOf(body: Uint8Array): Generator<Posted> {
  for (let start = 0; start < body.length;) {
    const found = body.indexOf(NEWLINE, start);
    const end = found < 0 ? body.length : found;
    const line = body.subarray(start, end);
    if (line.length > 0 && (line[0]! > 0x20 || !isBlank(line))) yield { bytes: line };
    start = end + 1;
  }
}

function isBlank(line: Uint8Array): boolean {
  return line.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === 0x1e);
}
