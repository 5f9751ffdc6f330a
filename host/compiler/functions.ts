// The functions that a template can apply, by the names that Prometheus and Go have for them, and what to write instead
// of others that users of Prometheus, Go, Loki and Sprig know.
import * as layout from '../../assembly/layout.ts';
import { nearest } from '../error.ts';

/** A function that changes a text. `default` and `or` choose one, and are no functions of this kind. */
export type TemplateFunction = keyof typeof FUNCTION_KINDS;

export const FUNCTION_KINDS = {
  toUpper: layout.PART_UPPER,
  toLower: layout.PART_LOWER,
  trim: layout.PART_TRIM,
  truncate: layout.PART_TRUNCATE,
  slackEscape: layout.PART_SLACK_ESCAPE,
  humanize: layout.PART_HUMANIZE,
  humanize1024: layout.PART_HUMANIZE_1024,
  humanizeDuration: layout.PART_HUMANIZE_DURATION,
  humanizePercentage: layout.PART_HUMANIZE_PERCENTAGE,
  humanizeTimestamp: layout.PART_HUMANIZE_TIMESTAMP,
} as const;

export const FUNCTION_NAMES = ['default', 'or', ...Object.keys(FUNCTION_KINDS)];

export function isFunction(name: string): name is TemplateFunction {
  return Object.hasOwn(FUNCTION_KINDS, name);
}

/** What to do about a name that is no function. */
export function functionHint(name: string): string {
  const near = nearest(name, FUNCTION_NAMES);
  const known = `known functions: ${FUNCTION_NAMES.join(', ')}`;
  return HINTS.get(name.toLowerCase()) ?? (near === undefined ? known : `did you mean "${near}"? ${known}`);
}

const FIRST = 'the first text that is not empty: {{ $record.a | or $record.b | default "?" }}';
const CAPTURE =
  "take a part of a text with a pattern: regex: 'user=(?P<user>\\w+)', and then {{ $captures.user }}";
const TEXT = 'write the text around the references: {{ $record.a }} in {{ $record.b }}';
const TRUNCATE = 'use truncate: {{ $record.log | truncate 80 }}';
export const CONDITIONS = `a template has no conditions, loops and variables: make two rules, or choose ${FIRST}`;
const ARITHMETIC = 'a template cannot calculate; a test can compare numbers, such as {field: ms, gt: 500}';
const TIME = 'use humanizeTimestamp for seconds since 1970';
const ESCAPE = 'use slackEscape for Slack; JSON is escaped in any case';
const QUERY = 'a template sees one record and its rule, no metrics';

/** By the name in lower case. */
const HINTS = new Map(Object.entries({
  ...each(['upper', 'uppercase', 'ucase'], 'use toUpper'),
  ...each(['lower', 'lowercase', 'lcase'], 'use toLower'),
  ...each(['title', 'capitalize', 'snakecase', 'camelcase'], 'use toUpper or toLower'),
  ...each(['trimspace', 'strip', 'trimall', 'trimleft', 'trimright', 'nospace'], 'use trim: it removes space at both ends'),
  ...each(['trunc', 'substr', 'abbrev', 'slice', 'ellipsis', 'limit', 'alignleft', 'alignright'], TRUNCATE),
  ...each(['coalesce', 'firstof', 'first', 'ternary', 'empty', 'any', 'and'], FIRST),
  ...each(['if', 'else', 'end', 'range', 'with', 'define', 'template', 'block', 'break', 'continue', 'not', 'eq', 'ne', 'lt', 'le', 'gt', 'ge'], CONDITIONS),
  ...each(['rereplaceall', 'regexreplaceall', 'regexreplaceallliteral', 'replace', 'match', 'regexmatch', 'contains', 'hasprefix', 'hassuffix', 'split', 'splitlist', 'trimprefix', 'trimsuffix', 'stripport', 'stripdomain', 'fromjson', 'count'], CAPTURE),
  ...each(['printf', 'print', 'println', 'cat', 'join', 'quote', 'squote', 'repeat', 'indent', 'nindent', 'line', '__line__'], TEXT),
  ...each(['index', 'label', 'args', 'call', 'len', 'stringslice'], 'name what is meant: {{ $labels.pod }}, {{ $record.items[0] }}'),
  ...each(['add', 'sub', 'mul', 'div', 'mod', 'addf', 'subf', 'mulf', 'divf', 'max', 'min', 'int', 'float64', 'floor', 'ceil', 'round', 'maxf', 'minf'], ARITHMETIC),
  ...each(['date', 'todate', 'totime', 'unixtotime', 'unixepoch', 'now', 'tz', 'since', '__timestamp__', 'timestamp'], TIME),
  ...each(['duration', 'duration_seconds', 'parseduration', 'toduration'], 'use humanizeDuration for seconds: {{ $record.seconds | humanizeDuration }}'),
  ...each(['bytes', 'humanizebytes', 'filesize'], 'use humanize1024'),
  ...each(['percent', 'percentage'], 'use humanizePercentage for a share: 0.25 is 25%'),
  ...each(['html', 'safehtml', 'js', 'urlquery', 'urlencode', 'urldecode', 'escape', 'escapehtml', 'slack', 'tojson', 'b64enc', 'b64dec'], ESCAPE),
  ...each(['query', 'value', 'strvalue', 'sortbylabel', 'graphlink', 'tablelink', 'externalurl', 'pathprefix', 'tmpl'], QUERY),
})); // prettier-ignore

function each(names: string[], hint: string): Record<string, string> {
  return Object.fromEntries(names.map(name => [name, hint]));
}
