// Reading and writing times, against Date.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TYPE_NUMBER, TYPE_STRING } from '../assembly/layout.ts';
import { Probe, RUNS } from './core.ts';

const probe = await Probe.open();
const NO_TIME = -(2n ** 63n);

function parse(type: number, text: string): number | null {
  const [at] = probe.put(Buffer.from(text));
  const ms = probe.doors.parseTime(type, at!, at! + text.length);
  return ms === NO_TIME ? null : Number(ms);
}

function write(ms: bigint): string {
  const [target] = probe.put(new Uint8Array(24));
  const end = probe.doors.writeTime(target!, ms);
  return Buffer.from(probe.bytes().slice(target, end)).toString();
}

const FIRST = Date.parse('0001-01-01T00:00:00Z');
const LAST = Date.parse('9999-12-31T23:59:59.999Z');
const momentArbitrary = fc.oneof(
  fc.integer({ min: FIRST, max: LAST }),
  fc.integer({ min: 0, max: 2 ** 32 * 1000 }),
);

test('a time is written as Date writes it, and read again', () => {
  const property = fc.property(momentArbitrary, ms => {
    const text = new Date(ms).toISOString();
    assert.equal(write(BigInt(ms)), text);
    assert.equal(parse(TYPE_STRING, text), ms);
  });
  fc.assert(property, { numRuns: 10_000 * RUNS });
});

test('times that RFC 3339 can\u2019t write become its first or last', () => {
  assert.equal(write(BigInt(FIRST) - 1n), '0001-01-01T00:00:00.000Z');
  assert.equal(write(-(2n ** 62n)), '0001-01-01T00:00:00.000Z');
  assert.equal(write(BigInt(LAST) + 1n), '9999-12-31T23:59:59.000Z');
  assert.equal(write(2n ** 62n), '9999-12-31T23:59:59.000Z');
});

test('offsets and fractions are read', () => {
  const property = fc.property(
    momentArbitrary,
    fc.integer({ min: -14 * 60, max: 14 * 60 }),
    fc.constantFrom('T', 't', ' '),
    fc.constantFrom(':', ''),
    fc.stringMatching(/^[0-9]{0,6}$/),
    (ms, minutes, separator, colon, digits) => {
      const local = ms + minutes * 60_000;
      if (local < FIRST || local > LAST) return;
      const [date, time] = new Date(local).toISOString().slice(0, -1).split('T');
      const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map(n =>
        String(n).padStart(2, '0'),
      );
      const fraction = digits.slice(0, 3); // below a microsecond a time is rounded: see the next test
      const text = `${date}${separator}${time}${fraction}${minutes < 0 ? '-' : '+'}${hours}${colon}${rest}`;
      assert.equal(parse(TYPE_STRING, text), ms, text);
    },
  );
  fc.assert(property, { numRuns: 10_000 * RUNS });
});

/** Rounds to microseconds (half up), then cuts to milliseconds. */
function msOf(sec: bigint, nsec: bigint): number {
  return Number(sec * 1000n + (nsec + 500n) / 1_000_000n);
}

test('the same moment has the same time, whichever clock wrote it', () => {
  const property = fc.property(
    fc.integer({ min: 0, max: 4_102_444_800 }),
    fc.nat({ max: 999_999 }),
    (sec, usec) => {
      const micros = String(usec).padStart(6, '0');
      const nsec = BigInt(usec) * 1000n;
      const ms = msOf(BigInt(sec), nsec);
      assert.equal(Number(probe.doors.toMs(BigInt(sec), nsec)), ms);
      assert.equal(parse(TYPE_NUMBER, `${sec}.${micros}`), ms, 'seconds');
      assert.equal(parse(TYPE_NUMBER, String(sec + usec / 1e6)), ms, 'a double');
      assert.equal(
        parse(TYPE_STRING, `${new Date(sec * 1000).toISOString().slice(0, 19)}.${micros}Z`),
        ms,
        'ISO',
      );
      assert.equal(parse(TYPE_NUMBER, `${BigInt(sec) * 1_000_000n + BigInt(usec)}e-6`), ms, 'an exponent');
      if (sec < 1_000_000_000) return; // a smaller number of microseconds could be one of seconds
      assert.equal(parse(TYPE_NUMBER, `${sec}${micros}`), ms, 'microseconds');
      assert.equal(parse(TYPE_NUMBER, `${sec}${micros}000`), ms, 'nanoseconds');
      assert.equal(parse(TYPE_NUMBER, `${sec}${micros.slice(0, 3)}`), ms, 'milliseconds');
    },
  );
  fc.assert(property, { numRuns: 10_000 * RUNS });
});

test('a number before 1970 is the time that its ISO string is', () => {
  const property = fc.property(
    fc.integer({ min: -62_135_596_800, max: -1 }),
    fc.nat({ max: 999_999 }),
    fc.nat({ max: 12 }),
    (sec, usec, shift) => {
      const micros = BigInt(sec) * 1_000_000n + BigInt(usec); // below 0
      const [whole, part] = [-micros / 1_000_000n, String(-micros % 1_000_000n).padStart(6, '0')];
      const iso = `${new Date(sec * 1000).toISOString().slice(0, 19)}.${String(usec).padStart(6, '0')}Z`;
      const ms = parse(TYPE_STRING, iso);
      assert.equal(ms, msOf(BigInt(sec), BigInt(usec) * 1000n));
      assert.equal(parse(TYPE_NUMBER, `-${whole}.${part}`), ms, 'seconds');
      assert.equal(parse(TYPE_NUMBER, `${micros}e-6`), ms, 'an exponent');
      assert.equal(parse(TYPE_NUMBER, `${micros}${'0'.repeat(shift)}e-${6 + shift}`), ms, 'zeros');
      assert.equal(parse(TYPE_NUMBER, `-0.${'0'.repeat(shift)}${-micros}e${numberSize(micros) + shift - 6}`), ms); // prettier-ignore
    },
  );
  fc.assert(property, { numRuns: 10_000 * RUNS });
});

/** The digits of a number, its sign not counted. */
function numberSize(number: bigint): number {
  return String(number).replace('-', '').length;
}

test('no number and no text is anything but a time or none', () => {
  const numberArbitrary = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.stringMatching(/^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,30})?$/),
  );
  const textArbitrary = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}[.,]?[0-9]{0,12}(Z|[+-][0-9:]{4,5})?$/),
  );
  const check = (ms: number | null) => {
    if (ms === null) return;
    assert.match(write(BigInt(ms)), /^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z$/);
  };
  const property = fc.property(numberArbitrary, textArbitrary, (number, text) => {
    check(parse(TYPE_NUMBER, number));
    check(parse(TYPE_STRING, Buffer.from(text).toString('latin1')));
  });
  fc.assert(property, { numRuns: 5000 * RUNS });
});

test('days that a month does not have are no time', () => {
  for (let year = 1896; year <= 2104; year++) {
    for (let month = 1; month <= 12; month++) {
      const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
      const at = (day: number) =>
        `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}T00:00:00Z`;
      assert.equal(parse(TYPE_STRING, at(days)), Date.parse(at(days)));
      assert.equal(parse(TYPE_STRING, at(days + 1)), null, at(days + 1));
    }
  }
});
