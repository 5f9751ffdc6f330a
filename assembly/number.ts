// Comparing a JSON number with a number of the rules, digit by digit: exact for any length, so 64-bit
// ids and long decimals keep their value. No floating point is involved.
import * as layout from './layout';

const EXPONENT_MAX: i64 = 1 << 30; // larger exponents count as this: no record can hold that many digits

/** Whether a text is wholly a JSON number; leading zeros may be there. */
export function isNumber(at: usize, end: usize): bool {
  if (at < end && load<u8>(at) == 0x2d) at++;
  const whole = afterDigits(at, end);
  if (whole == at) return false;
  at = whole;
  if (at < end && load<u8>(at) == 0x2e) {
    at = afterDigits(at + 1, end);
    if (at == whole + 1) return false;
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++;
    if (at == end) return false;
    at = afterDigits(at, end);
  }
  return at == end;
}

function afterDigits(at: usize, end: usize): usize {
  while (at < end && <u32>load<u8>(at) - 0x30 < 10) at++;
  return at;
}

/** -1, 0 or 1: the order of the number at `at` … `end` (valid JSON) and the NUMBER_… record at `number`. */
export function compareNumber(at: usize, end: usize, number: usize): i32 {
  const negative = load<u8>(at) == 0x2d;
  if (negative) at++;
  const first = firstDigit(at, end);
  const digitCount = load<u32>(number, layout.NUMBER_DIGIT_COUNT);
  const otherNegative = load<u32>(number, layout.NUMBER_SIGN) != 0;
  if (first == end) return digitCount == 0 ? 0 : otherNegative ? 1 : -1;
  if (digitCount == 0 || negative != otherNegative) return negative ? -1 : 1;

  const exponent = exponentOf(at, first, end);
  const otherExponent = <i64>load<i32>(number, layout.NUMBER_EXPONENT);
  const order =
    exponent != otherExponent
      ? exponent < otherExponent
        ? -1
        : 1
      : compareDigits(first, end, number, digitCount);
  return negative ? -order : order;
}

function isExponent(byte: u32): bool {
  return (byte | 0x20) == 0x65;
}

/** The address of the first digit that is not 0, or `end` when the number is zero. */
function firstDigit(at: usize, end: usize): usize {
  for (; at < end && !isExponent(load<u8>(at)); at++) {
    if (<u32>load<u8>(at) - 0x31 < 9) return at;
  }
  return end;
}

/** The exponent of 0.d₁d₂…, where d₁ is the digit at `first`. */
function exponentOf(at: usize, first: usize, end: usize): i64 {
  let point: usize = 0;
  let after = at;
  for (; after < end && !isExponent(load<u8>(after)); after++) {
    if (load<u8>(after) == 0x2e) point = after;
  }
  if (point == 0) point = after;
  const shift = first < point ? <i64>(point - first) : -(<i64>(first - point - 1));
  return clamp(shift + writtenExponent(after, end));
}

function writtenExponent(at: usize, end: usize): i64 {
  if (at == end) return 0;
  at++;
  const negative = load<u8>(at) == 0x2d;
  if (negative || load<u8>(at) == 0x2b) at++;
  let exponent: i64 = 0;
  for (; at < end; at++) exponent = clamp(exponent * 10 + <i64>(load<u8>(at) - 0x30));
  return negative ? -exponent : exponent;
}

function clamp(exponent: i64): i64 {
  return exponent > EXPONENT_MAX ? EXPONENT_MAX : exponent < -EXPONENT_MAX ? -EXPONENT_MAX : exponent;
}

function compareDigits(at: usize, end: usize, number: usize, digitCount: u32): i32 {
  let index: u32 = 0;
  for (; at < end && !isExponent(load<u8>(at)); at++) {
    if (load<u8>(at) == 0x2e) continue;
    const digit = <i32>load<u8>(at) - 0x30;
    const other = index < digitCount ? <i32>load<u8>(number + index, layout.NUMBER_DIGITS) : 0;
    if (digit != other) return digit < other ? -1 : 1;
    index++;
  }
  return index < digitCount ? -1 : 0; // the last digit of the rules' number is never 0
}
