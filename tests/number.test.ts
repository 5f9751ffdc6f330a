// Comparing numbers, against exact arithmetic: a number is n × 10^e with whole n and e.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDecimal, parseDecimal } from '../host/compiler/decimal.ts';
import { NUMBER_DIGITS, NUMBER_DIGIT_COUNT, NUMBER_EXPONENT, NUMBER_SIGN } from '../assembly/layout.ts';
import { Probe, RUNS } from './core.ts';

const probe = await Probe.open();

function compare(record: string, rule: string): number {
  const { negative, digits, exponent } = parseDecimal(rule)!;
  const number = new Uint8Array(NUMBER_DIGITS + digits.length);
  const view = new DataView(number.buffer);
  view.setUint32(NUMBER_SIGN, negative ? 1 : 0, true);
  view.setInt32(NUMBER_EXPONENT, exponent, true);
  view.setUint32(NUMBER_DIGIT_COUNT, digits.length, true);
  number.set([...digits].map(Number), NUMBER_DIGITS);
  const [text, other] = probe.put(Buffer.from(record), number);
  return probe.doors.compareNumber(text!, text! + record.length, other!);
}

function exact(text: string): { value: bigint; exponent: number } {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(
    text,
  )!;
  const value = BigInt(whole! + fraction);
  return { value: sign === '-' ? -value : value, exponent: Number(exponent) - fraction.length };
}

function oracle(left: string, right: string): number {
  const [a, b] = [exact(left), exact(right)];
  const least = Math.min(a.exponent, b.exponent);
  const [m, n] = [a, b].map(({ value, exponent }) => value * 10n ** BigInt(exponent - least)) as [
    bigint,
    bigint,
  ];
  return m < n ? -1 : m > n ? 1 : 0;
}

const digitsArbitrary = fc.oneof(
  fc.constantFrom('0', '00', '000', '1', '9', '10', '99', '404', '5', '50', '500', '4999', '5001'),
  fc.stringMatching(/^[0-9]{1,25}$/),
);
const numberArbitrary = fc
  .record({
    sign: fc.constantFrom('', '', '-'),
    whole: digitsArbitrary.map(digits => digits.replace(/^0+(?=\d)/, '')),
    fraction: fc.option(digitsArbitrary),
    exponent: fc.option(
      fc.tuple(
        fc.constantFrom('e', 'E', 'e+', 'E-', 'e-'),
        fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 400 })),
      ),
    ),
  })
  .map(
    ({ sign, whole, fraction, exponent }) =>
      `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${exponent === null ? '' : exponent.join('')}`,
  );

/** The same number, or nearly, written in another way: two random numbers are seldom equal. */
const pairArbitrary = fc.oneof(
  fc.tuple(numberArbitrary, numberArbitrary),
  fc
    .tuple(numberArbitrary, fc.integer({ min: -30, max: 30 }), fc.constantFrom('', '0', '000', '01', '1'))
    .map(([text, shift, tail]) => {
      const { value, exponent } = exact(text);
      const zeros = '0'.repeat(Math.abs(shift) % 20);
      return [text, `${value}${zeros}.${tail || '0'}e${exponent - zeros.length}`] as [string, string];
    }),
);

test('numbers compare as the exact numbers that they write', () => {
  const property = fc.property(pairArbitrary, ([left, right]) => {
    assert.equal(compare(left, right), oracle(left, right), `${left} with ${right}`);
    assert.equal(compare(right, left), oracle(right, left), `${right} with ${left}`);
    assert.equal(compare(left, left), 0, left);
  });
  fc.assert(property, { numRuns: 20_000 * RUNS });
});

test('a rule keeps the number that is written', () => {
  const property = fc.property(numberArbitrary, fc.constantFrom('', '+'), (text, plus) => {
    const yaml = text.startsWith('-') ? text : plus + text;
    const kept = formatDecimal(parseDecimal(yaml)!);
    assert.equal(oracle(kept, text), 0, `${text} is kept as ${kept}`);
    JSON.parse(kept);
  });
  fc.assert(property, { numRuns: 10_000 * RUNS });
  // As JavaScript writes its own, where a double holds the number.
  const double = fc.double({ noDefaultInfinity: true, noNaN: true });
  fc.assert(fc.property(double, number => formatDecimal(parseDecimal(String(number))!) === String(number)));
  for (const text of ['', '.', '-', 'e5', '.e5', '1e', '0x10', '.inf', '.nan', '1_000', ' 1', '1 '])
    assert.equal(parseDecimal(text), null, text);
});

test('exponents of any length', () => {
  const ascending = [
    '-1e99999999999999999999',
    '-1e400',
    '-1',
    '-1e-400',
    '-1e-99999999999999999999',
    '0e99999999999999999999',
    '1e-99999999999999999999',
    '1e-400',
    `0.${'0'.repeat(300)}1`,
    '1',
    `1${'0'.repeat(300)}`,
    '1e400',
    '1e99999999999999999999',
  ];
  const ofRules = ascending.filter(text => !text.includes('9999'));
  for (const [i, record] of ascending.entries()) {
    for (const rule of ofRules)
      assert.equal(compare(record, rule), Math.sign(i - ascending.indexOf(rule)), `${record} with ${rule}`);
  }
});
