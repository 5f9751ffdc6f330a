// What a rules file can hold: its keys, what each is for, and its limits, once. rules.ts checks by these
// tables and quotes their descriptions; `rulesSchema` turns them into a JSON Schema for editors.
import {
  DISTINCT_COUNT_MAX,
  EXACT_COUNT_MAX,
  KEY_COUNT_MAX,
  RATE_COUNT_DEFAULT,
  SAMPLE_COUNT_MAX,
  SEQUENCE_PLACES_MAX,
  SEQUENCE_STEPS_MAX,
} from '../../assembly/layout.ts';
import { PATTERN_LENGTH_MAX } from './pattern.ts';

// 900 KB of ruleset hold a few thousand rules; more than this comes from a faulty generator.
export const RULES_MAX = 10_000;
// 10,000 rules of 1.6 KB each.
export const FILE_SIZE_MAX = 16 * 1024 * 1024;
// No one reads a condition nested deeper, and the checker and the compiler recurse over it.
export const CONDITION_DEPTH_MAX = 32;
// A rule is evaluated as a whole: this bounds what one record can cost.
export const CONDITIONS_MAX = 1_000;
// The conditions of a group, once for each of its rules.
export const GROUP_CONDITIONS_MAX = 100_000;
// In all rules together, each of which may name one list.
export const LIST_VALUES_MAX = 1_000_000;
export const IN_VALUES_MAX = 10_000;
export const TEXTS_MAX = 10_000;
// An automaton takes some 8 bytes for each: a list may fill a module, not a node's memory.
export const TEXTS_SIZE_MAX = 256 * 1024;
// Each is looked for on its own.
export const ALL_TEXTS_MAX = 100;
// A gate has 256 values, and a namespace is told by two fields; more is a list for a machine.
export const NAMESPACES_MAX = 1_000;
// A name is shown in full in every alert, and label sets are kept by hash, never cut.
export const NAME_SIZE_MAX = 256;
// The text of one value: nobody reads a longer notification.
export const TEXT_SIZE_MAX = 4 * 1024;
// Prometheus itself advises a handful; the alert must stay small enough for one POST.
// With alertname and rule_level they make the 64 bits of a mask.
export const LABELS_MAX = 62;
export const ANNOTATIONS_MAX = 64;
// The highest count of a slice of a window (assembly/state.ts).
export const COUNT_MAX = 65_535;
// The times of so many matches of a key are kept, in 20 slots of the state.
export const BELOW_MAX = EXACT_COUNT_MAX;
// Half of what a slice of a window counts: a full one is halved.
export const RATIO_AT_LEAST_MAX = 30_000;
// Values are compared one by one, and kept while they are in the window.
export const DISTINCT_MAX = DISTINCT_COUNT_MAX;
// Fields that a rule parses: nobody names more of them.
export const PARSES_MAX = 16;
export const STEPS_MIN = 2;
export const STEPS_MAX = SEQUENCE_STEPS_MAX;
// Each match that the steps count is kept for each key.
export const STEP_COUNTS_MAX = SEQUENCE_PLACES_MAX;
export const SAMPLES_MAX = SAMPLE_COUNT_MAX;
export const SAMPLES_FIRST_DEFAULT = 2;
export const SAMPLES_LAST_DEFAULT = 3;
export const KEYS_MIN = 1_000;
// 64 MiB of state.
export const KEYS_MAX = KEY_COUNT_MAX;
export const ALERTS_PER_SECOND_MAX = 1_000_000;
// In milliseconds it fits into 32 bits; what spans more than a month is a report, not an alert.
export const DURATION_MAX_MS = 30 * 24 * 60 * 60_000;
// Tests of one rule; more belong into a file of their own.
export const TESTS_MAX = 1_000;
// A record of a test: a stack trace is a few kilobytes.
export const TEST_RECORD_SIZE_MAX = 1024 * 1024;
// Absence is noticed by a clock that ticks once a second.
export const ABSENCE_MIN_MS = 1_000;
// A first-time user's rule that matches everything sends 12 messages per hour and label set, not 12 per second.
export const REALERT_DEFAULT_MS = 5 * 60_000;

