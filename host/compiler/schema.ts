// What a rules file can hold: its keys, what each is for, and its limits, once. rules.ts checks by these
// tables and quotes their descriptions; `rulesSchema` turns them into a JSON Schema for editors.
import {
  DISTINCT_COUNT_MAX,
  KEY_COUNT_MAX,
  RATE_COUNT_DEFAULT,
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
export const IN_VALUES_MAX = 10_000;
export const TEXTS_MAX = 10_000;
// An automaton takes some 8 bytes for each: a list may fill a module, not a node's memory.
export const TEXTS_SIZE_MAX = 256 * 1024;
// Each is looked for on its own.
export const ALL_TEXTS_MAX = 100;
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
// Values are compared one by one, and kept while they are in the window.
export const DISTINCT_MAX = DISTINCT_COUNT_MAX;
// Fields that a rule parses: nobody names more of them.
export const PARSES_MAX = 16;
export const STEPS_MIN = 2;
// What a key's 64 bytes of state hold.
export const STEPS_MAX = SEQUENCE_STEPS_MAX;
export const KEYS_MIN = 1_000;
// 64 MiB of state.
export const KEYS_MAX = KEY_COUNT_MAX;
export const ALERTS_PER_SECOND_MAX = 1_000_000;
// In milliseconds it fits into 32 bits; what spans more than a month is a report, not an alert.
export const DURATION_MAX_MS = 30 * 24 * 60 * 60_000;
// Absence is noticed by a clock that ticks once a second.
export const ABSENCE_MIN_MS = 1_000;
// A first-time user's rule that matches everything sends 12 messages per hour and label set, not 12 per second.
export const REALERT_DEFAULT_MS = 5 * 60_000;

export const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
/** Prometheus' form: units from the largest to the smallest, each at most once; or a bare 0. */
export const DURATION =
  /^(?:0|(?=\d)(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?)$/;

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
/** From and to, in hours and minutes. */
export const HOURS = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24(?=:00)):([0-5]\d)$/;

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
  limits: { kind: 'limits', description: 'What the module may use and send, for all rules together.' },
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
  rules: { kind: 'rules', required: true, description: 'The rules of the group.' },
  parse: { kind: 'parse', description: 'What its rules parse; an entry of a rule for the same field wins.' },
} satisfies Keys;

export const RULE_KEYS = {
  alert: { kind: 'name', required: true, description: 'The name of the alert, its label "alertname".' },
  match: { kind: 'condition', description: 'What a record must hold.' },
  sequence: { kind: 'sequence', description: 'Conditions that must be met one after the other.' },
  parse: {
    kind: 'parse',
    description: 'Fields whose text holds fields, and its format: {log: json} or logfmt.',
  },
  threshold: { kind: 'threshold', description: 'How many matches within which time make an alert.' },
  absence: { kind: 'absence', description: 'How long matches must stay away to make an alert.' },
  realert: {
    kind: 'duration',
    description: 'How long an alert with the same labels is suppressed after one was sent; 5m if left out.',
  },
  labels: {
    kind: 'labels',
    description: 'What identifies the alert: few values, the same for the same trouble.',
  },
  annotations: {
    kind: 'annotations',
    description: 'What a person reads: "message" or "summary" is shown first.',
  },
} satisfies Keys;

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

export const THRESHOLD_KEYS = {
  count: { kind: 'count', required: true, description: 'How many matches make an alert.' },
  within: { kind: 'duration', required: true, description: 'The time in which they must come.' },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
  distinct: {
    kind: 'distinct',
    description: 'Count the different values of this field, or of {capture: name}, not the matches.',
  },
} satisfies Keys;

export const SEQUENCE_KEYS = {
  steps: { kind: 'steps', required: true, description: 'The conditions, in order.' },
  within: { kind: 'duration', required: true, description: 'The time from the first step to the last.' },
  by: { kind: 'labelNames', description: BY_DESCRIPTION },
} satisfies Keys;

export const ABSENCE_KEYS = {
  for: { kind: 'duration', required: true, description: 'The time without a match.' },
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
  keyCount: { expected: 'a whole number', schema: { type: 'integer', minimum: KEYS_MIN, maximum: KEYS_MAX } },
  rate: {
    expected: 'a whole number',
    schema: { type: 'integer', minimum: 0, maximum: ALERTS_PER_SECOND_MAX },
  },
  texts: {
    expected: 'a string or a list of strings',
    schema: { anyOf: [TEXT_SCHEMA, listOf(TEXT_SCHEMA, 1, TEXTS_MAX)] },
  },
  allTexts: { expected: 'a list of strings', schema: listOf(TEXT_SCHEMA, 1, ALL_TEXTS_MAX) },
  number: { expected: 'a number', schema: { type: 'number' } },
  boolean: { expected: 'true or false', schema: { type: 'boolean' } },
  scalar: { expected: 'a string, number, boolean or null', schema: SCALAR_SCHEMA },
  scalars: { expected: 'a list of values', schema: listOf(SCALAR_SCHEMA, 1, IN_VALUES_MAX) },
  labelNames: {
    expected: 'a list of label names',
    schema: { ...listOf({ type: 'string' }, 0, LABELS_MAX), uniqueItems: true },
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
  steps: { expected: 'a list of conditions', schema: listOf(reference('condition'), STEPS_MIN, STEPS_MAX) },
  limits: { expected: 'a map', schema: reference('limits') },
  threshold: { expected: 'a map', schema: reference('threshold') },
  sequence: { expected: 'a map', schema: reference('sequence') },
  absence: { expected: 'a map', schema: reference('absence') },
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
    ...mapOf(FILE_KEYS),
    $defs: {
      limits: mapOf(LIMITS_KEYS),
      group: mapOf(GROUP_KEYS),
      rule: { ...mapOf(RULE_KEYS), ...ruleKinds() },
      condition: conditionSchema(),
      active: mapOf(ACTIVE_KEYS),
      threshold: mapOf(THRESHOLD_KEYS),
      sequence: mapOf(SEQUENCE_KEYS),
      absence: mapOf(ABSENCE_KEYS),
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

/** A rule has either match or sequence; threshold and absence need match, and exclude each other. */
function ruleKinds(): object {
  return {
    oneOf: [{ required: ['match'] }, { required: ['sequence'] }],
    allOf: [
      { not: { required: ['sequence', 'threshold'] } },
      { not: { required: ['sequence', 'absence'] } },
      { not: { required: ['threshold', 'absence'] } },
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
