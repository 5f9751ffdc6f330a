// Event time: milliseconds since 1970, UTC. Whatever clock a record passed on its way (nanoseconds at the
// edge, a double with six decimals or ISO 8601 from Kafka), it is rounded to microseconds and then cut to
// milliseconds, so that the same event has the same time everywhere.
import * as layout from './layout';
import { isNumber } from './number';

export const NO_TIME: i64 = i64.MIN_VALUE;

const SECONDS_MIN: i64 = -62135596800; // 0001-01-01T00:00:00Z, Go's zero time
const SECONDS_MAX: i64 = 253402300799; // 9999-12-31T23:59:59Z, the last that RFC 3339 can write
const SECONDS_PLAUSIBLE: i64 = 100000000000; // a larger number counts milliseconds, microseconds or nanoseconds
const WHOLE_DIGITS_MAX: i64 = 20; // more digits before the point are too many even for nanoseconds
const EXPONENT_MAX: i64 = 100000000; // a record has fewer digits than that to balance it

export function toMs(sec: i64, nsec: i64): i64 {
  // 32 bits: 64-bit division by a constant is a division, and nsec is below 2^32 in every clock.
  return sec * 1000 + <i64>((<u32>nsec + 500) / 1000000);
}

/** The time that a field's text says (`type` is the field's; a string is decoded), or NO_TIME. */
export function parseTime(type: u32, at: usize, end: usize): i64 {
  if (type == layout.TYPE_NUMBER) return parseNumber(at, end);
  if (type == layout.TYPE_STRING) return parseFormat(at, end, ISO);
  return NO_TIME;
}

const LIKELY_MIN: i64 = 1000000000000; // 2001
const LIKELY_MAX: i64 = 4294967296000; // 2106

/** The same, in the form of a TIME_… record. */
export function parseTimeAs(form: u32, type: u32, at: usize, end: usize, ruleset: usize): i64 {
  const isText = type == layout.TYPE_STRING;
  if (form == layout.TIME_RFC3339 && !isText) return NO_TIME;
  if (form == layout.TIME_EPOCH && isText) type = isNumber(at, end) ? layout.TYPE_NUMBER : layout.TYPE_ABSENT;
  if (form >= layout.TIME_FORMATS) return isText ? parseFormat(at, end, ruleset + form) : NO_TIME;
  const time = parseTime(type, at, end);
  return form == layout.TIME_LIKELY && (time < LIKELY_MIN || time >= LIKELY_MAX) ? NO_TIME : time;
}

/** A JSON number of seconds since 1970, or of a smaller unit where seconds would be past the year 5138. */
function parseNumber(at: usize, end: usize): i64 {
  const isNegative = load<u8>(at) == 0x2d;
  if (isNegative) at++;
  const start = at;
  let sec: u64 = 0;
  for (const most = at + 18; at < end && at < most; at++) {
    const digit = <u32>load<u8>(at) - 0x30;
    if (digit > 9) break;
    sec = sec * 10 + digit;
  }
  let nsec: u32 = 0;
  if (at < end && load<u8>(at) == 0x2e) {
    let unit: u32 = 100000000;
    for (at++; at < end; at++) {
      const digit = <u32>load<u8>(at) - 0x30;
      if (digit > 9) break;
      nsec += digit * unit;
      unit /= 10;
    }
  }
  return at == end ? fromNumber(isNegative, sec, nsec) : parseLongNumber(isNegative, start, end);
}

/** The time of ±(sec + nsec / 10⁹), whichever unit that counts; NO_TIME before the year 1. */
function fromNumber(isNegative: bool, sec: i64, nsec: i64): i64 {
  while (sec >= SECONDS_PLAUSIBLE) {
    nsec = ((sec % 1000) * 1000000000 + nsec) / 1000;
    sec /= 1000;
  }
  if (!isNegative) return toMs(sec, nsec);
  if (nsec != 0) {
    sec++;
    nsec = 1000000000 - nsec; // the fraction counts forward, also before 1970
  }
  return -sec < SECONDS_MIN ? NO_TIME : toMs(-sec, nsec);
}

