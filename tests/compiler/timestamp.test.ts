// `timestamp` of a rules file: what it may say, and that a time is read back in the form in which it was written.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRules, parseSources } from '../../host/compiler/rules.ts';
import type { TimeField } from '../../host/compiler/model.ts';
import type { Problem } from '../../host/error.ts';
import { ALERT } from '../../host/matcher.ts';
import { bodyText, loadRules } from '../core.ts';
import type { Body } from '../core.ts';

const RULES = `groups:
  - name: g
    rules: [{alert: a, match: {field: log, contains: xyz}, annotations: {message: m}, realert: 0s}]
`;
const file = (timestamp: string) => `timestamp: ${timestamp}\n${RULES}`;

function read(timestamp: string): { times: TimeField[]; told: string[] } {
  const told: string[] = [];
  const { times } = parseRules(file(timestamp), ({ message, hint }) =>
    told.push(hint === undefined ? message : `${message}; ${hint}`),
  );
  return { times, told };
}

const NO_YEAR =
  'a time without its year, as in syslog, is not known: let Fluent Bit parse it, or send it as RFC 5424';
const FORMS =
  "write rfc3339, epoch, or a format of %Y %m %b %d %e %H %M %S %f %L %z %a, such as '%d/%b/%Y:%H:%M:%S %z'";

test('what the compiler is given', () => {
  const cases: [timestamp: string, format: string][] = [
    ['{field: t}', 'any'],
    ['{field: t, format: rfc3339}', 'rfc3339'],
    ['{field: t, format: epoch}', 'epoch'],
    ["{field: t, format: '%d/%b/%Y:%H:%M:%S %z'}", '%d/%b/%Y:%H:%M:%S %z'],
    ["{field: t, format: '%F %T.%L'}", '%Y-%m-%d %H:%M:%S.%f'],
    ["{field: t, format: '%e %b %Y'}", '%d %b %Y'],
  ];
  for (const [timestamp, format] of cases)
    assert.deepEqual(read(timestamp), { times: [{ field: ['t'], format }], told: [] }, timestamp);
});

test('mistakes, with the way out', () => {
  const cases: [timestamp: string, told: string][] = [
    ['time', '"timestamp" must be a map, found the string "time"'],
    ['{}', 'missing key "field" in "timestamp"; field: The field that holds the time of a record.'],
    ['{field: $.time}', 'a field path starts at the record; write time'],
    ['{field: t, formt: epoch}', 'unknown key "formt"; did you mean "format"?'],
    ['{key: t}', 'unknown key "key"; use "field"'],
    ['{field: t, zone: UTC}', 'unknown key "zone"; a time without an offset is UTC: let Fluent Bit parse one of another zone'],
    ['{field: t, format: 5}', '"format" must be a string, found the number 5; put it in quotes: \'5\''],
    ['{field: t, format: iso8601}', 'unknown time format "iso8601"; write rfc3339'],
    ['{field: t, format: unix_ms}', 'unknown time format "unix_ms"; write epoch: the unit is seen from the size of the number'],
    ['{field: t, format: apache}', `unknown time format "apache"; write '%d/%b/%Y:%H:%M:%S %z'`],
    ['{field: t, format: syslog}', `unknown time format "syslog"; ${NO_YEAR}`],
    ['{field: t, format: rfc3336}', 'unknown time format "rfc3336"; write rfc3339'],
    ['{field: t, format: whatever}', `unknown time format "whatever"; ${FORMS}`],
    ["{field: t, format: '2006-01-02T15:04:05Z07:00'}", `unknown time format "2006-01-02T15:04:05Z07:00"; formats are those of strptime: ${FORMS}`],
    ["{field: t, format: 'yyyy-MM-dd'}", `unknown time format "yyyy-MM-dd"; formats are those of strptime: ${FORMS}`],
    ["{field: t, format: '%b %e %H:%M:%S'}", `the time format has no %Y; ${NO_YEAR}`],
    ["{field: t, format: '%Y %d'}", 'the time format has no %m or %b'],
    ["{field: t, format: '%Y-%m'}", 'the time format has no %d or %e'],
    ["{field: t, format: '%s'}", 'unknown "%s" in a time format; for seconds since 1970 write epoch'],
    ["{field: t, format: '%F %T %Z'}", 'unknown "%Z" in a time format; names of time zones are ambiguous: write %z for an offset such as +0100, or leave it out for UTC'],
    ["{field: t, format: '%y-%m-%d'}", `unknown "%y" in a time format; ${NO_YEAR}`],
    ["{field: t, format: '%Y-%m-%d %p'}", `unknown "%p" in a time format; ${FORMS}`],
    ["{field: t, format: '%Y-%m-%d %'}", `unknown "%" in a time format; ${FORMS}`],
    ["{field: t, format: '%Y-%m-%d %Y'}", '%Y is there twice'],
    ["{field: t, format: '%Y-%m-%d %z %H'}", '%z must come last; let Fluent Bit parse such a time'],
    ["{field: t, format: '%Y年%m%d'}", 'a time format is ASCII'],
  ]; // prettier-ignore
  for (const [timestamp, told] of cases) assert.deepEqual(read(timestamp).told, [told], timestamp);
});

