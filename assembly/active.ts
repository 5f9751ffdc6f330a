// Is it the time of day? A time zone is a list of its shifts, computed when the rules were compiled, and a week in it a list
// of spans, in minutes from Monday 00:00 on.
import * as layout from './layout';

const MINUTE_MS: i64 = 60000;
const WEEK_MINUTES: i64 = 7 * 24 * 60;
const MONDAY: i64 = 3 * 24 * 60; // minutes from Monday 00:00 to the first minute of 1970, a Thursday

let ruleset: usize = 0;
let now: i64 = 0; // ms since 1970

/** Sets the event time of the record that comes next. */
export function beginActive(base: usize, time: i64): void {
  ruleset = base;
  now = time;
}

export function eventTime(): i64 {
  return now;
}

/** Whether the event time is within the spans of the ACTIVE_… record. */
export function isActive(active: usize): bool {
  const local = floorDivide(now, MINUTE_MS) + MONDAY + floorDivide(shiftAt(active), 60);
  const minute = <u32>(local - floorDivide(local, WEEK_MINUTES) * WEEK_MINUTES);
  let span = ruleset + load<u32>(active, layout.ACTIVE_SPANS_OFFSET);
  for (let left = load<u32>(active, layout.ACTIVE_SPAN_COUNT); left != 0; left--) {
    if (minute < load<u32>(span, layout.SPAN_END)) return minute >= load<u32>(span, layout.SPAN_START);
    span += layout.SPAN_SIZE;
  }
  return false;
}

/** Local time − UTC, in seconds. */
function shiftAt(active: usize): i64 {
  const seconds = floorDivide(now, 1000);
  let shift = ruleset + load<u32>(active, layout.ACTIVE_SHIFTS_OFFSET);
  for (let left = load<u32>(active, layout.ACTIVE_SHIFT_COUNT) - 1; left != 0; left--) {
    if (seconds < <i64>load<u32>(shift + layout.SHIFT_SIZE, layout.SHIFT_FROM)) break;
    shift += layout.SHIFT_SIZE;
  }
  return load<i32>(shift, layout.SHIFT_SECONDS);
}

function floorDivide(value: i64, divisor: i64): i64 {
  const quotient = value / divisor;
  return quotient * divisor > value ? quotient - 1 : quotient;
}