export const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
/** A label of DNS, as Kubernetes asks of a namespace. */
export const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Prometheus' form: units from the largest to the smallest, each at most once; or a bare 0. */
export const DURATION =
  /^(?:0|(?=\d)(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?)$/;

/** `5/s`: so many matches in a second, a minute or an hour. */
export const RATE = /^(\d{1,6})(?:\.(\d{1,3}))?\/([smh])$/;
export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
/** From and to, in hours and minutes. */
export const HOURS = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24(?=:00)):([0-5]\d)$/;

/** `5%`, `0.25%`: below 100 %, to a hundredth. */
export const SHARE = /^(\d{1,2})(?:\.(\d{1,2}))?\s?%$/;

/** Names that Earshot itself fills in, with the reason for the error message. */
export const RESERVED_LABELS: Record<string, string> = {
  alertname: 'Earshot sets it to the name of the alert',
  rule_level: 'Earshot sets it to "namespace" on alerts with a label "namespace"',
};
export const RESERVED_ANNOTATIONS: Record<string, string> = {
  suppressed: 'Earshot sets it to the number of suppressed matches',
  suppressed_first: 'Earshot sets it to the first of those label sets',
  suppressed_others: 'Earshot sets it to the number of suppressed matches of other label sets',
};

export interface Key {
  kind: keyof typeof KINDS;
  required?: true;
  /** One line: what the key is for. */
  description: string;
}
export type Keys = Record<string, Key>;

export const FILE_KEYS = {
  groups: { kind: 'groups', required: true, description: 'The groups of rules.' },
  timestamp: {
    kind: 'timestamp',
    description: 'Where a record says its time; "@timestamp", "timestamp" or "time" if left out.',
  },
  limits: { kind: 'limits', description: 'What the module may use and send, for all rules together.' },
} satisfies Keys;

/** A manifest of Kubernetes that holds a rules file, such as a PrometheusRule. */
export const MANIFEST_KEYS = {
  apiVersion: { kind: 'any', required: true, description: 'For Kubernetes.' },
  kind: { kind: 'any', required: true, description: 'For Kubernetes.' },
  metadata: { kind: 'any', description: 'For Kubernetes.' },
  status: { kind: 'any', description: 'For Kubernetes.' },
  spec: { kind: 'file', required: true, description: 'The rules file.' },
} satisfies Keys;

export const TIMESTAMP_KEYS = {
  field: { kind: 'field', required: true, description: 'The field that holds the time of a record.' },
  format: {
    kind: 'timeFormat',
    description:
      'rfc3339, epoch (numbers of s, ms, µs or ns), or as for strptime: %d/%b/%Y:%H:%M:%S %z; a number or RFC 3339 if left out.',
  },
} satisfies Keys;

export const LIMITS_KEYS = {
  keys: {
    kind: 'keyCount',
    description: 'Label sets and windows that are remembered, 64 bytes each; 16384 if left out.',
  },
  alertsPerSecond: {
    kind: 'rate',
    description: `Alerts that may leave in one second of event time, but for rules with realert: 0s; 0: no cap; ${RATE_COUNT_DEFAULT} if left out.`,
  },
} satisfies Keys;

export const GROUP_KEYS = {
  name: { kind: 'name', required: true, description: 'The name of the group, unique in the file.' },
  namespaces: {
    kind: 'namespaces',
    description: 'The namespaces of Kubernetes in which the rules of the group match, and nowhere else.',
  },
  match: { kind: 'condition', description: 'What a record must hold for any rule of the group.' },
  labels: {
    kind: 'labels',
    description: 'Labels for every rule of the group; a label of the rule with the same name replaces it.',
  },
  realert: { kind: 'duration', description: '"realert" for the rules of the group that have none.' },
  rules: { kind: 'rules', required: true, description: 'The rules of the group.' },
  parse: { kind: 'parse', description: 'What its rules parse; an entry of a rule for the same field wins.' },
} satisfies Keys;

