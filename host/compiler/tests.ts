// The tests in a rule: records, and whether the rule must match them. Files of tests have their inputs and expectations in the
// same form (host/command/testing/tests-file.ts).
import { isAlias, isMap, isScalar, isSeq } from 'yaml';
import { formatCount, quote } from '../error.ts';
import { resolveAlias, spanOf, writtenAs } from './document.ts';
import type { Node } from './document.ts';
import type { RuleTest } from './model.ts';
import { fail, failType, readList, readMap, readName, readPairs, readText } from './reading.ts';
import type { Context, Entry, ReadMap } from './reading.ts';
import * as schema from './schema.ts';

export function readRuleTests(context: Context, entry: Entry | undefined): RuleTest[] | undefined {
  const items = readList(context, entry, 'tests', '"tests" has no tests');
  if (items && items.length > schema.TESTS_MAX) {
    const message = `${formatCount(items.length)} tests in a rule, ${formatCount(schema.TESTS_MAX)} allowed`;
    return fail(context, entry!.key, message, 'put them into a file for `earshot test`');
  }
  return items?.flatMap(item => readRuleTest(context, item) ?? []);
}

function readRuleTest(context: Context, node: Node): RuleTest | undefined {
  const map = readMap(context, node, 'a test', schema.RULE_TEST_KEYS);
  if (!map) return undefined;
  const record = readRecord(context, map, 'a test');
  const expect = readExpectation(context, map.get('expect'));
  const name = readName(context, map.get('name'));
  const labels = readValues(context, map.get('labels'));
  const annotations = readValues(context, map.get('annotations'));
  const wanted = map.get('labels') ?? map.get('annotations');
  if (expect === 'none' && wanted)
    fail(context, wanted.key, `"${wanted.name}" cannot be used with expect: none`, 'a record that does not match has none'); // prettier-ignore
  if (record === undefined || expect === undefined) return undefined;
  return {
    ...(name !== undefined && { name }),
    record,
    expect,
    labels: labels ?? {},
    annotations: annotations ?? {},
    span: map.span,
  };
}

function readExpectation(context: Context, entry: Entry | undefined): 'match' | 'none' | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  const value = isScalar(node) ? node.value : undefined;
  if (value === 'match' || value === 'none') return value;
  const hint = YES.has(value) ? 'write match' : NO.has(value) ? 'write none' : undefined;
  if (hint === undefined) return failType(context, node, '"expect"', 'expectation');
  return fail(context, node, `"expect" must be match or none, found ${String(value)}`, hint);
}

const YES = new Set<unknown>([true, 'yes', 'on', 'alert', 'matches']);
const NO = new Set<unknown>([null, false, 'no', 'off', 'no match', 'nothing', 'no_match']);

/** The JSON of a record: `log` is a line of text, `record` a map or JSON in a string. */
export function readRecord(context: Context, map: ReadMap, what: string): string | undefined {
  const [log, record] = [map.get('log'), map.get('record')];
  if (log && record) return fail(context, record.key, '"record" cannot be used with "log"', 'put the line into the record, as its field "log"'); // prettier-ignore
  if (log) {
    const line = readText(context, log.value, '"log"', schema.TEST_RECORD_SIZE_MAX);
    return line === undefined ? undefined : JSON.stringify({ log: line });
  }
  if (!record) {
    if (!map.wasMeant('log') && !map.wasMeant('record'))
      fail(context, map.place, `${what} has no record`, 'log: a line of text, or record: {…}');
    return undefined;
  }
  return record.value && readRecordNode(context, record.value);
}

function readRecordNode(context: Context, node: Node): string | undefined {
  if (isMap(node)) return jsonOf(context, node);
  if (!isScalar(node) || typeof node.value !== 'string') return failType(context, node, '"record"', 'record');
  const text = readText(context, node, '"record"', schema.TEST_RECORD_SIZE_MAX);
  if (text === undefined) return undefined;
  // A record that is not JSON is a record too: it must never match.
  return text;
}

/** YAML as JSON. Numbers keep all their digits. */
export function jsonOf(context: Context, node: Node | null): string | undefined {
  const target = node && isAlias(node) ? resolveAlias(context.document, node, context.report) : node;
  if (!target) return 'null';
  if (isSeq<Node | null>(target)) return `[${target.items.map(item => jsonOf(context, item)).join(',')}]`;
  if (isMap<Node, Node | null>(target)) {
    const pairs = target.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : '';
      return `${JSON.stringify(name)}:${jsonOf(context, value)}`;
    });
    return `{${pairs.join(',')}}`;
  }
  if (!isScalar(target)) return 'null';
  const { value } = target;
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'number') return JSON.stringify(value);
  const written = writtenAs(context.document, target);
  if (JSON_NUMBER.test(written)) return written;
  if (Number.isFinite(value)) return JSON.stringify(value);
  fail(context, target, `${quote(written)} is no number that JSON can hold`, 'put it in quotes');
  return 'null';
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

/** A map of names and strings; numbers and booleans are what they look like, as in a label. */
export function readValues(context: Context, entry: Entry | undefined): Record<string, string> | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  if (!isMap(node)) return failType(context, node, `"${entry.name}"`, 'values');
  const values: [string, string][] = [];
  for (const { name, value } of readPairs(context, node)) {
    if (!value) continue;
    if (!isScalar(value) || value.value === null) {
      fail(context, spanOf(context.document, value), `${quote(name)} must be a string`, 'put it in quotes');
      continue;
    }
    values.push([name, typeof value.value === 'string' ? value.value : writtenAs(context.document, value)]);
  }
  return Object.fromEntries(values);
}
