// Rules as the fuzzer thinks of them, and how they are written as YAML. The oracle judges these, not what the
// compiler's parser made of the file, so that a fault of the parser shows too.

/** Null is every item of an array. */
export type Path = readonly (string | number | null)[];

/** What a test looks at. */
export type Subject = Path | 'anyField' | { capture: string };

/** A value of `eq` or `in`. A number is kept as it is written. */
export type Value = { kind: 'string'; text: string } | { kind: 'number' | 'word'; text: string };

export type Test =
  | { op: 'exists'; value: boolean }
  | { op: 'eq'; value: Value; ignoreCase: boolean }
  | { op: 'in'; values: Value[]; ignoreCase: boolean }
  | { op: 'contains' | 'containsAll' | 'startsWith' | 'endsWith'; texts: string[]; ignoreCase: boolean }
  | { op: 'regex'; source: string; ignoreCase: boolean }
  | { op: 'gt' | 'gte' | 'lt' | 'lte'; number: string };

export type Condition =
  | { kind: 'all' | 'any'; of: Condition[] }
  | { kind: 'not'; of: Condition }
  | { kind: 'test'; path: Subject; test: Test };

export type Part =
  | { kind: 'text'; text: string }
  | { kind: 'record'; path: Path }
  | { kind: 'capture' | 'label'; name: string }
  | { kind: 'value' | 'alert' }
  /** The first that is not empty, then each call applied. */
  | { kind: 'pipe'; of: Part[]; calls: Call[] };

export const CALLS = ['toUpper', 'toLower', 'trim', 'truncate 7', 'slackEscape'] as const;
export type Call = (typeof CALLS)[number];

/** A field whose text holds fields. */
export interface Parse {
  path: Path;
  format: 'json' | 'logfmt';
}

export interface Rule {
  alert: string;
  parse: Parse[];
  match: Condition;
  labels: Record<string, Part[]>;
  annotations: Record<string, Part[]>;
}

/** One rule a line, in flow style: each JSON string is a YAML string, and numbers stay as they are written. */
export function toYaml(rules: readonly Rule[]): string {
  const lines = rules.map(rule => `      - ${ruleText(rule)}\n`);
  return `groups:\n  - name: fuzz\n    rules:\n${lines.join('')}`;
}

function ruleText({ alert, parse, match, labels, annotations }: Rule): string {
  const templates = (parts: Record<string, Part[]>) =>
    map(Object.entries(parts).map(([name, value]) => [name, quote(templateText(value))]));
  return map([
    ['alert', quote(alert)],
    ['realert', '0s'],
    ...(parse.length > 0
      ? [['parse', map(parse.map(({ path, format }) => [quote(pathText(path)), format]))] as [string, string]]
      : []),
    ['match', conditionText(match)],
    ['labels', templates(labels)],
    ['annotations', templates(annotations)],
  ]);
}

function conditionText(condition: Condition): string {
  switch (condition.kind) {
    case 'all':
    case 'any':
      return map([[condition.kind, list(condition.of.map(conditionText))]]);
    case 'not':
      return map([['not', conditionText(condition.of)]]);
    case 'test':
      return map([
        subjectText(condition.path),
        [condition.test.op, operandText(condition.test)],
        ...('ignoreCase' in condition.test && condition.test.ignoreCase
          ? [['ignoreCase', 'true'] as [string, string]]
          : []),
      ]);
  }
}

function subjectText(subject: Subject): [key: string, value: string] {
  if (subject === 'anyField') return ['anyField', 'true'];
  return 'capture' in subject ? ['capture', quote(subject.capture)] : ['field', quote(pathText(subject))];
}

function operandText(test: Test): string {
  switch (test.op) {
    case 'exists':
      return String(test.value);
    case 'eq':
      return valueText(test.value);
    case 'in':
      return list(test.values.map(valueText));
    case 'regex':
      return quote(test.source);
    case 'containsAll':
      return list(test.texts.map(quote));
    case 'contains':
    case 'startsWith':
    case 'endsWith':
      return test.texts.length === 1 ? quote(test.texts[0]!) : list(test.texts.map(quote));
    default:
      return test.number;
  }
}

function valueText(value: Value): string {
  return value.kind === 'string' ? quote(value.text) : value.text;
}

/** `a.b[0]["c.d"]` */
export function pathText(path: Path): string {
  const steps = path.map((step, i) => {
    if (step === null) return '[*]';
    if (typeof step === 'number') return `[${step}]`;
    if (!/^[A-Za-z_][\w-]*$/.test(step)) return `[${JSON.stringify(step)}]`;
    return i === 0 ? step : `.${step}`;
  });
  return steps.join('');
}

function templateText(parts: Part[]): string {
  return parts.map(part => (part.kind === 'text' ? part.text : `{{ ${referenceText(part)} }}`)).join('');
}

function referenceText(part: Part): string {
  switch (part.kind) {
    case 'text':
      return JSON.stringify(part.text);
    case 'record':
      return `$record${pathText(part.path).startsWith('[') ? '' : '.'}${pathText(part.path)}`;
    case 'capture':
      return `$captures.${part.name}`;
    case 'label':
      return `$labels.${part.name}`;
    case 'pipe': {
      const [first, ...others] = part.of.map(referenceText);
      return [first, ...others.map(text => `or ${text}`), ...part.calls].join(' | ');
    }
    default:
      return `$${part.kind}`;
  }
}

function map(entries: Array<[key: string, value: string]>): string {
  return `{${entries.map(([key, value]) => `${key}: ${value}`).join(', ')}}`;
}

function list(items: string[]): string {
  return `[${items.join(', ')}]`;
}

/** A JSON string without the characters that YAML does not print. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