export const RULE_KEYS = {
  alert: { kind: 'name', required: true, description: 'The name of the alert, its label "alertname".' },
  match: { kind: 'condition', description: 'What a record must hold.' },
  sequence: {
    kind: 'sequence',
    description: 'Conditions that must be met one after the other, or as a set.',
  },
  parse: {
    kind: 'parse',
    description: 'Fields whose text holds fields, and its format: {log: json} or logfmt.',
  },
  threshold: { kind: 'threshold', description: 'How many matches within which time make an alert.' },
  ratio: { kind: 'ratio', description: 'Which share of the matches makes an alert.' },
  absence: { kind: 'absence', description: 'How long matches must stay away to make an alert.' },
  firstSeen: { kind: 'firstSeen', description: 'What makes an alert when it was not seen for so long.' },
  realert: {
    kind: 'duration',
    description: 'How long an alert with the same labels is suppressed after one was sent; 5m if left out.',
  },
  resolveAfter: {
    kind: 'duration',
    description:
      'After how long without a match with the same labels the alert is resolved; never if left out.',
  },
  labels: {
    kind: 'labels',
    description: 'What identifies the alert: few values, the same for the same trouble.',
  },
  samples: {
    kind: 'samples',
    description: 'The texts of matches that an alert stands for, for {{ $samples }} in annotations.',
  },
  annotations: {
    kind: 'annotations',
    description: 'What a person reads: "message" or "summary" is shown first.',
  },
  tests: {
    kind: 'tests',
    description: 'Records that must match or not; `earshot check` and `earshot test` try them.',
  },
} satisfies Keys;

export const RULE_TEST_KEYS = {
  name: { kind: 'name', description: 'What the test is about.' },
  log: { kind: 'text', description: 'A line of a log: the record {log: LINE}.' },
  record: { kind: 'record', description: 'A record: a map, or JSON as a string.' },
  expect: {
    kind: 'expectation',
    required: true,
    description: 'match: the rule matches it; none: it does not.',
  },
  labels: { kind: 'values', description: 'Labels that the match must have; others are not looked at.' },
  annotations: {
    kind: 'values',
    description: 'Annotations that the match must have; others are not looked at.',
  },
} satisfies Keys;

/** What makes an alert of matches: a rule has one of these, or none. */
export const COUNTINGS = ['sequence', 'threshold', 'ratio', 'absence', 'firstSeen'] as const;

export const GROUPING_KEYS = {
  all: { kind: 'conditions', description: 'Conditions that must all be met.' },
  any: { kind: 'conditions', description: 'Conditions of which one must be met.' },
  not: { kind: 'condition', description: 'A condition that must not be met.' },
} satisfies Keys;

export const OPERATOR_KEYS = {
  eq: { kind: 'scalar', description: 'The field is this string, number, boolean or null: type and value.' },
  in: { kind: 'scalars', description: 'The field is one of these values: type and value.' },
  contains: { kind: 'texts', description: 'The field is a string that holds this text, or one of these.' },
  containsAll: { kind: 'allTexts', description: 'The field is a string that holds all of these texts.' },
  startsWith: {
    kind: 'texts',
    description: 'The field is a string that starts with this text, or one of these.',
  },
  endsWith: {
    kind: 'texts',
    description: 'The field is a string that ends with this text, or one of these.',
  },
  regex: { kind: 'pattern', description: 'The field is a string in which this RE2 pattern is found.' },
  exists: { kind: 'boolean', description: 'The field is there (true) or not (false).' },
  gt: { kind: 'number', description: 'The field is greater than this: a number, or a string that is one.' },
  gte: {
    kind: 'number',
    description: 'The field is greater than or equal to this: a number, or a string that is one.',
  },
  lt: { kind: 'number', description: 'The field is less than this: a number, or a string that is one.' },
  lte: {
    kind: 'number',
    description: 'The field is less than or equal to this: a number, or a string that is one.',
  },
} satisfies Keys;