/** Like `parseNumber`, for a number with an exponent or with many digits. `at` is after the sign. */
function parseLongNumber(isNegative: bool, at: usize, end: usize): i64 {
  let exponent: i64 = 0;
  let digitsEnd = end;
  for (let i = at; i < end; i++) {
    if ((load<u8>(i) | 0x20) == 0x65) {
      digitsEnd = i;
      exponent = readExponent(i + 1, end);
      break;
    }
  }
  let whole: i64 = exponent; // digits before the point, after the exponent has moved it
  for (let i = at; i < digitsEnd && load<u8>(i) != 0x2e; i++) whole++;
  for (; at < digitsEnd && (load<u8>(at) == 0x30 || load<u8>(at) == 0x2e); at++) {
    if (load<u8>(at) == 0x30) whole--; // a leading zero does not count
  }
  if (at == digitsEnd) return 0;
  if (whole > WHOLE_DIGITS_MAX) return NO_TIME;

  let sec: i64 = 0;
  let nsec: i64 = 0;
  let place: i64 = 0;
  for (let i = at; place < whole + 9; i++) {
    let digit: i64 = 0;
    if (i < digitsEnd) {
      if (load<u8>(i) == 0x2e) continue;
      digit = <i64>load<u8>(i) - 0x30;
    }
    if (place < whole) {
      if (sec > i64.MAX_VALUE / 10 - 10) return NO_TIME;
      sec = sec * 10 + digit;
    } else {
      nsec = nsec * 10 + digit;
    }
    place++;
  }
  return fromNumber(isNegative, sec, nsec);
}

function readExponent(at: usize, end: usize): i64 {
  const isNegative = load<u8>(at) == 0x2d;
  if (isNegative || load<u8>(at) == 0x2b) at++;
  let exponent: i64 = 0;
  for (; at < end && exponent < EXPONENT_MAX; at++) exponent = exponent * 10 + <i64>load<u8>(at) - 0x30;
  return isNegative ? -exponent : exponent;
}

/** ISO 8601 as RFC 3339 profiles it: date, `T` or a space, time, fraction, `Z` or an offset (none: UTC). */
const ISO: usize = memory.data<u8>([
  0x25, 0x59, 0x2d, 0x25, 0x6d, 0x2d, 0x25, 0x64, 0x25, 0x54, 0x25, 0x48, 0x3a, 0x25, 0x4d, 0x3a, 0x25, 0x53,
  0x25, 0x2c, 0x25, 0x7a, 0,
]); // %Y-%m-%d%T%H:%M:%S%,%z

/**
 * The time of a text in a format as for strptime, which ends with a 0. Here `%T` is a `T` or a space, `%,` a point or comma
 * and a fraction, or nothing, and `%f` the digits of a fraction. `%z` comes last; without it the time is UTC.
 */
