// What must be told, computed from the records alone, and what is wrong with what was told. Pure functions.
//
// Records come in rounds: all of one round are counted before the next one begins. Within a round they come in any
// order, because the producer has no key and the topic has many partitions. So a load is of use only when every order
// gives the same alerts: `expectedAlerts` tries several, and throws when they differ.

import type { Alert } from '../sink/notification-manager.ts';

/** A record. `kind` chooses the rule, `key` is the namespace. */
export interface Sent {
  id: string;
  kind: string;
  key: string;
  round: number;
  timeMs: number;
}

export interface Rule {
  alert: string;
  kind: string;
  /** Undefined: every match may be told. */
  threshold?: { count: number; withinMs: number };
  realertMs: number;
}

/** An alert that the sink accepted. */
export interface Delivery {
  /** The process that posted it. */
  by: string;
  atMs: number;
  /** The alert, byte for byte. */
  text: string;
}

export interface Verdict {
  expected: number;
  /** Alerts that should have been told, and were not. */
  lost: string[];
  /** Alerts that should not have been told. */
  wrong: string[];
  /** How many came again, byte for byte. */
  twice: number;
  /** Those that were posted before by a process that was never killed. */
  unexplained: { by: string; again: Delivery }[];
}

/** The rules file of the rules: an alert names the record that completed it. */
export function rulesFile(rules: Rule[], limits = ''): string {
  const seconds = (ms: number) => `${ms / 1000}s`;
  const texts = rules.map(
    ({ alert, kind, threshold, realertMs }) => `
  - alert: ${alert}
    match: {field: kind, eq: ${kind}}
    ${threshold ? `threshold: {count: ${threshold.count}, within: ${seconds(threshold.withinMs)}, by: [namespace]}` : ''}
    realert: ${seconds(realertMs)}
    labels: {namespace: '{{ $record.key }}'}
    annotations: {record: '{{ $record.id }}', value: '{{ $value }}'}`,
  );
  return `${limits}\ngroups:\n- name: cluster\n  rules:${texts.join('')}\n`;
}

/** An alert that the records must give. */
interface Expected {
  words: string;
  suppressed: number;
}

/** The alerts that the records must give, sorted. */
export function expectedAlerts(records: Sent[], rules: Rule[]): Expected[] {
  const orders = [
    records,
    records.toReversed(),
    records.toSorted((a, b) => (hash(a.id) < hash(b.id) ? -1 : 1)),
  ];
  const answers = orders.map(order => alertsOf(byRound(order), rules));
  const inWords = answers.map(answer =>
    answer.map(({ words, suppressed }) => `${words}, ${suppressed}`).join(),
  );
  if (new Set(inWords).size > 1) throw new Error('this load is told differently in another order');
  return answers[0]!;
}

function alertsOf(records: Sent[], rules: Rule[]): Expected[] {
  return rules
    .flatMap(rule => {
      const own = records.filter(({ kind }) => kind === rule.kind);
      return [...groupBy(own, ({ key }) => key).values()].flatMap(some => alertsOfKey(some, rule));
    })
    .sort((a, b) => (a.words < b.words ? -1 : 1));
}

/** The naive counter: it keeps every time. */
function alertsOfKey(records: Sent[], rule: Rule): Expected[] {
  const { threshold, realertMs } = rule;
  const alerts: Expected[] = [];
  const times: number[] = [];
  const told: number[] = [];
  let suppressed = 0;
  for (const { key, round, timeMs } of records) {
    times.push(timeMs);
    let value = 1;
    if (threshold) {
      const end = Math.max(...times.filter(time => time <= timeMs + threshold.withinMs));
      value = times.filter(time => time <= end && time >= end - threshold.withinMs).length;
      if (value < threshold.count) continue;
    }
    if (told.some(time => Math.abs(time - timeMs) < realertMs)) {
      suppressed++;
      continue;
    }
    told.push(timeMs);
    alerts.push({
      words: inWords(rule, key, round, value),
      suppressed,
    });
    suppressed = 0;
  }
  return alerts;
}

/** The counter is exact up to twice the count of a threshold. */
function inWords(rule: Rule, key: string, round: number, value: number): string {
  const exact = 2 * (rule.threshold?.count ?? 1);
  return `${rule.alert} of ${key} in round ${round}: ${value >= exact ? `${exact} or more` : value}`;
}

/** Compares what the sink accepted with what the records must give. `killed`: when a process was killed. */
export function judge(
  records: Sent[],
  rules: Rule[],
  deliveries: Delivery[],
  killed: ReadonlyMap<string, number>,
): Verdict {
  const expected = expectedAlerts(records, rules);
  const sent = new Map(records.map(record => [record.id, record]));
  const byText = groupBy(deliveries, ({ text }) => text);
  const told = [...byText.keys()].map(text => read(text, sent, rules));
  // A post of a process that was killed can be read here after the kill.
  const unexplained = [...byText.values()].flatMap(([first, ...again]) =>
    again.flatMap((delivery, index) => {
      const { by } = index === 0 ? first! : again[index - 1]!;
      return killed.has(by) ? [] : [{ by, again: delivery }];
    }),
  );
  const words = (alerts: { words: string }[]) => alerts.map(alert => alert.words);
  const suppressedBy = new Map(told.map(alert => [alert.words, alert.suppressed]));
  const miscounted = expected.flatMap(({ words, suppressed }) => {
    const count = suppressedBy.get(words) ?? suppressed;
    return count === suppressed ? [] : [`${words}, ${count} suppressed, and not ${suppressed}`];
  });
  return {
    expected: expected.length,
    lost: without(words(expected), words(told)),
    wrong: [...without(words(told), words(expected)), ...miscounted],
    twice: deliveries.length - byText.size,
    unexplained,
  };
}

/** An alert in the words of `expectedAlerts`. One that no record can have given reads as it is. */
function read(text: string, sent: Map<string, Sent>, rules: Rule[]): { words: string; suppressed: number } {
  const { labels, annotations, startsAt, status } = JSON.parse(text) as Alert;
  const rule = rules.find(({ alert }) => alert === labels.alertname);
  const record = sent.get(annotations.record ?? '');
  const isOfRecord =
    record &&
    rule &&
    status === 'firing' &&
    record.kind === rule.kind &&
    record.key === labels.namespace &&
    record.timeMs === Date.parse(startsAt) &&
    annotations.suppressed_others === undefined;
  const { value, suppressed = 0 } = annotations;
  const words = isOfRecord ? inWords(rule, record.key, record.round, Number(value)) : text;
  return { words, suppressed: Number(suppressed) };
}

/** A multiset without another. */
function without(all: string[], others: string[]): string[] {
  const counts = new Map<string, number>();
  for (const other of others) counts.set(other, (counts.get(other) ?? 0) + 1);
  return all.filter(one => {
    const count = counts.get(one) ?? 0;
    counts.set(one, count - 1);
    return count <= 0;
  });
}

export function groupBy<T>(all: T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(keyOf(one));
    if (group) group.push(one);
    else groups.set(keyOf(one), [one]);
  }
  return groups;
}

function byRound(records: Sent[]): Sent[] {
  return records.toSorted((a, b) => a.round - b.round);
}

function hash(text: string): number {
  let sum = 0;
  for (const character of text) sum = (Math.imul(sum, 31) + character.charCodeAt(0)) | 0;
  return Math.imul(sum, 0x9e3779b1) >>> 8;
}
