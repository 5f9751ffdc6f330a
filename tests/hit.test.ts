// Hits: matched in one module, counted in another, they give the alerts that the record gives where it is matched and
// counted at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hitId, hitKey } from '../host/hit.ts';
import {
  ALERT,
  HIT,
  LoadedMatcher,
  MALFORMED,
  MARKS,
  NO_ALERT,
  UNKNOWN_RULE,
  linesOf,
} from '../host/matcher.ts';
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

/** Counts and their functions, some before and some after what is cut; `or` around both. */
const PIPES = EXAMPLE.replace(
  /annotations:[^]*/,
  `annotations:
      message: '{{ $value | humanizePercentage }} {{ $captures.path | trim | toUpper }}: {{ $value }} {{ humanize $value | truncate 2 }}'
      escaped: '{{ $record.log | slackEscape }}{{ $value | humanizeDuration }}{{ $record.log | truncate 4000 }}{{ $value }}'
      chosen: '{{ $record.none | or $captures.path }} {{ $value }}{{ $value | default "x" | humanize1024 }}'
      counts: '{{ $value | humanizePercentage }} of {{ $labels.pod | toUpper }}'
`,
);

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

test('counting applies the functions of a count', async () => {
  const { matcher, counter } = await pair(PIPES);
  const record = '{"log":"/a&b 404","pod":"web"}';
  const alerts = [1, 2].flatMap(i =>
    hitsOf(matcher, record, 1_700_000_000 + i).flatMap(hit => counted(counter, hit)),
  );
  assert.deepEqual(
    alerts.map(({ annotations }) => annotations),
    [
      {
        message: '200% /A&B: 2 2',
        escaped: '/a&amp;b 4042s/a&b 4042',
        chosen: '/a&b 22',
        counts: '200% of WEB',
      },
    ],
  );
});

test('hits of one rule and one `by` have one key', async () => {
  const { matcher } = await pair(EXAMPLE);
  const keyOf = (pod: string, path: string) =>
    String(hitKey(hitsOf(matcher, JSON.stringify({ pod, log: `${path} 404` }))[0]!));
  assert.equal(keyOf('a', '/x'), keyOf('a', '/y'));
  assert.notEqual(keyOf('a', '/x'), keyOf('b', '/x'));
});

