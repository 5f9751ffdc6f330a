// Compares the alerts that there are with those that there must be, and shows both side by side.
import type { SentAlert } from './simulate.ts';
import type { ExpectedAlert } from './tests-file.ts';

/** What Earshot adds by itself is compared only when it is named. */
const OWN_LABELS = ['alertname', 'rule_level'];
const OWN_ANNOTATIONS = /^suppressed(?:_first|_others)?$/;

export interface Comparison {
  isEqual: boolean;
  /** Expected and not there; there and not expected. */
  missing: ExpectedAlert[];
  extra: SentAlert[];
}

/** Pairs equal alerts; the order does not count. */
export function compare(expected: ExpectedAlert[], got: SentAlert[]): Comparison {
  const extra = [...got];
  // The stricter ones first: `{}` would take an alert that only another one can have.
  const ordered = [...expected].sort((a, b) => strictness(b) - strictness(a));
  const missing = ordered.filter(wanted => {
    const at = extra.findIndex(alert => isMet(wanted, alert));
    if (at >= 0) extra.splice(at, 1);
    return at < 0;
  });
  return {
    isEqual: missing.length === 0 && extra.length === 0,
    missing: expected.filter(wanted => missing.includes(wanted)),
    extra,
  };
}

function strictness({ labels, annotations }: ExpectedAlert): number {
  return (labels ? 1 : 0) + (annotations ? 1 : 0);
}

function isMet({ labels, annotations }: ExpectedAlert, alert: SentAlert): boolean {
  return (
    (labels === undefined || isSame(labels, alert.labels, name => OWN_LABELS.includes(name))) &&
    (annotations === undefined || isSame(annotations, alert.annotations, name => OWN_ANNOTATIONS.test(name)))
  );
}

function isSame(
  wanted: Record<string, string>,
  got: Record<string, string>,
  isOwn: (name: string) => boolean,
): boolean {
  const names = new Set([...Object.keys(wanted), ...Object.keys(got).filter(name => !isOwn(name))]);
  return [...names].every(name => wanted[name] === got[name]);
}

/** Two columns; lines that differ have a mark between them. */
export function sideBySide(expected: ExpectedAlert[], got: SentAlert[]): string[] {
  const left = expected.flatMap(({ labels, annotations }) => linesOf(labels, annotations));
  const right = got.flatMap(({ labels, annotations }) =>
    linesOf(
      without(labels, name => OWN_LABELS.includes(name)),
      annotations,
    ),
  );
  const [leftLines, rightLines] = aligned(
    left.length ? left : ['no alert'],
    right.length ? right : ['no alert'],
  );
  const width = Math.min(WIDTH_MAX, Math.max('expected'.length, ...leftLines.map(line => line.length)));
  const rows = leftLines.map((line, index) => {
    const other = rightLines[index]!;
    return `${line.padEnd(width)} ${line === other ? ' ' : '|'} ${other}`.trimEnd();
  });
  return [`${'expected'.padEnd(width)}   got`, ...rows];
}

const WIDTH_MAX = 70;

function linesOf(
  labels: Record<string, string> | undefined,
  annotations: Record<string, string> | undefined,
): string[] {
  const pairs = Object.entries(labels ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `  ${name}: ${oneLine(value)}`);
  const notes = Object.entries(annotations ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `  ${name}: ${oneLine(value)}`);
  return [
    'alert',
    ...(labels ? [' labels', ...pairs] : []),
    ...(annotations ? [' annotations', ...notes] : []),
  ];
}

function oneLine(value: string): string {
  return value.replaceAll('\n', '␊');
}

function without(values: Record<string, string>, isOwn: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !isOwn(name)));
}

/** Equal lines face each other: a longest common subsequence, as of `diff`. */
function aligned(left: string[], right: string[]): [string[], string[]] {
  const lengths = left.map(() => new Array<number>(right.length + 1).fill(0));
  lengths.push(new Array<number>(right.length + 1).fill(0));
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--)
      lengths[i]![j] =
        left[i] === right[j]
          ? lengths[i + 1]![j + 1]! + 1
          : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
  const rows: [string, string][] = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) rows.push([left[i++]!, right[j++]!]);
    else if (i < left.length && j < right.length && keyOf(left[i]!) === keyOf(right[j]!))
      rows.push([left[i++]!, right[j++]!]);
    else if (j >= right.length || (i < left.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!))
      rows.push([left[i++]!, '']);
    else rows.push(['', right[j++]!]);
  }
  return [rows.map(([one]) => one), rows.map(([, other]) => other)];
}

function keyOf(line: string): string {
  return line.split(':')[0]!;
}
