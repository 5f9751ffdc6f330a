// What leaves Fluent Bit's wasm filter: a record that carries one alert body.
//
//   {"id": "…", "headers": {"content-type": "application/json"}, "alert": "<the body>"}
//
// `id` becomes the tag of the alert's own chunk (so a retry of one alert does not repeat another): it
// has only hexadecimal digits and `-`. out_http posts `alert` byte for byte (body_key, headers_key).
import * as layout from './layout';
import { alertsFrom, alertsTo } from './body';
import { hashText } from './bytes';
import { isExhausted } from './memory';
import {
  beginOutput,
  outputSize,
  outputStart,
  writeByte,
  writeConstant,
  writeHash,
  writeJsonAsString,
} from './output';

const EDGE_TEXTS_SIZE_MAX: usize = 160; // TEXT_EDGE_…, the id, and the NUL

let count: u32 = 0;

/**
 * Wraps the output's body, or only its array of alerts, and returns a NUL-terminated string, or 0 when there is
 * no memory.
 */
export function writeEdgeRecord(record: usize, size: usize, sec: u32, nsec: u32, onlyArray: bool): usize {
  const body = outputStart() + (onlyArray ? alertsFrom() : 0);
  const bodySize = onlyArray ? alertsTo() - alertsFrom() : outputSize();
  // From the record and its time: two instances never give one id to different records. The counter
  // distinguishes equal records of one instance.
  const hash = hashText(record, size) ^ ((((<u64>sec) << 32) | (<u64>nsec)) * 0x9e3779b97f4a7c15);
  beginOutput(bodySize * 2 + EDGE_TEXTS_SIZE_MAX);
  writeConstant(layout.TEXT_EDGE_OPEN);
  writeHash(hash);
  writeByte(0x2d);
  writeHash(<u64>++count);
  writeConstant(layout.TEXT_EDGE_ALERT);
  writeJsonAsString(body, bodySize);
  writeConstant(layout.TEXT_EDGE_CLOSE);
  writeByte(0);
  return isExhausted() ? 0 : outputStart();
}
