// The cases in tests/cases: a rules file, records, and what the module must answer. They go through the compiler
// and the built core. Each file is about one feature:
//
//   <rules: YAML>                       a rules file; rules without `groups:` are put into one group
//   ---
//   # name
//   <record, one line; more lines for more records>
//   ==> r1, r2                          the names of the alerts, in order; or
//   ==> r1 {"method":"GET"}             and labels or annotations of the first alert; null: it does not have this
//                                       one; or
//   ==> none | malformed | too large    no alert; or the answer of the module when it reads the whole record
//   ==> body                            and on the next line the body as it is written, byte for byte
//
// In a record `\xNN` is one byte, whatever it is; write the backslash of any other x twice.
// Records that expect names or answers have the time 0, those that expect a body 2023-11-14T22:13:20Z, unless they
// have a time of their own. A file may have several blocks of rules: a line `===` begins the next.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { ALERT, MALFORMED, NO_ALERT, TOO_LARGE } from '../host/matcher.ts';
import type { LoadedMatcher } from '../host/matcher.ts';
import { bodyText, loadRules } from './core.ts';
import type { Body } from './core.ts';

const FOLDER = new URL('cases/', import.meta.url);
const ANSWERS = new Map([
  ['none', NO_ALERT],
  ['malformed', MALFORMED],
  ['too large', TOO_LARGE],
]);

for (const file of readdirSync(FOLDER).sort()) {
  test(file.replace(/\.txt$/, ''), async t => {
    for (const block of readFileSync(new URL(file, FOLDER), 'utf8').split(/^===\n/m)) {
      const [rules, cases] = block.split(/^---\n/m);
      assert.ok(cases, `${file}: a block is rules, a line ---, and cases`);
      const matcher = await loadRules(asFile(rules!));
      for (const text of cases.split(/^# /m).slice(1)) {
        const [name, ...lines] = text.trimEnd().split('\n');
        await t.test(name, () => runCase(matcher, lines));
      }
    }
  });
}

function asFile(rules: string): string {
  if (/^groups:/m.test(rules)) return rules;
  return `groups:\n  - name: cases\n    rules:\n${rules.replace(/^(?=.)/gm, '      ')}`;
}

/** One or more records, then what each of them must give; and so on. */
function runCase(matcher: LoadedMatcher, lines: string[]): void {
  let records: Uint8Array[] = [];
  let checked = 0;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (!line.startsWith('==> ')) {
      if (line !== '') records.push(toBytes(line));
      continue;
    }
    if (checked > 0 && records.length === 0) assert.fail(`no record before ${line}`);
    const expected = line.slice(4);
    if (records.length === 0) records.push(new Uint8Array()); // an empty record
    for (const record of records) {
      if (expected === 'body') checkBody(matcher, record, lines[i + 1]!);
      else checkAnswer(matcher, record, expected);
    }
    if (expected === 'body') i++;
    checked++;
    records = [];
  }
  assert.ok(checked > 0 && records.length === 0, 'each record needs an expectation');
}

function toBytes(line: string): Uint8Array {
  return Buffer.from(
    Buffer.from(line)
      .toString('latin1')
      .replace(/\\x([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  );
}

function checkBody(matcher: LoadedMatcher, record: Uint8Array, expected: string): void {
  assert.equal(matcher.match(record, 1_700_000_000, 0), ALERT);
  assert.equal(bodyText(matcher), expected);
}

function checkAnswer(matcher: LoadedMatcher, record: Uint8Array, expected: string): void {
  const shown = Buffer.from(record).toString('latin1');
  if (ANSWERS.has(expected)) {
    assert.equal(matcher.matchWhole(record, 0, 0), ANSWERS.get(expected), shown);
    if (expected === 'none') assert.equal(matcher.match(record, 0, 0), NO_ALERT, shown);
    return;
  }
  const [, names, values] = /^(.*?)(?: (\{.*\}))?$/.exec(expected)!;
  // A record that is whole gives the same, whether it is read to its end or not.
  assert.equal(matcher.matchWhole(record, 0, 0), ALERT, shown);
  assert.equal(matcher.match(record, 0, 0), ALERT, shown);
  const { alerts } = JSON.parse(bodyText(matcher)) as Body;
  assert.equal(alerts.map(alert => alert.labels.alertname).join(', '), names, shown);
  for (const [name, value] of Object.entries(JSON.parse(values ?? '{}'))) {
    const alert: Record<string, unknown> = {
      ...alerts[0]!.annotations,
      ...alerts[0]!.labels,
      startsAt: alerts[0]!.startsAt,
    };
    assert.equal(alert[name] ?? null, value, `${name} of ${shown}`);
  }
}
