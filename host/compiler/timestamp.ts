// Where a record says its time, and in which form: `timestamp: {field: time, format: rfc3339}`.
import { isScalar } from 'yaml';
import { TextError, nearest, quote } from '../error.ts';
import type { FieldPath, TimeField } from './model.ts';
import { parseInText, readSingleField, readMap, readText } from './reading.ts';
import type { Context, Entry } from './reading.ts';
import * as schema from './schema.ts';

/** Tried in this order where the rules name no field: Elasticsearch's, Vector's and Docker's. */
export const TIME_FIELDS: TimeField[] = [
  { field: ['@timestamp'], format: 'any' },
  { field: ['timestamp'], format: 'likely' },
  { field: ['time'], format: 'likely' },
];

export function readTimestamp(context: Context, entry: Entry): TimeField[] | undefined {
  const map = entry.value && readMap(context, entry.value, '"timestamp"', schema.TIMESTAMP_KEYS);
  if (!map) return undefined;
  const field: FieldPath | undefined = readSingleField(context, map.get('field'));
  const written = map.get('format')?.value;
  const text = readText(context, written, '"format"', schema.NAME_SIZE_MAX);
  if (text === undefined || !isScalar(written))
    return field && !written ? [{ field, format: 'any' }] : undefined;
  const format = parseInText(context, written, text, parseTimeFormat);
  return field && format !== undefined ? [{ field, format }] : undefined;
}

/** The format as the core reads it. Throws a TextError. */
export function parseTimeFormat(text: string): string {
  if (text === 'rfc3339' || text === 'epoch') return text;
  const span = { start: 0, end: text.length };
  if (!text.includes('%')) throw new TextError(`unknown time format ${quote(text)}`, span, formatHint(text));
  const format = text.replaceAll('%F', '%Y-%m-%d').replaceAll('%T', '%H:%M:%S').replaceAll('%R', '%H:%M');
  const seen = new Set<string>();
  for (const { 0: directive, index } of format.matchAll(/%(?:.|$)/gsu)) {
    const place = format === text ? { start: index, end: index + directive.length } : span;
    if (!KNOWN.includes(directive)) throw unknownDirective(directive, place);
    if (seen.has(directive)) throw new TextError(`${directive} is there twice`, place);
    seen.add(directive);
    if (directive === '%z' && index + 2 < format.length)
      throw new TextError('%z must come last', place, 'let Fluent Bit parse such a time');
  }
  const lacks = [['%Y'], ['%m', '%b'], ['%d', '%e']].find(
    options => !options.some(option => seen.has(option)),
  );
  if (lacks)
    throw new TextError(
      `the time format has no ${lacks.join(' or ')}`,
      span,
      lacks[0] === '%Y' ? NO_YEAR : undefined,
    );
  if (/[^\x20-\x7e]/.test(format)) throw new TextError('a time format is ASCII', span);
  return format.replaceAll('%e', '%d').replaceAll('%L', '%f');
}

const KNOWN = ['%Y', '%m', '%b', '%d', '%e', '%H', '%M', '%S', '%f', '%L', '%z', '%a'];
const NO_YEAR =
  'a time without its year, as in syslog, is not known: let Fluent Bit parse it, or send it as RFC 5424';
const FORMS = `write rfc3339, epoch, or a format of ${KNOWN.join(' ')}, such as '%d/%b/%Y:%H:%M:%S %z'`;

function unknownDirective(directive: string, span: { start: number; end: number }): TextError {
  const hint =
    directive === '%s'
      ? 'for seconds since 1970 write epoch'
      : directive === '%Z'
        ? 'names of time zones are ambiguous: write %z for an offset such as +0100, or leave it out for UTC'
        : directive === '%y' || directive === '%D'
          ? NO_YEAR
          : FORMS;
  return new TextError(`unknown ${quote(directive)} in a time format`, span, hint);
}

function formatHint(text: string): string {
  if (/2006|yyyy|YYYY|HH:mm/.test(text)) return `formats are those of strptime: ${FORMS}`;
  if (/^(?:iso|iso_?8601|rfc_?3339\w*|date)$/i.test(text)) return 'write rfc3339';
  if (/^(?:unix\w*|epoch\w*|m?s|us|ns|seconds|milli\w*|micro\w*|nano\w*)$/i.test(text))
    return 'write epoch: the unit is seen from the size of the number';
  if (/^(?:apache|nginx|clf|common|httpd)/i.test(text)) return `write '%d/%b/%Y:%H:%M:%S %z'`;
  if (/syslog|rfc_?3164/i.test(text)) return NO_YEAR;
  const near = nearest(text, ['rfc3339', 'epoch']);
  return near === undefined ? FORMS : `write ${near}`;
}
