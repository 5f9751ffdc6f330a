// The functions of templates that write numbers, against Prometheus' own code, here in JavaScript: both compute in doubles.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALERT } from '../host/matcher.ts';
import { RUNS, bodyText, loadRules } from './core.ts';
import type { Body } from './core.ts';

const matcher = await loadRules(`groups:
  - name: g
    rules:
      - alert: a
        match: {field: n, exists: true}
        realert: 0s
        annotations:
          humanize: '{{ $record.n | humanize }}'
          humanize1024: '{{ $record.n | humanize1024 }}'
          humanizeDuration: '{{ $record.n | humanizeDuration }}'
          humanizePercentage: '{{ $record.n | humanizePercentage }}'
`);

function humanized(number: string): Record<string, string> {
  assert.equal(matcher.match(Buffer.from(`{"n":${number}}`), 1, 0), ALERT);
  return (JSON.parse(bodyText(matcher)) as Body).alerts[0]!.annotations;
}

/** Go's `%.4g`: four digits of the exact value, half to even. JavaScript rounds half up, which only differs for exact halves. */
function fourDigits(value: number): string {
  if (value === 0) return '0';
  let [digits, exponent] = value.toExponential(3).split('e') as [string, string];
  const exact = Math.abs(value).toExponential(100).replace(/0*e.*/, '').replace('.', '');
  const isHalf = exact.length === 5 && exact.endsWith('5');
  if (isHalf && Number(exact[3]) % 2 === 0)
    digits = (value < 0 ? '-' : '') + `${exact[0]}.${exact.slice(1, 4)}`;
  const power = Number(exponent);
  const short = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  if (power < -4 || power >= 4)
    return `${short}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  return String(Number(`${digits}e${power}`));
}

const PREFIXES = {
  large: ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'],
  small: ['m', 'u', 'n', 'p', 'f', 'a', 'z', 'y'],
  binary: ['ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei', 'Zi', 'Yi'],
};

function large(value: number, factor: number, prefixes: string[]): string {
  let prefix = '';
  for (const next of prefixes) {
    if (Math.abs(value) < factor) break;
    prefix = next;
    value /= factor;
  }
  return fourDigits(value) + prefix;
}

function small(value: number): string {
  let prefix = '';
  for (const next of PREFIXES.small) {
    if (Math.abs(value) >= 1) break;
    prefix = next;
    value *= 1000;
  }
  return fourDigits(value) + prefix;
}

function duration(value: number): string {
  if (value === 0) return '0s';
  if (Math.abs(value) < 1) return `${small(value)}s`;
  const sign = value < 0 ? '-' : '';
  const whole = Math.trunc(Math.abs(value));
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3_600) % 24];
  const [minutes, seconds] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days > 0) return `${sign}${days}d ${hours}h ${minutes}m ${seconds}s`;
  if (hours > 0) return `${sign}${hours}h ${minutes}m ${seconds}s`;
  return minutes > 0 ? `${sign}${minutes}m ${seconds}s` : `${sign}${fourDigits(Math.abs(value))}s`;
}

function expected(value: number): Record<string, string> {
  const isSmall = value !== 0 && Math.abs(value) < 1;
  return {
    humanize: isSmall ? small(value) : large(value, 1000, PREFIXES.large),
    humanize1024: Math.abs(value) <= 1 ? fourDigits(value) : large(value, 1024, PREFIXES.binary),
    humanizeDuration: duration(value),
    humanizePercentage: `${fourDigits(value * 100)}%`,
  };
}

const check = (text: string) => assert.deepEqual({ ...humanized(text) }, expected(Number(text)), text);

test('known values of Prometheus’ own tests', () => {
  // template_test.go: humanize of 0, 1, 1234567, .12 and -.12345; durations and shares
  const known: [text: string, name: string, shown: string][] = [
    ['0.0', 'humanize', '0'],
    ['1.0', 'humanize', '1'],
    ['1234567.0', 'humanize', '1.235M'],
    ['0.12', 'humanize', '120m'],
    ['1048576.0', 'humanize1024', '1Mi'],
    ['0.12', 'humanize1024', '0.12'],
    ['60', 'humanizeDuration', '1m 0s'],
    ['3600', 'humanizeDuration', '1h 0m 0s'],
    ['86400', 'humanizeDuration', '1d 0h 0m 0s'],
    ['86461', 'humanizeDuration', '1d 0h 1m 1s'],
    ['-86401', 'humanizeDuration', '-1d 0h 0m 1s'],
    ['0.1', 'humanizeDuration', '100ms'],
    ['0.0001', 'humanizeDuration', '100us'],
    ['0.12345', 'humanizeDuration', '123.5ms'],
    ['60.1', 'humanizeDuration', '1m 0s'],
    ['12.34', 'humanizeDuration', '12.34s'],
    ['-0.22222', 'humanizePercentage', '-22.22%'],
    ['0.1234567', 'humanizePercentage', '12.35%'],
    ['1.23456', 'humanizePercentage', '123.5%'],
    ['0.0', 'humanizePercentage', '0%'],
  ];
  for (const [text, name, shown] of known) assert.equal(humanized(text)[name], shown, `${text} ${name}`);
});

test('halves, and what is next to a power of ten', () => {
  for (const digits of ['12345', '12355', '12365', '12375', '99995', '99994', '99985', '10005', '5', '1'])
    for (let exponent = -12; exponent <= 12; exponent++) {
      check(`${digits}e${exponent}`);
      check(`-${digits}e${exponent}`);
    }
});

test('numbers of up to 15 digits', () => {
  const number = fc
    .tuple(fc.bigInt({ min: 1n, max: 10n ** 15n - 1n }), fc.integer({ min: -25, max: 9 }), fc.boolean())
    .map(([digits, exponent, isNegative]) => `${isNegative ? '-' : ''}${digits}e${exponent}`)
    // Four digits are exact from 1e-15 to 2⁶³.
    .filter(text => Math.abs(Number(text)) >= 1e-12 && Math.abs(Number(text)) < 1e15);
  fc.assert(fc.property(number, check), { numRuns: 2000 * RUNS });
});

test('every double between a thousandth and a million, as JSON writes it, is within one of the last digit', () => {
  const number = fc.double({ min: 0.001, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(number, value => {
      const shown = Number(humanized(JSON.stringify(value)).humanizePercentage!.replace('%', ''));
      assert.ok(Math.abs(shown - value * 100) <= Math.abs(value) * 0.0501, `${value}: ${shown}`);
    }),
    { numRuns: 500 * RUNS },
  );
});