/** The operators that `ignoreCase` can stand beside. */
export const CASED_OPERATORS = [
  'eq',
  'in',
  'contains',
  'containsAll',
  'startsWith',
  'endsWith',
  'regex',
] as const;

/** What a test looks at: one of these. */
export const SUBJECT_KEYS = {
  field: {
    kind: 'field',
    required: true,
    description: 'The field to test, such as kubernetes.labels["app.kubernetes.io/name"].',
  },
  capture: {
    kind: 'captureName',
    description: 'A named group of a "regex" of the same rule and step: its text is tested.',
  },
  anyField: {
    kind: 'yes',
    description: 'Each string value of the record is tested, at any depth: one must meet it.',
  },
} satisfies Keys;

export const TEST_KEYS = {
  ...SUBJECT_KEYS,
  ...OPERATOR_KEYS,
  ignoreCase: {
    kind: 'boolean',
    description: 'Whether upper and lower case are the same; false if left out.',
  },
} satisfies Keys;

/** A condition that has no field. */
export const TIME_KEYS = {
  active: { kind: 'active', description: 'The event time is in these days and hours.' },
} satisfies Keys;

export const CONDITION_KEYS = { ...GROUPING_KEYS, ...TEST_KEYS, ...TIME_KEYS } satisfies Keys;

export const ACTIVE_KEYS = {
  days: { kind: 'days', description: 'The days, mon to sun; every day if left out.' },
  hours: {
    kind: 'hours',
    description:
      "From and to, such as '08:00-18:00', or a list of them; what passes midnight belongs to the day on which it begins. All day if left out.",
  },
  timezone: { kind: 'text', description: 'The time zone, such as Europe/Berlin; UTC if left out.' },
} satisfies Keys;

/** `distinct: {capture: user}` */
export const CAPTURE_KEYS = {
  capture: { kind: 'captureName', required: true, description: 'A named group of a "regex" of the rule.' },
} satisfies Keys;

const BY_DESCRIPTION =
  'Names of labels: each combination of their values is watched on its own; all if left out.';

export const LIST_KEYS = {
  file: {
    kind: 'text',
    required: true,
    description: 'A file with one value a line, in the folder of the rules file or below it.',
  },
} satisfies Keys;

export const THRESHOLD_KEYS = {
  count: { kind: 'count', description: 'How many matches make an alert.' },
  rate: { kind: 'perTime', description: 'The same as a rate: 5/s within 1m are 300 matches.' },
  below: {
    kind: 'below',
    description: 'Fewer matches than this make an alert, until there are as many again.',
  },
  within: { kind: 'duration', required: true, description: 'The time in which they must come.' },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
  distinct: {
    kind: 'distinct',
    description: 'Count the different values of this field, or of {capture: name}, not the matches.',
  },
} satisfies Keys;

/** Of these a threshold has one. */
export const THRESHOLD_LEVELS = ['count', 'rate', 'below'] as const;

export const SEQUENCE_KEYS = {
  steps: {
    kind: 'steps',
    required: true,
    description: 'The conditions, in order; {match, count} must be met so often, {unless} must not come.',
  },
  within: { kind: 'duration', required: true, description: 'The time from the first step to the last.' },
  order: {
    kind: 'order',
    description: 'Whether the steps come in the given order, or in any; given if left out.',
  },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
} satisfies Keys;

export const SAMPLES_KEYS = {
  text: {
    kind: 'text',
    required: true,
    description: 'What to keep of a match, such as {{ $record.log }}; up to 256 bytes of it.',
  },
  first: { kind: 'sampleCount', description: 'How many of the first matches are shown; 2 if left out.' },
  last: { kind: 'sampleCount', description: 'How many of the last matches are shown; 3 if left out.' },
} satisfies Keys;

/** A step that is more than its condition. */
export const STEP_KEYS = {
  match: { kind: 'condition', description: 'What a record must hold.' },
  count: { kind: 'stepCount', description: 'How often the step must be met; once if left out.' },
  unless: { kind: 'condition', description: 'What must not come here.' },
} satisfies Keys;

