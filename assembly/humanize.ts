// Numbers as a person reads them, as the template functions of Prometheus write them: 1234567 → 1.235M. A text is replaced
// where it is, by at most HUMAN_SIZE_MAX bytes; a text that is no number stays as it is.
//
// The arithmetic is that of Prometheus, in doubles, and so are its digits: four, of the exact value, half to even. That
// holds for values from 1e-15 to 2⁶³ and texts of up to 15 digits; beyond, the last digit may differ.
import * as layout from './layout';
import { isNumber } from './number';
import { NO_TIME, parseTime, writeTime } from './time';

/** More than the longest: a time, or a duration of many days. */
export const HUMAN_SIZE_MAX: usize = 40;

const LARGE: usize = memory.data<u8>([0x6b, 0x4d, 0x47, 0x54, 0x50, 0x45, 0x5a, 0x59]); // kMGTPEZY
const SMALL: usize = memory.data<u8>([0x6d, 0x75, 0x6e, 0x70, 0x66, 0x61, 0x7a, 0x79]); // munpfazy
const PREFIX_COUNT: usize = 8;

const UTC: usize = memory.data<u8>([0x20, 0x2b, 0x30, 0x30, 0x30, 0x30, 0x20, 0x55, 0x54, 0x43]); // " +0000 UTC"
const UTC_SIZE: usize = 10;

const UNITS: usize = memory.data<u8>([0x64, 0x68, 0x6d, 0x73]); // dhms
const DAY: i64 = 86400;
const DURATION_MAX: f64 = 9e18; // seconds that fit into an i64

const VALUE_MAX: f64 = 1e300; // larger ones would become infinite

let target: usize = 0; // where the next byte is written

/** Applies one of PART_HUMANIZE… to the text of `size` bytes at `at`; returns the size of the result. */
export function humanize(kind: u32, at: usize, size: usize): usize {
  if (size == 0) return 0;
  // A count that may be more ends with a plus, which stays there.
  const isAtLeast = load<u8>(at + size - 1) == 0x2b;
  const end = at + size - <usize>isAtLeast;
  if (!isNumber(at, end)) return size;
  target = at;
  if (kind == layout.PART_HUMANIZE_TIMESTAMP) {
    const time = parseTime(layout.TYPE_NUMBER, at, end);
    if (time == NO_TIME) return size;
    writeGoTime(time);
  } else {
    const isNegative = load<u8>(at) == 0x2d;
    const value = parseDouble(at + <usize>isNegative, end);
    if (value > VALUE_MAX) return size;
    if (isNegative) target++; // the sign is there
    writeHuman(kind, value);
  }
  if (isAtLeast) put(0x2b);
  return target - at;
}

function put(byte: u32): void {
  store<u8>(target++, byte);
}

function writeHuman(kind: u32, value: f64): void {
  if (kind == layout.PART_HUMANIZE_PERCENTAGE) {
    writeDigits(value * 100);
    put(0x25);
    return;
  }
  const isDuration = kind == layout.PART_HUMANIZE_DURATION;
  if (isDuration && value >= 60 && value < DURATION_MAX) {
    writeDuration(<i64>value);
    return;
  }
  const isBinary = kind == layout.PART_HUMANIZE_1024;
  const factor: f64 = isBinary ? 1024 : 1000;
  let prefixes = LARGE;
  let count: usize = 0;
  if (value >= 1) {
    for (; value >= factor && !isDuration && count < PREFIX_COUNT; count++) value /= factor;
  } else if (value > 0 && !isBinary) {
    prefixes = SMALL;
    for (; value < 1 && count < PREFIX_COUNT; count++) value *= 1000;
  }
  writeDigits(value);
  if (count != 0) {
    put(load<u8>(prefixes + count - 1));
    if (isBinary) put(0x69);
  }
  if (isDuration) put(0x73);
}

/** `1d 0h 5m 3s`, from the largest unit that is not 0. */
function writeDuration(seconds: i64): void {
  let size = DAY;
  let isStarted = false;
  for (let unit = UNITS; size != 0; unit++) {
    if (seconds >= size || isStarted) {
      if (isStarted) put(0x20);
      writeNumber(seconds / size);
      put(load<u8>(unit));
      seconds %= size;
      isStarted = true;
    }
    size = size == DAY ? 3600 : size / 60;
  }
}

function writeNumber(number: i64): void {
  let divisor: i64 = 1;
  while (number / divisor >= 10) divisor *= 10;
  for (; divisor != 0; divisor /= 10) put(0x30 + <u32>((number / divisor) % 10));
}

/** As Go prints a time: `2026-03-02 10:00:00.12 +0000 UTC`. */
function writeGoTime(ms: i64): void {
  const at = target;
  target = writeTime(at, ms) - 1; // before the Z
  store<u8>(at + 10, 0x20);
  while (load<u8>(target - 1) == 0x30 && target > at + 20) target--;
  if (load<u8>(target - 1) == 0x2e) target--;
  memory.copy(target, UTC, UTC_SIZE);
  target += UTC_SIZE;
}

// ── Texts that are numbers ──────────────────────────────────────────────────────────────────────────

const DIGITS_MAX: u64 = 1000000000000000000; // one more digit still fits into 64 bits
const EXPONENT_MAX: i32 = 1000; // more is 0 or infinite in any case

