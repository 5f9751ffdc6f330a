// What is wrong with a user's input, in a form that every stage can report without stopping: a stage
// calls `report(problem)` and carries on, so that one run shows every mistake. Offsets inside; line,
// column, excerpt and caret are added once, by `formatProblem`.

/** A position in a source text: UTF-16 offsets, `end` exclusive. */
export interface Span {
  start: number;
  end: number;
}

/** One mistake or warning in a rules file. `pattern` adds the second excerpt, for a bad regular expression or path. */
export interface Problem {
  severity: 'error' | 'warning';
  /** What is wrong, naming the thing in quotes. No final full stop. */
  message: string;
  /** What to do about it, or undefined when the message already says so. */
  hint?: string;
  /** Where in the rules file. */
  span: Span;
  /** The text itself and where in it: YAML escapes make offsets inside a scalar unreliable. */
  pattern?: { source: string; span: Span; note: string };
}

/** A file of rules. Positions in several files count on from file to file: `start` is the first of this one. */
export interface Source {
  path: string;
  text: string;
  start: number;
}

/** The file in which a position is. */
export function sourceAt(sources: Source[], offset: number): Source {
  return sources.findLast(source => source.start <= offset) ?? sources[0]!;
}

/** A problem with its position in its own file. */
export function inSource(problem: Problem, { start }: Source): Problem {
  return { ...problem, span: { start: problem.span.start - start, end: problem.span.end - start } };
}

/** The file and the line, from 1, of a position. */
export function placeOf(sources: Source[], offset: number): { file: string; line: number } {
  const { path, text, start } = sourceAt(sources, offset);
  return { file: path, line: locate(text, offset - start).line };
}

/** For messages: `rules.yaml:12`. */
export function lineAt(sources: Source[], offset: number): string {
  const { file, line } = placeOf(sources, offset);
  return `${file}:${line}`;
}

export type Report = (problem: Problem) => void;

/** A mistake of the user's: printed as a sentence, without a stack. Anything else that is thrown is a bug. */
export class UserError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A mistake within one text of the rules file, such as a field path: the offsets are in that text. */
export interface TextProblem {
  message: string;
  hint?: string;
  span: Span;
}

export class TextError extends UserError implements TextProblem {
  readonly span: Span;
  readonly hint?: string;
  constructor(message: string, span: Span, hint?: string) {
    super(message);
    this.span = span;
    if (hint !== undefined) this.hint = hint;
  }
}

// An excerpt fits a terminal of 100 columns; a longer line is cut around the caret.
const EXCERPT_COLUMNS = 100;
const TAB_COLUMNS = 4;

/**
 *   rules.yaml:12:12: error: pattern has an unclosed group
 *   12 |     match: "(GET|POST /login"
 *      |            ^^^^^^^^^^^^^^^^^^
 *     (GET|POST /login
 *     ^ opened here
 *   hint: close the group with `)`
 */
export function formatProblem(problem: Problem, fileName: string, source: string): string {
  const { severity, message, hint, pattern } = problem;
  const { line, column, lineEnd } = locate(source, problem.span.start);
  const lineStart = problem.span.start - (column - 1);
  const text = source.slice(lineStart, source[lineEnd - 1] === '\r' ? lineEnd - 1 : lineEnd);
  const span = { start: column - 1, end: problem.span.end - lineStart };
  const blank = ' '.repeat(String(line).length);
  const lines = [`${fileName}:${line}:${column}: ${severity}: ${printable(message)}`];
  lines.push(...excerpt(text, span, `${line} | `, `${blank} | `, ''));
  if (pattern) lines.push(...excerpt(pattern.source, pattern.span, '  ', '  ', printable(pattern.note)));
  if (hint !== undefined) lines.push(`hint: ${printable(hint)}`);
  return lines.join('\n');
}

/** The same for editors and CI. Lines and columns start at 1; columns count UTF-16 units, as editors do. */
export function problemToJson(problem: Problem, fileName: string, source: string) {
  const { severity, message, hint, span, pattern } = problem;
  const start = locate(source, span.start);
  const end = locate(source, span.end);
  return {
    file: fileName,
    line: start.line,
    column: start.column,
    endLine: end.line,
    endColumn: end.column,
    severity,
    message,
    ...(hint !== undefined && { hint }),
    ...(pattern && {
      pattern: {
        source: pattern.source,
        column: pattern.span.start + 1,
        endColumn: pattern.span.end + 1,
        note: pattern.note,
      },
    }),
  };
}

/** User text inside a message: quoted, and short enough for one line. */
export function quote(text: string): string {
  const characters = [...text.slice(0, 200)];
  const short = text.length > 60 ? `${characters.slice(0, 57).join('')}…` : text;
  return short.includes('"') && !short.includes("'") ? `'${short}'` : `"${short}"`;
}

/** 10432 → "10,432": a limit is easier to compare in this form. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

const DURATION_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** 90000000 → "1d1h", as a rules file has it. */
export function formatDuration(durationMs: number): string {
  let rest = durationMs;
  const parts = DURATION_UNITS.map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count > 0 ? `${count}${unit}` : '';
  });
  return parts.join('') || '0s';
}

/** The candidate that was probably meant by `word`, if one is near: a third of its letters may be wrong. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const allowed = Math.floor(Math.max(word.length, candidate.length) / 3);
    if (Math.abs(word.length - candidate.length) > allowed) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance <= allowed && distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Damerau-Levenshtein: letters inserted, deleted, replaced, or two neighbours swapped. */