export const ABSENCE_KEYS = {
  for: { kind: 'duration', required: true, description: 'The time without a match.' },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
} satisfies Keys;

export const RATIO_KEYS = {
  of: {
    kind: 'condition',
    required: true,
    description: 'What the matches must meet, too, to be counted for the share.',
  },
  above: {
    kind: 'share',
    required: true,
    description: 'The share of all matches above which there is an alert, such as 5%.',
  },
  within: { kind: 'duration', required: true, description: 'The time in which the matches come.' },
  atLeast: {
    kind: 'count',
    required: true,
    description: 'How many matches there must be: a share of few says little.',
  },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
} satisfies Keys;

export const FIRST_SEEN_KEYS = {
  for: { kind: 'duration', required: true, description: 'The time without the combination of labels.' },
  learn: {
    kind: 'duration',
    description: 'How long nothing is new from the start of the rule on; as long as "for" if left out.',
  },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
} satisfies Keys;

export const MERGE_KEY_HINT =
  'YAML 1.2 has no merge keys: write the keys out, or use an alias for a whole value';

interface Kind {
  /** For errors: `"count" must be …`. */
  expected: string;
  schema: object;
}

const DURATION_SCHEMA = { anyOf: [{ type: 'string', pattern: DURATION.source }, { const: 0 }] };
const HOURS_SCHEMA = { type: 'string', pattern: HOURS.source };
const SCALAR_SCHEMA = { type: ['string', 'number', 'boolean', 'null'] };
const TEXT_SCHEMA = { type: 'string', minLength: 1, maxLength: TEXT_SIZE_MAX };

