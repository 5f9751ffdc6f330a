// Makes a disagreement small enough to read: fewer rules, smaller conditions, a shorter record, as long as
// module and oracle still disagree. Each attempt compiles anew, so their number is bounded.
import type { Json } from './json.ts';
import { readRecord } from './json.ts';
import type { Finding } from './match.ts';
import { loadSet } from './match.ts';
import type { Condition, Rule } from './model.ts';

const ATTEMPTS_MAX = 600;
const TIME_MAX_MS = 30_000;

export async function shrink(start: Finding): Promise<Finding> {
  const { check } = start;
  if (check === null) return start;
  const deadline = Date.now() + TIME_MAX_MS;
  let best = start;
  let attemptsLeft = ATTEMPTS_MAX;
  const attempt = async (rules: Rule[], record: Uint8Array): Promise<boolean> => {
    if (attemptsLeft-- <= 0 || Date.now() > deadline) return false;
    const set = await loadSet(rules);
    if (typeof set === 'string' || set.rules.length !== rules.length) return false;
    const what = check(set.matcher, rules, record);
    if (what !== null) best = { rules, record, what, check };
    return what !== null;
  };
  const tryEach = async <T>(options: T[], toCase: (option: T) => [Rule[], Uint8Array]): Promise<boolean> => {
    for (const option of options) if (await attempt(...toCase(option))) return true;
    return false;
  };

  for (let size = best.rules.length >> 1; size >= 1; size >>= 1) {
    for (let from = 0; from < best.rules.length && best.rules.length > 1;) {
      const rest = best.rules.toSpliced(from, size);
      if (rest.length === 0 || !(await attempt(rest, best.record))) from += size;
    }
  }
  while (await tryEach(smallerRules(best.rules), rules => [rules, best.record]));
  while (await tryEach(smallerRecords(best.record), record => [best.rules, record]));
  while (await tryEach(smallerRules(best.rules), rules => [rules, best.record]));
  return best;
}

/** Each with one thing less. */
function smallerRules(rules: Rule[]): Rule[][] {
  return rules.flatMap((rule, index) => smallerRule(rule).map(smaller => rules.with(index, smaller)));
}

function smallerRule(rule: Rule): Rule[] {
  const without = (kind: 'labels' | 'annotations') =>
    Object.keys(rule[kind]).flatMap(name => {
      const others = Object.fromEntries(Object.entries(rule[kind]).filter(([key]) => key !== name));
      const parts = rule[kind][name]!;
      const shorter =
        parts.length > 1 ? parts.map((_, i) => ({ ...rule[kind], [name]: parts.toSpliced(i, 1) })) : [];
      return [others, ...shorter].map(templates => ({ ...rule, [kind]: templates }));
    });
  return [
    ...smallerConditions(rule.match).map(match => ({ ...rule, match })),
    ...without('labels'),
    ...without('annotations'),
  ];
}

function smallerConditions(condition: Condition): Condition[] {
  if (condition.kind === 'not') {
    return [condition.of, ...smallerConditions(condition.of).map(of => ({ kind: 'not' as const, of }))];
  }
  if (condition.kind === 'test') {
    const { test } = condition;
    if (test.op !== 'in' || test.values.length === 1) return [];
    return test.values.map((_, i) => ({
      ...condition,
      test: { ...test, values: test.values.toSpliced(i, 1) },
    }));
  }
  const { kind, of } = condition;
  return [
    ...of,
    ...(of.length > 1 ? of.map((_, i) => ({ kind, of: of.toSpliced(i, 1) })) : []),
    ...of.flatMap((child, i) => smallerConditions(child).map(smaller => ({ kind, of: of.with(i, smaller) }))),
  ];
}

/** A record that is whole loses a member or an item; one that is malformed loses bytes. */
function smallerRecords(record: Uint8Array): Uint8Array[] {
  const json = readRecord(record);
  const cuts: Array<[start: number, end: number]> =
    json === null ? byteCuts(record.length) : cutsOf(json, record);
  return cuts.map(([start, end]) => Buffer.concat([record.subarray(0, start), record.subarray(end)]));
}

function byteCuts(size: number): Array<[number, number]> {
  const cuts: Array<[number, number]> = [];
  for (let length = size >> 1; length >= 1; length >>= 1)
    for (let start = 0; start < size; start += length) cuts.push([start, Math.min(size, start + length)]);
  return cuts;
}

function cutsOf(json: Json, record: Uint8Array): Array<[number, number]> {
  const children = [
    ...json.members.map(({ start, value }) => ({ start, value })),
    ...json.items.map(value => ({ start: value.start, value })),
  ];
  const own = children.map(({ start, value }): [number, number] => withComma(record, start, value.end));
  const text: Array<[number, number]> = json.kind === 'string' ? textCuts(json) : [];
  return [...own, ...text, ...children.flatMap(({ value }) => cutsOf(value, record))];
}

function withComma(record: Uint8Array, start: number, end: number): [number, number] {
  const isSpaceOrComma = (at: number) => ' \t\r\n,'.includes(String.fromCharCode(record[at] ?? 0x78));
  let last = end;
  while (isSpaceOrComma(last)) last++;
  if (last > end && Buffer.from(record.subarray(end, last)).includes(',')) return [start, last];
  let first = start;
  while (isSpaceOrComma(first - 1)) first--;
  return [first, end];
}

function textCuts({ start, end }: Json): Array<[number, number]> {
  const size = end - start - 2;
  return byteCuts(size).map(([from, to]) => [start + 1 + from, start + 1 + to]);
}