for (const [name, rules] of Object.entries({ EXAMPLE, PIPES }))
  test(`the alerts of hits are those of their records: ${name}`, async () => {
    const { matcher, counter, whole } = await pair(rules);
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ path: fc.string({ unit: 'binary' }), size: fc.constantFrom(0, 0, 4070, 4096, 9000) }),
        ),
        records => {
          whole.reset();
          counter.reset();
          for (const [i, { path, size }] of records.entries()) {
            const log = `/${path.replaceAll(' ', '')}${'&ä<'.repeat(size / 4)} 404`;
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

test('a record of a ratio is a hit for the whole or for the part, and only one for the part has annotations', async () => {
  const { matcher, counter } = await pair(`groups:
- name: g
  rules:
  - alert: Share
    match: {field: status, exists: true}
    ratio: {of: {field: status, gte: 500}, above: 30%, within: 5m, atLeast: 3}
    annotations: {message: '{{ $value }} of {{ $record.status }}'}
`);
  const hits = [200, 503, 503].flatMap(status => hitsOf(matcher, JSON.stringify({ status })));
  assert.deepEqual(
    hits.map(hit => JSON.parse(String(Buffer.from(hit)))).map(({ step, annotations }) => [step, annotations]),
    [
      [0, {}],
      [1, { message: ['', ' of 503'] }],
      [1, { message: ['', ' of 503'] }],
    ],
  );
  assert.deepEqual(
    hits.flatMap(hit => counted(counter, hit)).map(({ annotations }) => annotations),
    [{ message: '0.6666 of 503' }],
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

// ── Marks: what no hit says ─────────────────────────────────────────────────────────────────────────

const MARKED = `limits: {alertsPerSecond: 1}
groups:
- name: g
  rules:
  - {alert: No beat, match: {field: log, eq: beat}, absence: {for: 10m, by: [severity]}, realert: 0s, labels: {severity: critical, node: '{{ $record.node }}'}}
  - {alert: Flood, match: {field: log, eq: flood}, realert: 5m, labels: {pod: '{{ $record.pod }}'}}
`;
const START = 1_700_000_000;

/** What is due, and its marks. */
function dueAt(counter: LoadedMatcher, sec: number): { alerts: Alert[]; marks: Uint8Array[] } {
  const answer = counter.due(sec, 0);
  if (answer === NO_ALERT) return { alerts: [], marks: [] };
  const alerts = answer === ALERT ? (JSON.parse(bodyText(counter)) as Body).alerts : [];
  const marks = counter.marks();
  counter.told();
  return { alerts, marks };
}

/** A counter that knows no more than these marks. */
async function after(marks: Uint8Array[]): Promise<LoadedMatcher> {
  const { counter } = await pair(MARKED);
  for (const mark of marks) assert.equal(counter.count(mark, 'silent'), NO_ALERT);
  return counter;
}

test('a key that was never seen is waited for from the start of the counter', async () => {
  const { counter, matcher } = await pair(MARKED);
  assert.equal(counter.expect(1, START, 0), NO_ALERT, 'not of another rule');
  assert.equal(counter.expect(2, START, 0), NO_ALERT, 'not of a rule that there is not');
  assert.equal(counter.expect(0, START, 0), MARKS);
  const marks = counter.marks();
  counter.told();
  assert.match(
    String(Buffer.from(marks[0]!)),
    /^\{"earshot":1,"expected":"[0-9a-f]{16}","rule":"[0-9a-f]{16}","seen":"2023-11-14T22:13:20.000Z","alert":"No beat","labels":\{"alertname":"No beat","severity":"critical"\}\}$/,
  );
  assert.equal(counter.expect(0, START + 60, 0), NO_ALERT, 'it is waited for already');
  // A restart half way changes nothing.
  for (const one of [counter, await after(marks)]) {
    assert.equal(one.expect(0, START + 300, 0), NO_ALERT);
    assert.deepEqual(dueAt(one, START + 599).alerts, []);
    const [alert] = dueAt(one, START + 600).alerts;
    assert.equal(alert!.startsAt, '2023-11-14T22:23:20.000Z');
    const [end] = hitsOf(matcher, '{"log":"beat","node":"n1"}', START + 700).flatMap(hit =>
      counted(one, hit),
    );
    assert.equal(end!.status, 'resolved');
    assert.equal(end!.fingerprint, alert!.fingerprint);
  }
});

test('an absence that is told once is marked again before the look-back ends, and ends after a restart', async () => {
  const { counter, matcher } = await pair(MARKED);
  for (const hit of hitsOf(matcher, '{"log":"beat","node":"n1"}', START)) counted(counter, hit);
  let { alerts, marks } = dueAt(counter, START + 600);
  assert.equal(alerts.length, 1);
  for (let sec = START + 601; sec < START + 7200; sec += 60) {
    const next = dueAt(counter, sec);
    assert.deepEqual(next.alerts, [], 'it is told once');
    if (next.marks.length > 0) ({ marks } = next);
  }
  const restarted = await after(marks);
  assert.deepEqual(dueAt(restarted, START + 7200).alerts, []);
  const [end] = hitsOf(matcher, '{"log":"beat","node":"n1"}', START + 7201).flatMap(hit =>
    counted(restarted, hit),
  );
  assert.equal(end!.status, 'resolved');
  assert.equal(end!.startsAt, alerts[0]!.startsAt);
  assert.equal(end!.labels.node, 'n1');
});

test('what is suppressed, and what the rate cap reported, is known after a restart', async () => {
  const { counter, matcher } = await pair(MARKED);
  const floodOf = (pod: string, sec: number) =>
    hitsOf(matcher, JSON.stringify({ log: 'flood', pod }), sec).flatMap(hit => counted(counter, hit));
  assert.equal(floodOf('a', START).length, 1);
  assert.deepEqual(
    ['a', 'a', 'b', 'b', 'c'].flatMap(pod => floodOf(pod, START)),
    [],
  );
  assert.deepEqual(counter.capped(), [0, 3]);
  const report = dueAt(counter, START + 10);
  assert.deepEqual(
    report.alerts.map(({ labels, annotations }) => [labels.pod, annotations]),
    [['b', { suppressed_first: '{pod="b"}; {pod="c"}', suppressed_others: '2' }]],
  );
  const quiet = dueAt(counter, START + 600);
  assert.deepEqual(
    quiet.marks.map(mark => (JSON.parse(String(Buffer.from(mark))) as { count: number }).count),
    [2],
  );
  const restarted = await after([...report.marks, ...quiet.marks]);
  assert.deepEqual(dueAt(restarted, START + 20), { alerts: [], marks: quiet.marks });
  const next = (pod: string, sec: number) =>
    hitsOf(matcher, JSON.stringify({ log: 'flood', pod }), sec).flatMap(hit => counted(restarted, hit));
  assert.deepEqual(next('b', START + 200), [], 'the cool-down of the report lasts');
  assert.equal(next('a', START + 601)[0]!.annotations.suppressed, '2');
});

/** A counter of these rules takes the marks whole only, one of other rules not at all. */
async function refuses(rules: string, marks: Uint8Array[]): Promise<LoadedMatcher> {
  const { counter: fresh } = await pair(rules);
  const { counter: other } = await pair(rules.replaceAll('realert: ', 'realert: 1'));
  for (const mark of marks) {
    for (let size = 0; size < mark.length; size++)
      assert.equal(
        fresh.count(mark.subarray(0, size), 'silent'),
        MALFORMED,
        String(Buffer.from(mark.subarray(0, size))),
      );
    assert.equal(fresh.count(Buffer.concat([mark, Buffer.from(' ')]), 'silent'), MALFORMED);
    assert.equal(other.count(mark, 'silent'), UNKNOWN_RULE);
  }
  return fresh;
}

const RESOLVED = `groups:
- name: g
  rules:
  - {alert: Over, match: {field: log, eq: flood}, realert: 0s, resolveAfter: 10m, labels: {pod: '{{ $record.pod }}'}}
  - {alert: New, match: {field: log, eq: flood}, firstSeen: {for: 1h}, realert: 0s, labels: {pod: '{{ $record.pod }}'}}
`;

test('a mark of a trouble, of its end, or of what is learned counts only whole, and for its own rule', async () => {
  const { counter, matcher } = await pair(RESOLVED);
  counter.expect(1, START, 0);
  const marks = counter.marks();
  counter.told();
  for (const hit of hitsOf(matcher, '{"log":"flood","pod":"a"}', START)) counted(counter, hit);
  for (const sec of [1, 600, 600]) marks.push(...dueAt(counter, START + sec).marks);
  assert.deepEqual(
    marks.map(mark => Object.keys(JSON.parse(String(Buffer.from(mark))) as object)[1]),
    ['watched', 'firing', 'watched', 'resolved'],
  );
  await refuses(RESOLVED, marks);
});

test('a mark that is not whole, or is of another rule, does not count', async () => {
  const { counter, matcher } = await pair(MARKED);
  counter.expect(0, START, 0);
  const marks = counter.marks();
  counter.told();
  for (const sec of [0, 0])
    for (const hit of hitsOf(matcher, '{"log":"flood","pod":"a"}', START + sec)) counted(counter, hit);
  for (const hit of hitsOf(matcher, '{"log":"flood","pod":"b"}', START)) counted(counter, hit);
  // What is not reported is noted when what fell due is told.
  for (const sec of [15, 700, 700]) marks.push(...dueAt(counter, START + sec).marks);
  assert.deepEqual(
    marks.map(mark => Object.keys(JSON.parse(String(Buffer.from(mark))) as object)[1]),
    ['expected', 'reported', 'missing', 'suppressed'],
  );
  const fresh = await refuses(MARKED, marks);
  const huge = String(Buffer.from(marks[3]!)).replace(/"count":\d+/, '"count":18446744073709551616');
  assert.equal(fresh.count(Buffer.from(huge), 'silent'), MALFORMED);
});

// ── Sequences and samples ───────────────────────────────────────────────────────────────────────────

const STORY = `groups:
- name: g
  rules:
  - alert: Hangs
    sequence:
      steps: [{field: log, contains: start}, {unless: {field: log, contains: stop}}]
      within: 10m
      by: [job]
    samples: {text: '{{ $record.log }}'}
    realert: 1h
    labels: {job: '{{ $record.job }}', pod: '{{ $record.pod }}'}
    annotations: {message: '{{ $labels.job }}: {{ $samples }}'}
  - alert: Many
    match: {field: log, contains: fail}
    threshold: {count: 3, within: 1m, by: []}
    samples: {text: '{{ $record.log }}', first: 1, last: 1}
    realert: 0s
    annotations: {message: '{{ $record.pod }} {{ $value }} {{ $samples }} {{ $value }}'}
`;

test('a hit carries its sample, and an annotation takes samples and counts in their order', async () => {
  const { matcher, counter, whole } = await pair(STORY);
  const hitOf = (log: string) => hitsOf(matcher, JSON.stringify({ log, pod: 'p' }))[0]!;
  const text = Buffer.from(hitOf('fail "1"\n')).toString();
  assert.ok(text.endsWith('"annotations":{"message":["p "," "," ",""]},"sample":"fail \\"1\\""}'), text);
  assert.ok(!Buffer.from(hitOf('fail')).toString().includes('"sample":""'));
  const told = ['fail 1', 'fail 2', 'fail 3'].map(log => [
    counted(counter, hitOf(log)),
    atOnce(whole, JSON.stringify({ log, pod: 'p' })),
  ]);
  assert.deepEqual(told[2]![0], told[2]![1]);
  assert.equal(told[2]![0]![0]!.annotations.message, 'p 3 fail 1\n… (1 more)\nfail 3 3');
});

test('a hit of a step that its rule does not have, or with a sample that no rule keeps, is not counted', async () => {
  const { matcher, counter } = await pair(STORY);
  const [end] = hitsOf(matcher, '{"log":"stop","job":"a"}');
  assert.ok(!Buffer.from(end!).toString().includes('"sample"'), 'of an "unless" there is none');
  const [hit] = hitsOf(matcher, '{"log":"start","job":"a"}');
  const text = Buffer.from(hit!).toString();
  const altered = (from: string | RegExp, to: string) => Buffer.from(text.replace(from, to));
  assert.equal(counter.count(hit!, 'live'), NO_ALERT);
  for (const step of ['2', '01', '16', '99999999999', '-1', ''])
    assert.equal(
      counter.count(altered('"step":0', `"step":${step}`), 'live'),
      step === '01' ? NO_ALERT : MALFORMED,
      step,
    );
  for (const sample of [`"${'x'.repeat(257)}"`, '["a","b"]', 'null', '"', '"a"}', '"a","b":"c"'])
    assert.equal(counter.count(altered(/"sample":.*/, `"sample":${sample}}`), 'live'), MALFORMED, sample);
  assert.equal(counter.count(altered(/,"sample":.*/, '}'), 'live'), NO_ALERT, 'none is right');
});

test('hits that come long after their events end their sequence in time', async () => {
  const { matcher, counter } = await pair(STORY);
  const lateMs = (START + 7200) * 1000;
  const come = (log: string, sec: number) => {
    const [hit] = hitsOf(matcher, JSON.stringify({ log, job: 'a', pod: 'p' }), sec);
    const answer = counter.count(hit!, 'live', lateMs);
    if (answer !== ALERT) return [];
    const { alerts } = JSON.parse(bodyText(counter)) as Body;
    counter.told();
    return alerts.map(({ startsAt }) => startsAt);
  };
  assert.deepEqual(come('start', START), []);
  assert.deepEqual(come('start', START + 100), []);
  assert.deepEqual(come('stop', START + 200), []);
  assert.deepEqual(come('start', START + 1000), []);
  // This one says itself that the end did not come.
  assert.deepEqual(come('start', START + 1700), ['2023-11-14T22:40:00.000Z']);
  assert.deepEqual(come('stop', START + 1800), []);
  assert.deepEqual(dueAt(counter, START + 7200).alerts, []);
});

test('a sequence whose end does not come is told once, before and after a restart', async () => {
  const { matcher, counter } = await pair(STORY);
  const hit = (log: string, job: string, sec: number) =>
    hitsOf(matcher, JSON.stringify({ log, job, pod: `p-${job}` }), sec)[0]!;
  const starts = [hit('start', 'a', START), hit('start', 'b', START + 1)];
  for (const start of starts) assert.deepEqual(counted(counter, start), []);
  assert.deepEqual(dueAt(counter, START + 599).alerts, []);
  const first = dueAt(counter, START + 600);
  assert.deepEqual(
    first.alerts.map(({ labels, annotations, startsAt }) => [labels.pod, annotations, startsAt]),
    [['p-a', { message: 'a: start' }, '2023-11-14T22:23:20.000Z']],
  );
  assert.match(
    String(Buffer.from(first.marks[0]!)),
    /^\{"earshot":1,"overdue":"[0-9a-f]{16}","rule":"[0-9a-f]{16}","seen":"2023-11-14T22:13:20.000Z","told":"2023-11-14T22:23:20.000Z","alert":"Hangs","labels":\{"alertname":"Hangs","job":"a","pod":"p-a"\}\}$/,
  );
  // Job a begins again within its cool-down: that is suppressed, and the mark says so, without "told".
  const again = hit('start', 'a', START + 700);
  assert.deepEqual(counted(counter, again), []);
  const second = dueAt(counter, START + 700);
  assert.deepEqual(second.alerts.map(({ labels }) => labels.job), ['b']); // prettier-ignore
  const third = dueAt(counter, START + 1300);
  assert.deepEqual(third.alerts, []);
  assert.ok(!String(Buffer.from(third.marks[0]!)).includes('told'));
  // Who reads the hits and marks again knows all of it.
  const { counter: restarted } = await pair(STORY);
  const silently = (one: Uint8Array) => assert.equal(restarted.count(one, 'silent'), NO_ALERT);
  [...starts, ...first.marks, again, ...second.marks, ...third.marks].forEach(silently);
  for (const one of [counter, restarted]) {
    assert.deepEqual(dueAt(one, START + 3000).alerts, []);
    assert.deepEqual(counted(one, hit('start', 'a', START + 4000)), []);
    const [alert] = dueAt(one, START + 4600).alerts;
    assert.deepEqual([alert!.labels.job, alert!.annotations.suppressed], ['a', '1']);
  }
  for (const mark of [first.marks[0]!, third.marks[0]!])
    for (let size = 0; size < mark.length; size++)
      assert.equal(restarted.count(mark.subarray(0, size), 'silent'), MALFORMED);
});