/** What a value can be. */
export const KINDS = {
  name: { expected: 'a string', schema: { type: 'string', minLength: 1, maxLength: NAME_SIZE_MAX } },
  text: { expected: 'a string', schema: TEXT_SCHEMA },
  pattern: { expected: 'a string', schema: { type: 'string', minLength: 1, maxLength: PATTERN_LENGTH_MAX } },
  field: { expected: 'a field path such as kubernetes.pod_name', schema: TEXT_SCHEMA },
  captureName: { expected: 'the name of a capture', schema: TEXT_SCHEMA },
  yes: { expected: 'true', schema: { const: true } },
  distinct: {
    expected: 'a field path such as kubernetes.pod_name, or {capture: user}',
    schema: {
      anyOf: [
        TEXT_SCHEMA,
        {
          type: 'object',
          properties: { capture: TEXT_SCHEMA },
          required: ['capture'],
          additionalProperties: false,
        },
      ],
    },
  },
  active: { expected: 'a map', schema: reference('active') },
  days: {
    expected: 'a list of days, mon to sun',
    schema: { ...listOf({ enum: DAYS }, 1, DAYS.length), uniqueItems: true },
  },
  hours: {
    expected: 'from and to, such as 08:00-18:00',
    schema: { anyOf: [HOURS_SCHEMA, listOf(HOURS_SCHEMA, 1)] },
  },
  parse: {
    expected: 'a map of fields and formats, such as {log: json}',
    schema: {
      type: 'object',
      patternProperties: { '.': { enum: ['json', 'logfmt'] } },
      additionalProperties: false,
      minProperties: 1,
      maxProperties: PARSES_MAX,
    },
  },
  duration: { expected: 'a duration such as 5m', schema: DURATION_SCHEMA },
  count: { expected: 'a whole number', schema: { type: 'integer', minimum: 1, maximum: COUNT_MAX } },
  below: { expected: 'a whole number', schema: { type: 'integer', minimum: 1, maximum: BELOW_MAX } },
  perTime: { expected: 'a rate such as 5/s', schema: { type: 'string', pattern: RATE.source } },
  stepCount: {
    expected: 'a whole number',
    schema: { type: 'integer', minimum: 1, maximum: STEP_COUNTS_MAX },
  },
  sampleCount: {
    expected: 'a whole number',
    schema: { type: 'integer', minimum: 0, maximum: SAMPLES_MAX },
  },
  order: { expected: '"given" or "any"', schema: { enum: ['given', 'any'] } },
  keyCount: { expected: 'a whole number', schema: { type: 'integer', minimum: KEYS_MIN, maximum: KEYS_MAX } },
  rate: {
    expected: 'a whole number',
    schema: { type: 'integer', minimum: 0, maximum: ALERTS_PER_SECOND_MAX },
  },
  texts: {
    expected: 'a string or a list of strings',
    schema: { anyOf: [TEXT_SCHEMA, listOf(TEXT_SCHEMA, 1, TEXTS_MAX), reference('list')] },
  },
  allTexts: {
    expected: 'a list of strings',
    schema: { anyOf: [listOf(TEXT_SCHEMA, 1, ALL_TEXTS_MAX), reference('list')] },
  },
  number: { expected: 'a number', schema: { type: 'number' } },
  boolean: { expected: 'true or false', schema: { type: 'boolean' } },
  scalar: { expected: 'a string, number, boolean or null', schema: SCALAR_SCHEMA },
  scalars: {
    expected: 'a list of values',
    schema: { anyOf: [listOf(SCALAR_SCHEMA, 1, IN_VALUES_MAX), reference('list')] },
  },
  labelNames: {
    expected: 'a list of label names',
    schema: { ...listOf({ type: 'string' }, 0, LABELS_MAX), uniqueItems: true },
  },
  namespaces: {
    expected: 'a list of namespaces',
    schema: {
      ...listOf({ type: 'string', pattern: NAMESPACE.source }, 1, NAMESPACES_MAX),
      uniqueItems: true,
    },
  },
  labels: { expected: 'a map of names and templates', schema: templates(RESERVED_LABELS, LABELS_MAX) },
  annotations: {
    expected: 'a map of names and templates',
    schema: templates(RESERVED_ANNOTATIONS, ANNOTATIONS_MAX),
  },
  groups: { expected: 'a list of groups', schema: listOf(reference('group'), 1) },
  rules: { expected: 'a list of rules', schema: listOf(reference('rule'), 1, RULES_MAX) },
  condition: { expected: 'a condition', schema: reference('condition') },
  conditions: { expected: 'a list of conditions', schema: listOf(reference('condition'), 1, CONDITIONS_MAX) },
  steps: { expected: 'a list of conditions', schema: listOf(reference('step'), STEPS_MIN, STEPS_MAX) },
  any: { expected: 'anything', schema: {} },
  file: { expected: 'a map', schema: reference('file') },
  timestamp: { expected: 'a map', schema: reference('timestamp') },
  timeFormat: {
    expected: 'a time format',
    schema: { type: 'string', pattern: '^(?:rfc3339|epoch|.*%[YF].*)$' },
  },
  limits: { expected: 'a map', schema: reference('limits') },
  threshold: { expected: 'a map', schema: reference('threshold') },
  sequence: { expected: 'a map', schema: reference('sequence') },
  absence: { expected: 'a map', schema: reference('absence') },
  tests: { expected: 'a list of tests', schema: listOf(reference('test'), 1, TESTS_MAX) },
  record: { expected: 'a map, or a string that holds JSON', schema: { type: ['object', 'string'] } },
  expectation: { expected: 'match or none', schema: { enum: ['match', 'none'] } },
  values: {
    expected: 'a map of names and strings',
    schema: { type: 'object', additionalProperties: { type: 'string' } },
  },
  samples: { expected: 'a map', schema: reference('samples') },
  ratio: { expected: 'a map', schema: reference('ratio') },
  share: { expected: 'a share such as 5%', schema: { type: 'string', pattern: SHARE.source } },
  firstSeen: { expected: 'a map', schema: reference('firstSeen') },
} satisfies Record<string, Kind>;

function reference(name: string): object {
  return { $ref: `#/$defs/${name}` };
}

function listOf(items: object, minItems: number, maxItems?: number): object {
  return { type: 'array', items, minItems, ...(maxItems !== undefined && { maxItems }) };
}

