// What a path leads to: one value or several, text only or anything, in the record itself or derived from another field.
import type { Captured, EveryString, FieldPath, FieldStep, ParsedText } from './model.ts';

/** A path with what it is derived from: the fields of a text, the captures of a pattern, the strings of the record. */
export interface DerivedPath {
  source: FieldPath;
  step: ParsedText | Captured | EveryString;
  /** The way on from there. */
  rest: FieldPath;
}

/** Null for a path of the record itself. */
export function derivedFrom(path: FieldPath): DerivedPath | null {
  const at = path.findLastIndex(isDeriving);
  if (at < 0) return null;
  return { source: path.slice(0, at), step: path[at] as DerivedPath['step'], rest: path.slice(at + 1) };
}

function isDeriving(step: FieldStep): boolean {
  return typeof step === 'object' && !isEveryItem(step);
}

export function isEveryItem(step: FieldStep): boolean {
  return typeof step === 'object' && 'every' in step && step.every === 'item';
}

/** Keys and indexes only. */
export function isPlain(path: FieldPath): path is readonly (string | number)[] {
  return path.every(step => typeof step !== 'object');
}

/** The capture that a path ends with. */
export function captureOf(path: FieldPath): Captured | undefined {
  const last = path.at(-1);
  return typeof last === 'object' && 'capture' in last ? last : undefined;
}

/** Whether it goes into a text that is parsed. */
export function isParsed(path: FieldPath): boolean {
  return path.some(step => typeof step === 'object' && 'parse' in step);
}

export function isOfEveryString([first]: FieldPath): boolean {
  return typeof first === 'object' && 'every' in first && first.every === 'string';
}

/** Whether there can be several values. A capture is one text: that of the first value in which its pattern is found. */
export function isList(path: FieldPath): boolean {
  if (captureOf(path)) return false;
  return path.some(step => typeof step === 'object' && 'every' in step);
}

/** Whether every value is a text, so that a number in it is one that is written out. */
export function isText(path: FieldPath): boolean {
  const derived = derivedFrom(path);
  return derived !== null && !('parse' in derived.step && derived.step.parse === 'json');
}

export function isSamePath(left: FieldPath, right: FieldPath): boolean {
  return left.length === right.length && isBeginning(left, right);
}

/** Whether a value at `inner` makes the one at `outer` an object or an array. */
export function isWithin(inner: FieldPath, outer: FieldPath): boolean {
  return inner.length > outer.length && isBeginning(outer, inner) && !isDeriving(inner[outer.length]!);
}

function isBeginning(start: FieldPath, path: FieldPath): boolean {
  return start.every((step, index) => JSON.stringify(step) === JSON.stringify(path[index]));
}
