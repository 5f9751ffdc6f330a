// Hits: matched in one module, counted in another, they give the alerts that the record gives where it is matched and
// counted at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hitId, hitKey } from '../host/hit.ts';
import { ALERT, HIT, LoadedMatcher, MALFORMED, NO_ALERT, UNKNOWN_RULE, linesOf } from '../host/matcher.ts';
import { bodyText, load, compile } from './core.ts';
import type { Alert, Body } from './core.ts';

const SOURCE = 'logs/3/12345/1629856405480/0';

async function pair(
  rules: string,
): Promise<{ matcher: LoadedMatcher; counter: LoadedMatcher; whole: LoadedMatcher }> {
  const { bytes } = compile(rules);
  return { matcher: await load(bytes), counter: await load(bytes), whole: await load(bytes) };
}

function hitsOf(matcher: LoadedMatcher, record: string, sec = 1_700_000_000): Uint8Array[] {
  const answer = matcher.find(Buffer.from(record), sec, 0);
  if (answer === NO_ALERT) return [];
  assert.equal(answer, HIT);
  return linesOf(matcher.hits(SOURCE)!);
}

function counted(counter: LoadedMatcher, hit: Uint8Array): Alert[] {
  const answer = counter.count(hit, 'live');
  if (answer === NO_ALERT) return [];
  assert.equal(answer, ALERT, Buffer.from(hit).toString());
  const { alerts } = JSON.parse(bodyText(counter)) as Body;
  counter.told();
  return alerts;
}

function atOnce(whole: LoadedMatcher, record: string, sec = 1_700_000_000): Alert[] {
  return whole.match(Buffer.from(record), sec, 0) === ALERT
    ? (JSON.parse(bodyText(whole)) as Body).alerts
    : [];
}

const EXAMPLE = `groups:
- name: g
  rules:
  - alert: 404 Request
    match: {field: log, regex: '(?P<path>/[^ ]*) 404'}
    threshold: {count: 2, within: 1m, by: [pod]}
    labels: {pod: '{{ $record.pod }}', severity: warning}
    annotations:
      message: '{{ $captures.path }}: {{ $value }} times, {{ $value }}!'
      summary: 'from {{ $labels.pod }}, {{ $value }} times'
`;

test('a hit is one JSON object, and layout.ts draws it', async () => {
  const { matcher } = await pair(EXAMPLE);
  const [hit, ...others] = hitsOf(matcher, '{"log":"/a\\"b 404","pod":"web-1"}');
  assert.deepEqual(others, []);
  const text = Buffer.from(hit!).toString();
  const { rule } = JSON.parse(text) as { rule: string };
  assert.match(rule, /^[0-9a-f]{16}$/);
  assert.equal(
    text,
    `{"earshot":1,"key":"${hitKey(hit!)}","id":"${SOURCE}/${rule}/0","rule":"${rule}","step":0,` +
      '"time":"2023-11-14T22:13:20.000Z","alert":"404 Request",' +
      '"labels":{"alertname":"404 Request","pod":"web-1","severity":"warning"},' +
      '"annotations":{"message":["/a\\"b: "," times, ","!"]}}',
  );
  assert.equal(hitId(hit!), `${SOURCE}/${rule}/0`);
});

test('hits of one rule and one `by` have one key', async () => {
  const { matcher } = await pair(EXAMPLE);
  const keyOf = (pod: string, path: string) =>
    String(hitKey(hitsOf(matcher, JSON.stringify({ pod, log: `${path} 404` }))[0]!));
  assert.equal(keyOf('a', '/x'), keyOf('a', '/y'));
  assert.notEqual(keyOf('a', '/x'), keyOf('b', '/x'));
});

test('the alerts of hits are those of their records', async () => {
  const { matcher, counter, whole } = await pair(EXAMPLE);
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ path: fc.string({ unit: 'binary' }), size: fc.constantFrom(0, 0, 4070, 4096, 9000) }),
      ),
      records => {
        whole.reset();
        counter.reset();
        for (const [i, { path, size }] of records.entries()) {
          const log = `/${path.replaceAll(' ', '')}${'ä'.repeat(size / 2)} 404`;
          const record = JSON.stringify({ log, pod: `p${i % 2}` });
          const alerts = hitsOf(matcher, record, 1_700_000_000 + i * 20).flatMap(hit =>
            counted(counter, hit),
          );
          assert.deepEqual(alerts, atOnce(whole, record, 1_700_000_000 + i * 20));
        }
      },
    ),
  );
});

test('a hit that is not whole, or is of another rule, is not counted', async () => {
  const { matcher, counter } = await pair(EXAMPLE);
  const [hit] = hitsOf(matcher, '{"log":"/é 404","pod":"web-1"}');
  for (let size = 0; size < hit!.length; size++)
    assert.equal(counter.count(hit!.subarray(0, size), 'live'), MALFORMED, `${size} bytes`);
  assert.equal(counter.count(Buffer.concat([hit!, Buffer.from(' ')]), 'live'), MALFORMED);
  const other = await pair(EXAMPLE.replace('1m', '2m'));
  assert.equal(other.counter.count(hit!, 'live'), UNKNOWN_RULE);
});

test('a rule keeps its fingerprint when others come, go or move', async () => {
  const ruleOf = async (rules: string) => {
    const [hit] = hitsOf((await pair(rules)).matcher, '{"log":"/a 404","pod":"web-1"}');
    return (JSON.parse(Buffer.from(hit!).toString()) as { rule: string }).rule;
  };
  const other = '  - {alert: Other, match: {field: log, eq: x}}\n';
  assert.equal(
    await ruleOf(EXAMPLE),
    await ruleOf(EXAMPLE.replace('  - alert: 404', `${other}  - alert: 404`)),
  );
  assert.notEqual(await ruleOf(EXAMPLE), await ruleOf(EXAMPLE.replace('404 Request', 'Other name')));
});

test('what carries a hit may write its strings anew', async () => {
  const { matcher, counter } = await pair(EXAMPLE.replace('count: 2', 'count: 1'));
  const [hit] = hitsOf(matcher, '{"log":"/<é💳&> 404","pod":"web-1"}');
  const escaped = Buffer.from(hit!)
    .toString()
    .replace(/[^\x20-\x7e]/g, letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const [alert] = counted(counter, Buffer.from(escaped));
  assert.equal(alert!.annotations.message, '/<é💳&>: 1 times, 1!');
});
