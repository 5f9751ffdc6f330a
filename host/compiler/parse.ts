// `parse` of a rule: which of its fields are texts that hold fields. A path that goes on after such a field leads into the text.
import { TextError, quote } from '../error.ts';
import { formatFieldPath } from './field.ts';
import type { FieldPath, FieldStep, ParseFormat } from './model.ts';

// A text in a text in a text: each is unescaped and read on its own.
export const PARSE_DEPTH_MAX = 3;

/** The path with a step into each text that it leads through. Throws a TextError when it cannot. */
export function throughTexts(path: FieldPath, parses: Map<string, ParseFormat>): FieldPath {
  if (parses.size === 0) return path;
  const steps: FieldStep[] = [];
  let depth = 0;
  for (const [index, step] of path.entries()) {
    const outer = path.slice(0, index);
    const parse = parses.get(formatFieldPath(outer));
    if (parse !== undefined) {
      steps.push({ parse });
      depth++;
      if (parse === 'logfmt') checkPair(path, index, parses);
    }
    steps.push(step);
  }
  if (depth <= PARSE_DEPTH_MAX) return steps;
  throw new TextError(
    `${quote(formatFieldPath(path))} leads through ${depth} texts that are parsed, ${PARSE_DEPTH_MAX} allowed`,
    wholeOf(path),
  );
}

/** In logfmt a key is one step, whatever dots it has, and its value a text. */
function checkPair(path: FieldPath, index: number, parses: Map<string, ParseFormat>): void {
  const outer = path.slice(0, index);
  const inner = path.slice(index);
  const isKey = typeof inner[0] === 'string';
  if (isKey && (inner.length === 1 || parses.has(formatFieldPath(path.slice(0, index + 1))))) return;
  const key = formatFieldPath(inner);
  throw new TextError(
    `${quote(formatFieldPath(outer))} is parsed as logfmt, whose values hold no fields`,
    wholeOf(path),
    isKey ? `if the key has dots, write ${formatFieldPath([...outer, key])}` : 'name a key after it',
  );
}

function wholeOf(path: FieldPath) {
  return { start: 0, end: formatFieldPath(path).length };
}