test('in several files it is the same, or an error that names both', () => {
  const problems: Problem[] = [];
  const groups = (name: string) => RULES.replace('name: g', `name: ${name}`);
  const texts = [file('{field: t}').replace('name: g', 'name: b'), groups('c'), `# x\ntimestamp: {field: t}\n${groups('d')}`]; // prettier-ignore
  const read = (last: string) => {
    let start = 0;
    const sources = [...texts, last].map((text, i) => {
      const source = { path: `${i}.yaml`, text, start };
      start += text.length + 1;
      return source;
    });
    return parseSources(sources, problem => problems.push(problem)).times;
  };
  assert.deepEqual(read(groups('e')), [{ field: ['t'], format: 'any' }]);
  assert.deepEqual(problems, []);
  read(`timestamp: {field: u}\n${groups('e')}`);
  assert.deepEqual(
    problems.map(({ message }) => message),
    ['"timestamp" differs from that in 0.yaml:1'],
  );
});

test('a time is read as it was written', async () => {
  const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
  const days = 'Sun Mon Tue Wed Thu Fri Sat'.split(' ');
  const two = (number: number) => String(number).padStart(2, '0');
  const write = (format: string, ms: number, minutes: number) => {
    const date = new Date(ms + minutes * 60_000);
    const zone = `${minutes < 0 ? '-' : '+'}${two(Math.floor(Math.abs(minutes) / 60))}${two(Math.abs(minutes) % 60)}`;
    const parts: Record<string, string> = {
      '%Y': String(date.getUTCFullYear()).padStart(4, '0'),
      '%m': two(date.getUTCMonth() + 1),
      '%b': months[date.getUTCMonth()]!,
      '%d': two(date.getUTCDate()),
      '%e': String(date.getUTCDate()).padStart(2),
      '%a': days[date.getUTCDay()]!,
      '%H': two(date.getUTCHours()),
      '%M': two(date.getUTCMinutes()),
      '%S': two(date.getUTCSeconds()),
      '%L': String(date.getUTCMilliseconds()).padStart(3, '0'),
      '%z': zone,
    };
    return format.replace(/%./g, directive => parts[directive]!);
  };
  for (const format of [
    '%d/%b/%Y:%H:%M:%S.%L %z',
    '%a %b %e %H:%M:%S.%L %Y',
    '%Y%m%d%H%M%S.%L',
    '%L|%S|%M|%H|%e|%m|%Y%z',
  ]) {
    const matcher = await loadRules(file(`{field: t, format: '${format}'}`));
    const property = fc.property(
      fc.integer({ min: Date.parse('0002-01-01'), max: Date.parse('9998-12-31') }),
      fc.integer({ min: -14 * 60, max: 14 * 60 }),
      (ms, minutes) => {
        const t = write(format, ms, format.includes('%z') ? minutes : 0);
        assert.equal(matcher.match(Buffer.from(JSON.stringify({ log: 'xyz', t })), 0, 0), ALERT);
        const [alert] = (JSON.parse(bodyText(matcher)) as Body).alerts;
        assert.equal(alert!.startsAt, new Date(ms).toISOString(), t);
        assert.equal(matcher.timeFault(), undefined);
      },
    );
    fc.assert(property);
  }
});

test('a record that matched says why it has no time', async () => {
  const fault = (rules: string, record: object) =>
    loadRules(rules).then(matcher => {
      matcher.match(Buffer.from(JSON.stringify({ log: 'xyz', ...record })), 0, 0);
      const fault = matcher.timeFault();
      return typeof fault === 'number' ? matcher.info.timePaths[fault] : fault;
    });
  assert.equal(await fault(RULES, {}), 'missing');
  assert.equal(await fault(RULES, { time: '2026-03-02T10:00:00Z' }), undefined);
  assert.deepEqual(await fault(RULES, { '@timestamp': null }), ['@timestamp']);
  assert.deepEqual(await fault(RULES, { '@timestamp': '', time: 35 }), ['@timestamp']);
  assert.deepEqual(await fault(RULES, { time: 35 }), ['time']);
  assert.equal(await fault(file('{field: a.b}'), { '@timestamp': 1 }), 'missing');
  assert.deepEqual(await fault(file('{field: a.b}'), { a: { b: 'x' } }), ['a', 'b']);
});

test('what a group or a rule parses is not for the time of the file', () => {
  const { times } = parseRules(
    `timestamp: {field: app.time}
groups: [{name: g, parse: {app: json}, rules: [{alert: a, parse: {app: json}, match: {field: app.level, eq: x}}]}]`,
    problem => assert.notEqual(problem.severity, 'error', problem.message),
  );
  assert.deepEqual(times, [{ field: ['app', 'time'], format: 'any' }]);
});
