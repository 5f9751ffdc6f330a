// The "parse" of a group or a rule: YAML → the fields whose text holds fields.
import { isMap, isScalar } from 'yaml';
import { quote } from '../error.ts';
import type { Span } from '../error.ts';
import { spanOf, writtenAs } from './document.ts';
import { formatFieldPath } from './field.ts';
import type { FieldPath, ParseFormat } from './model.ts';
import { fail, failType, readField, readPairs } from './reading.ts';
import type { Context, Entry } from './reading.ts';
import * as schema from './schema.ts';

export interface ParsedField {
  path: FieldPath;
  format: ParseFormat;
  span: Span;
}

/** Paths in "parse" are written as they are tested: they do not lead through texts themselves. */
export function readParse(context: Context, entry: Entry | undefined): ParsedField[] {
  context.parses = new Map();
  const parsed: ParsedField[] = [];
  if (!entry?.value) return parsed;
  if (!isMap(entry.value)) {
    failType(context, entry.value, '"parse"', 'parse');
    return parsed;
  }
  const entries = readPairs(context, entry.value);
  if (entries.length === 0) fail(context, entry.key, '"parse" names no field', 'write {log: json}');
  if (entries.length > schema.PARSES_MAX)
    fail(context, entry.key, `"parse" names ${entries.length} fields, ${schema.PARSES_MAX} allowed`);
  for (const { name, key, value } of entries) {
    const path = readField(context, { name: 'parse', key, value: key });
    const format = isScalar(value) ? value.value : undefined;
    if (format === 'json' || format === 'logfmt') {
      if (path) parsed.push({ path, format, span: spanOf(context.document, key) });
    } else if (value) {
      const message = `${quote(name)} must be parsed as json or logfmt, found ${quote(writtenAs(context.document, value))}`;
      fail(context, value, message, FORMAT_HINT);
    }
  }
  return parsed;
}

const FORMAT_HINT = 'other formats are taken apart by a "regex" with captures, or by a parser of Fluent Bit';

/** By the path as it is written; the last one of a path wins. */
export function parsesOf(parsed: ParsedField[]): Map<string, ParseFormat> {
  return new Map(parsed.map(({ path, format }) => [formatFieldPath(path), format]));
}