function templates(reserved: Record<string, string>, maxProperties: number): object {
  return {
    type: 'object',
    propertyNames: { maxLength: NAME_SIZE_MAX, not: { enum: Object.keys(reserved) } },
    patternProperties: { [LABEL_NAME.source]: { type: 'string' } },
    additionalProperties: false,
    maxProperties,
  };
}

/** JSON Schema of a rules file. It knows the form; names and templates are checked by `parseRules` only. */
export function rulesSchema(): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Earshot rules file',
    if: { required: ['apiVersion', 'kind'] },
    then: mapOf(MANIFEST_KEYS),
    else: reference('file'),
    $defs: {
      file: mapOf(FILE_KEYS),
      timestamp: mapOf(TIMESTAMP_KEYS),
      limits: mapOf(LIMITS_KEYS),
      list: mapOf(LIST_KEYS),
      group: mapOf(GROUP_KEYS),
      rule: { ...mapOf(RULE_KEYS), ...ruleKinds() },
      condition: conditionSchema(),
      step: stepSchema(),
      active: mapOf(ACTIVE_KEYS),
      threshold: { ...mapOf(THRESHOLD_KEYS), ...thresholdLevels() },
      sequence: mapOf(SEQUENCE_KEYS),
      absence: mapOf(ABSENCE_KEYS),
      test: { ...mapOf(RULE_TEST_KEYS), oneOf: [{ required: ['log'] }, { required: ['record'] }] },
      samples: mapOf(SAMPLES_KEYS),
      ratio: mapOf(RATIO_KEYS),
      firstSeen: mapOf(FIRST_SEEN_KEYS),
    },
  };
}

function mapOf(keys: Keys): object {
  const entries = Object.entries(keys);
  const required = entries.filter(([, key]) => key.required).map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, key]) => [name, property(key)])),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}

function property({ kind, description }: Key): object {
  return { description, ...KINDS[kind].schema };
}

/** A rule has either match or sequence, and one of what makes an alert of matches. */
function ruleKinds(): object {
  return {
    oneOf: [{ required: ['match'] }, { required: ['sequence'] }],
    allOf: [
      ...COUNTINGS.flatMap((name, i) =>
        COUNTINGS.slice(i + 1).map(other => ({ not: { required: [name, other] } })),
      ),
      { not: { required: ['resolveAfter', 'absence'] } },
    ],
  };
}

/** A threshold has one of its three levels; only a count can be of different values. */
function thresholdLevels(): object {
  return {
    oneOf: THRESHOLD_LEVELS.map(name => ({ required: [name] })),
    not: { required: ['below', 'distinct'] },
  };
}

/** A step is a condition, a condition that must be met several times, or one that must not be met. */
function stepSchema(): object {
  const { match, count, unless } = STEP_KEYS;
  return {
    oneOf: [
      reference('condition'),
      { ...mapOf({ match, count }), required: ['match'] },
      { ...mapOf({ unless }), required: ['unless'] },
    ],
  };
}

/** A grouping has its one key; a test has its subject and one operator, a test of text perhaps `ignoreCase`. */
function conditionSchema(): object {
  const groupings = Object.entries(GROUPING_KEYS).map(([name, key]) => ({
    ...mapOf({ [name]: key }),
    required: [name],
  }));
  const { ignoreCase } = TEST_KEYS;
  const cased = Object.fromEntries(CASED_OPERATORS.map(name => [name, OPERATOR_KEYS[name]]));
  const tests = Object.entries(SUBJECT_KEYS).flatMap(([name, key]) => {
    const subject = { [name]: key };
    const operators = name === 'anyField' ? cased : OPERATOR_KEYS;
    const test = {
      ...mapOf({ ...subject, ...operators }),
      required: [name],
      minProperties: 2,
      maxProperties: 2,
    };
    const testOfText = {
      ...mapOf({ ...subject, ...cased, ignoreCase }),
      required: [name, 'ignoreCase'],
      minProperties: 3,
      maxProperties: 3,
    };
    return [test, testOfText];
  });
  const time = { ...mapOf(TIME_KEYS), required: ['active'] };
  return { oneOf: [...groupings, ...tests, time] };
}