function parseFormat(at: usize, end: usize, format: usize): i64 {
  memory.fill(parts, 0, PARTS_SIZE);
  let nsec: i64 = 0;
  let offset: i64 = 0;
  for (let code: u32 = load<u8>(format); code != 0; code = load<u8>(++format)) {
    if (code != 0x25) {
      if (at == end || <u32>load<u8>(at++) != code) return NO_TIME;
      continue;
    }
    code = load<u8>(++format);
    if (code == 0x7a) {
      offset = zoneSeconds(at, end);
      if (offset == i32.MIN_VALUE) return NO_TIME;
      at = end;
    } else if (code == 0x2c || code == 0x66) {
      if (code == 0x2c) {
        if (at == end || (load<u8>(at) | 2) != 0x2e) continue;
        at++;
      }
      for (let unit: i64 = 100000000; at < end && <u32>load<u8>(at) - 0x30 < 10; at++) {
        nsec += (<i64>load<u8>(at) - 0x30) * unit;
        unit /= 10;
      }
    } else {
      const size: usize = code == 0x59 ? 4 : code == 0x54 ? 1 : code < 0x63 && code > 0x60 ? 3 : 2;
      if (at + size > end) return NO_TIME;
      if (code == 0x54) {
        if ((load<u8>(at) | 0x20) != 0x74 && load<u8>(at) != 0x20) return NO_TIME;
      } else if (code == 0x62) store<i64>(partOf(0x6d), monthAt(at));
      else if (code != 0x61) {
        // A day of one digit may come after a space.
        const skipped = <usize>(code == 0x64 && load<u8>(at) == 0x20);
        const value = number(at + skipped, size - skipped);
        if (value < 0) return NO_TIME;
        store<i64>(partOf(code), value);
      }
      at += size;
    }
  }
  const year = load<i64>(partOf(0x59));
  const month = load<i64>(partOf(0x6d));
  const day = load<i64>(partOf(0x64));
  const hour = load<i64>(partOf(0x48));
  const minute = load<i64>(partOf(0x4d));
  const second = load<i64>(partOf(0x53));
  if (at != end || year == 0 || month == 0 || month > 12 || day == 0 || day > daysIn(year, month))
    return NO_TIME;
  if (hour > 23 || minute > 59 || second > 60) return NO_TIME;
  return toMs(daysBefore(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset, nsec);
}

// The numbers of a time, an i64 for each directive. Those that are used differ in their lower six bits.
const PARTS_SIZE = 512; // 64 of them
const parts: usize = memory.data(PARTS_SIZE);

function partOf(code: u32): usize {
  return parts + (((<usize>code) & 63) << 3);
}

const MONTHS: usize = memory.data<u8>([
  0x6a, 0x61, 0x6e, 0x66, 0x65, 0x62, 0x6d, 0x61, 0x72, 0x61, 0x70, 0x72, 0x6d, 0x61, 0x79, 0x6a, 0x75, 0x6e,
  0x6a, 0x75, 0x6c, 0x61, 0x75, 0x67, 0x73, 0x65, 0x70, 0x6f, 0x63, 0x74, 0x6e, 0x6f, 0x76, 0x64, 0x65, 0x63,
]); // janfebmaraprmayjunjulaugsepoctnovdec

/** The month of three letters, or 0. */
function monthAt(at: usize): i64 {
  for (let month: usize = 0; month < 12; month++) {
    const name = MONTHS + month * 3;
    if ((load<u16>(at) | 0x2020) == load<u16>(name) && (load<u8>(at, 2) | 0x20) == load<u8>(name, 2))
      return month + 1;
  }
  return 0;
}

function zoneSeconds(at: usize, end: usize): i32 {
  if (at == end) return 0;
  const sign = <u32>load<u8>(at);
  if ((sign | 0x20) == 0x7a) return at + 1 == end ? 0 : i32.MIN_VALUE;
  if (sign != 0x2b && sign != 0x2d) return i32.MIN_VALUE;
  const colon: usize = end - at == 6 && load<u8>(at, 3) == 0x3a ? 1 : 0;
  if (end - at != 5 + colon) return i32.MIN_VALUE;
  const hours = number(at + 1, 2);
  const minutes = number(at + 3 + colon, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return i32.MIN_VALUE;
  const seconds = <i32>(hours * 3600 + minutes * 60);
  return sign == 0x2d ? -seconds : seconds;
}

/** The number that `size` digits write, or -1. */
function number(at: usize, size: usize): i64 {
  let value: i64 = 0;
  for (let i: usize = 0; i < size; i++) {
    const digit = <u32>load<u8>(at + i) - 0x30;
    if (digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function daysIn(year: i64, month: i64): i64 {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return 30 + ((month + (month >> 3)) & 1); // from August on the even months are the long ones
}

/** Days from 1970-01-01 to a date; Howard Hinnant's days_from_civil. */
function daysBefore(year: i64, month: i64, day: i64): i64 {
  if (month <= 2) year--;
  const era = (year >= 0 ? year : year - 399) / 400;
  const yearOfEra = year - era * 400;
  const dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719468;
}

/** Writes a time as `2021-08-25T01:54:37.226Z`, 24 bytes; Howard Hinnant's civil_from_days, in 32 bits. */
export function writeTime(target: usize, ms: i64): usize {
  const seconds = floorDivide(ms, 1000);
  const clamped = max(SECONDS_MIN, min(SECONDS_MAX, seconds));
  const days = floorDivide(clamped, 86400);
  const time = <u32>(clamped - days * 86400);
  const shifted = <u32>(days + 719468); // days since 0000-03-01, not negative for any year that is written
  const era = shifted / 146097;
  const dayOfEra = shifted - era * 146097;
  const yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365;
  const dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
  const monthFromMarch = (5 * dayOfYear + 2) / 153;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  writeDigits(target, yearOfEra + era * 400 + (month <= 2 ? 1 : 0), 4, 0x2d);
  writeDigits(target + 5, month, 2, 0x2d);
  writeDigits(target + 8, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1, 2, 0x54);
  writeDigits(target + 11, time / 3600, 2, 0x3a);
  writeDigits(target + 14, (time / 60) % 60, 2, 0x3a);
  writeDigits(target + 17, time % 60, 2, 0x2e);
  writeDigits(target + 20, clamped == seconds ? <u32>(ms - seconds * 1000) : 0, 3, 0x5a);
  return target + 24;
}

/** Divides and rounds down, also below 0. */
export function floorDivide(value: i64, divisor: i64): i64 {
  return (value >= 0 ? value : value - divisor + 1) / divisor;
}

/** Writes `size` digits and the byte after them. */
function writeDigits(target: usize, value: u32, size: usize, after: u8): void {
  store<u8>(target + size, after);
  for (let i = size; i > 0; i--) {
    store<u8>(target + i - 1, 0x30 + <u8>(value % 10));
    value /= 10;
  }
}