function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const same = left[i - 1] === right[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      if (swapped) cost = Math.min(cost, beforeLast[j - 2]! + 1);
      row.push(cost);
    }
    [beforeLast, last] = [last, row];
  }
  return last[right.length]!;
}

// The line starts of the last text asked for: a file with ten thousand mistakes is split once, not ten
// thousand times.
let locatedText = '';
let lineStarts = [0];

function locate(source: string, offset: number): { line: number; column: number; lineEnd: number } {
  if (source !== locatedText) {
    lineStarts = [0];
    for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) lineStarts.push(at + 1);
    locatedText = source;
  }
  let low = 0;
  let high = lineStarts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (lineStarts[middle]! <= offset) low = middle;
    else high = middle;
  }
  // A file may be one line with very many mistakes: its end is not searched for each of them.
  const lineEnd = low + 1 < lineStarts.length ? lineStarts[low + 1]! - 1 : source.length;
  return { line: low + 1, column: offset - lineStarts[low]! + 1, lineEnd };
}

/** One character as the terminal shows it: where it is in the text, and how many columns it takes. */
interface Cell {
  shown: string;
  width: number;
  offset: number;
}

/** The line with carets under the span, which may end beyond the line. */
function excerpt(text: string, span: Span, prefix: string, caretPrefix: string, note: string): string[] {
  const { cells, cutLeft, cutRight } = cellsAround(text, span.start);
  const before = cells.filter(cell => cell.offset < span.start).length;
  const after = cells.filter(cell => cell.offset < Math.max(span.end, span.start + 1)).length;
  const { from, to } = visibleCells(cells, before, after, EXCERPT_COLUMNS - prefix.length);
  const left = cutLeft || from > 0 ? '…' : '';
  const right = cutRight || to < cells.length ? '…' : '';
  const line = left + cells.slice(from, to).map(cell => cell.shown).join('') + right; // prettier-ignore
  const indent = ' '.repeat(left.length + columnsOf(cells.slice(from, before)));
  const carets = '^'.repeat(Math.max(1, columnsOf(cells.slice(before, Math.min(after, to)))));
  return [(prefix + line).trimEnd(), `${caretPrefix}${indent}${carets}${note && ` ${note}`}`];
}

// Only what may be shown is split into cells: a line can be 16 MiB long.
const CELLS_AROUND = 4 * EXCERPT_COLUMNS;
/** Each character takes one column. */
const PLAIN = /^[ -~]*$/;

function cellsAround(text: string, offset: number): { cells: Cell[]; cutLeft: boolean; cutRight: boolean } {
  const isPlain = PLAIN.test(text.slice(Math.max(0, offset - EXCERPT_COLUMNS), offset + EXCERPT_COLUMNS));
  const size = isPlain ? EXCERPT_COLUMNS : CELLS_AROUND;
  let start = Math.max(0, offset - size);
  if (isLowSurrogate(text, start)) start++;
  const end = Math.min(text.length, offset + size);
  const cells: Cell[] = [];
  let at = start;
  let column = 0;
  for (const character of text.slice(start, end)) {
    const cell = { ...shownAs(character, column), offset: at };
    cells.push(cell);
    at += character.length;
    column += cell.width;
  }
  return { cells, cutLeft: start > 0, cutRight: end < text.length };
}

function isLowSurrogate(text: string, offset: number): boolean {
  return offset > 0 && (text.charCodeAt(offset) & 0xfc00) === 0xdc00;
}

/** Which cells fit: the marked ones first, then as much before them as after. */
function visibleCells(cells: Cell[], before: number, after: number, columns: number) {
  if (columnsOf(cells) <= columns) return { from: 0, to: cells.length };
  let free = columns - 2; // an ellipsis on either side
  let from = before;
  let to = before;
  const takeRight = (limit: number, leave: number) => {
    while (to < limit && free - cells[to]!.width >= leave) free -= cells[to++]!.width;
  };
  const takeLeft = (leave: number) => {
    while (from > 0 && free - cells[from - 1]!.width >= leave) free -= cells[--from]!.width;
  };
  takeRight(after, 20); // enough text before a long span to recognise the line
  takeLeft(free >> 1);
  takeRight(cells.length, 0);
  takeLeft(0);
  return { from, to };
}

function columnsOf(cells: Cell[]): number {
  return cells.reduce((sum, cell) => sum + cell.width, 0);
}

function shownAs(character: string, column: number): { shown: string; width: number } {
  if (character >= ' ' && character <= '~') return { shown: character, width: 1 };
  if (character === '\t') {
    const width = TAB_COLUMNS - (column % TAB_COLUMNS);
    return { shown: ' '.repeat(width), width };
  }
  const shown = printable(character);
  if (/^[\p{Mn}\p{Me}\p{Cf}]/u.test(shown)) return { shown, width: 0 };
  return { shown, width: isWide(shown.codePointAt(0)!) ? 2 : 1 };
}

/** Rules come from strangers too: no character of theirs may move the cursor or turn the text around. */
export function printable(text: string): string {
  return text
    .replace(/[\0-\x1f]/g, control => String.fromCodePoint(0x2400 + control.charCodeAt(0)))
    .replace(/[\x7f-\x9f\u2028\u2029\p{Bidi_Control}\p{Surrogate}]/gu, '\ufffd');
}

// East Asian wide characters and emoji, in blocks: a caret one column off is better than a table of Unicode.
const WIDE = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1faff],
  [0x20000, 0x3fffd],
] as const;

function isWide(codePoint: number): boolean {
  return WIDE.some(([first, last]) => first <= codePoint && codePoint <= last);
}
