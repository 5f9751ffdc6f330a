// Numbers and times: a few of each, with digits around them that are not theirs. tests/number.test.ts and
// tests/time.test.ts compare many more with exact arithmetic and with Date.
import * as layout from '../../assembly/layout';
import { compareNumber } from '../../assembly/number';
import { NO_TIME, parseTime, writeTime } from '../../assembly/time';
import { behind, put, textAt } from './text';

const number: usize = memory.data(64, 16);
const target: usize = memory.data(64, 16);

/** 404: 0.404 × 10³. */
function compareWith404(text: string): i32 {
  store<u32>(number, 0, layout.NUMBER_SIGN);
  store<i32>(number, 3, layout.NUMBER_EXPONENT);
  store<u32>(number, 3, layout.NUMBER_DIGIT_COUNT);
  store<u8>(number, 4, layout.NUMBER_DIGITS);
  store<u8>(number, 0, layout.NUMBER_DIGITS + 1);
  store<u8>(number, 4, layout.NUMBER_DIGITS + 2);
  const at = put(text, 0x39);
  return compareNumber(at, behind(), number);
}

function written(ms: i64): string {
  memory.fill(target, 0x39, 64);
  const end = writeTime(target, ms);
  return textAt(target, end - target);
}

function read(type: u32, text: string): i64 {
  const at = put(text, 0x39);
  return parseTime(type, at, behind());
}

describe('a number', () => {
  it('is what it is, however it is written', () => {
    expect<i32>(compareWith404('404')).toBe(0);
    expect<i32>(compareWith404('404.00')).toBe(0);
    expect<i32>(compareWith404('4.04e2')).toBe(0);
    expect<i32>(compareWith404('0.0404E+4')).toBe(0);
    expect<i32>(compareWith404('40400e-2')).toBe(0);
  });

  it('is less or greater', () => {
    expect<i32>(compareWith404('403.999999999999999999999')).toBe(-1);
    expect<i32>(compareWith404('404.000000000000000000001')).toBe(1);
    expect<i32>(compareWith404('40')).toBe(-1);
    expect<i32>(compareWith404('4040')).toBe(1);
    expect<i32>(compareWith404('-404')).toBe(-1);
    expect<i32>(compareWith404('0')).toBe(-1);
    expect<i32>(compareWith404('-0.0e9')).toBe(-1);
    expect<i32>(compareWith404('1e999999999999')).toBe(1);
    expect<i32>(compareWith404('1e-999999999999')).toBe(-1);
  });
});

describe('a time', () => {
  it('is written in 24 bytes', () => {
    expect<string>(written(0)).toBe('1970-01-01T00:00:00.000Z');
    expect<string>(written(1629856477226)).toBe('2021-08-25T01:54:37.226Z');
    expect<string>(written(951782400000)).toBe('2000-02-29T00:00:00.000Z');
    expect<string>(written(-1)).toBe('1969-12-31T23:59:59.999Z');
    expect<string>(written(i64.MIN_VALUE / 2)).toBe('0001-01-01T00:00:00.000Z');
    expect<string>(written(i64.MAX_VALUE / 2)).toBe('9999-12-31T23:59:59.000Z');
  });

  it('is read from what loggers write', () => {
    expect<i64>(read(layout.TYPE_NUMBER, '1629856477.226758')).toBe(1629856477226);
    expect<i64>(read(layout.TYPE_NUMBER, '1629856477226')).toBe(1629856477226);
    expect<i64>(read(layout.TYPE_NUMBER, '1.629856477226758e9')).toBe(1629856477226);
    expect<i64>(read(layout.TYPE_STRING, '2021-08-25T01:54:37.226757612Z')).toBe(1629856477226);
    expect<i64>(read(layout.TYPE_STRING, '2021-08-25T09:54:37+08:00')).toBe(1629856477000);
  });

  it('ends where its text ends', () => {
    expect<i64>(read(layout.TYPE_NUMBER, '1')).toBe(1000);
    expect<i64>(read(layout.TYPE_STRING, '2021-08-25T01:54:37')).toBe(1629856477000);
    expect<i64>(read(layout.TYPE_STRING, '2021-08-25T01:54:3')).toBe(NO_TIME);
    expect<i64>(read(layout.TYPE_STRING, '')).toBe(NO_TIME);
    expect<i64>(read(layout.TYPE_NUMBER, '-1')).toBe(-1000);
  });
});