/** The value of a number without a sign. */
function parseDouble(at: usize, end: usize): f64 {
  let digits: u64 = 0;
  let exponent: i32 = 0;
  let pointStep: i32 = 0; // 1 after the point
  for (; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte == 0x2e) {
      pointStep = 1;
      continue;
    }
    if (byte > 0x39) break;
    if (digits < DIGITS_MAX) {
      digits = digits * 10 + (byte - 0x30);
      exponent -= pointStep;
    } else exponent += 1 - pointStep;
  }
  if (at < end) exponent += readExponent(at + 1, end);
  if (digits == 0) return 0;
  return scale(<f64>digits, max(-EXPONENT_MAX, min(EXPONENT_MAX, exponent)));
}

function readExponent(at: usize, end: usize): i32 {
  const isNegative = load<u8>(at) == 0x2d;
  if (isNegative || load<u8>(at) == 0x2b) at++;
  let exponent: i32 = 0;
  for (; at < end && exponent < EXPONENT_MAX * 10; at++) exponent = exponent * 10 + <i32>load<u8>(at) - 0x30;
  return isNegative ? -exponent : exponent;
}

/** value × 10^exponent: rounded once when the exponent is at most 22, as powers up to there are exact. */
function scale(value: f64, exponent: i32): f64 {
  while (exponent != 0) {
    const step = min(22, exponent < 0 ? -exponent : exponent);
    let power: f64 = 1;
    for (let i = step; i != 0; i--) power *= 10;
    value = exponent < 0 ? value / power : value * power;
    exponent += exponent < 0 ? step : -step;
  }
  return value;
}

// ── Four digits ─────────────────────────────────────────────────────────────────────────────────────

const FOUR_DIGITS: u64 = 1000;
const HALF: u64 = 1 << 63;

/** Writes a value that is not negative as `%.4g`: four digits without zeros at the end, from 10,000 on with an exponent. */
function writeDigits(value: f64): void {
  if (value == 0) {
    put(0x30);
    return;
  }
  let moved = 0; // powers of ten that the value was divided by
  for (; value >= 9223372036854775808.0; moved++) value /= 10;
  for (; value < 1e-15; moved--) value *= 10;
  let exponent = 0; // of the first digit
  for (let power: f64 = 10; value >= power; power *= 10) exponent++;
  let digits = rounded(value, 3 - exponent);
  // Below 1 the exponent is found by looking: with too large a one, there are fewer digits.
  while (digits <= FOUR_DIGITS) {
    const more = rounded(value, 4 - exponent);
    if (more >= FOUR_DIGITS * 10) break;
    digits = more;
    exponent--;
  }
  if (digits == FOUR_DIGITS * 10) {
    digits = FOUR_DIGITS;
    exponent++;
  }
  writeFour(<u32>digits, exponent + moved);
}

/** value × 10^exponent, rounded to a whole number, half to even. The value is from 1e-15 to 2⁶³, the result below 2¹⁷. */
function rounded(value: f64, exponent: i32): u64 {
  const bits = reinterpret<u64>(value);
  const fraction = (bits & 0xfffffffffffff) | 0x10000000000000;
  const shift = <i64>(bits >>> 52) - 1075; // the value is fraction × 2^shift
  let power: u64 = 1;
  for (let i = exponent < 0 ? -exponent : exponent; i != 0; i--) power *= 10;
  if (exponent < 0) {
    const left = <u64>shift;
    const right = <u64>-shift;
    const whole = shift < 0 ? fraction >>> right : fraction << left;
    const isExact = shift >= 0 || fraction << (64 - right) == 0;
    const rest = (whole % power) * 2;
    return roundUp(whole / power, rest > power, rest == power, isExact);
  }
  // Below 10,000 there is a part after the point, and the product has at most 113 bits.
  const low = fraction * power;
  const high = highProduct(fraction, power);
  const right = <u64>-shift;
  let whole: u64;
  let rest: u64; // the bits after the point
  let isExact = true;
  if (right < 64) {
    whole = (high << (64 - right)) | (low >>> right);
    rest = low << (64 - right);
  } else {
    const more = right - 64;
    whole = high >>> more;
    rest = more == 0 ? low : (high << (64 - more)) | (low >>> more);
    isExact = more == 0 || low << (64 - more) == 0;
  }
  return roundUp(whole, rest > HALF, rest == HALF, isExact);
}

function roundUp(whole: u64, isMore: bool, isHalf: bool, isExact: bool): u64 {
  return whole + <u64>(isMore || (isHalf && (!isExact || (whole & 1) != 0)));
}

/** The upper 64 bits of a product. */
function highProduct(left: u64, right: u64): u64 {
  const low = (left & 0xffffffff) * (right & 0xffffffff);
  const middle = (left >>> 32) * (right & 0xffffffff) + (low >>> 32);
  const other = (left & 0xffffffff) * (right >>> 32) + (middle & 0xffffffff);
  return (left >>> 32) * (right >>> 32) + (middle >>> 32) + (other >>> 32);
}

function writeFour(digits: u32, exponent: i32): void {
  let count = 4;
  for (; digits % 10 == 0; count--) digits /= 10;
  const isLong = exponent < -4 || exponent > 3;
  let point = isLong ? 1 : exponent + 1; // digits before it
  for (let i = point; i <= 0; i++) {
    put(0x30);
    if (i == point) put(0x2e);
  }
  let divisor: u32 = 1;
  for (let i = 1; i < count; i++) divisor *= 10;
  for (let i = 0; i < max(count, point); i++) {
    if (i == point && point > 0) put(0x2e);
    put(0x30 + (divisor == 0 ? 0 : (digits / divisor) % 10));
    divisor /= 10;
  }
  if (!isLong) return;
  put(0x65);
  put(exponent < 0 ? 0x2d : 0x2b);
  const size = <i64>(exponent < 0 ? -exponent : exponent);
  if (size < 10) put(0x30);
  writeNumber(size);
}
