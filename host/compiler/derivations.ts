// Fields that are derived from others → what the core computes them by: one derivation for all captures of a pattern in a
// field, for all fields in a text, and for the strings of the record.
import * as layout from '../../assembly/layout.ts';
import type { Derivation, Tables } from './compiled.ts';
import { indexesOf } from './fields.ts';
import { derivedFrom } from './path.ts';
import { findPattern } from './patterns.ts';

/** The derivations but those of texts, which `triesOf` makes. */
export function derivationsOf({ fields, patterns }: Pick<Tables, 'fields' | 'patterns'>): Derivation[] {
  const derivations = new Map<string, Derivation>();
  const indexes = indexesOf(fields.list);
  fields.list.forEach((path, field) => {
    const derived = derivedFrom(path);
    if (derived === null || 'parse' in derived.step) return;
    if ('every' in derived.step) {
      derivations.set('strings', { kind: layout.DERIVE_STRINGS, source: field, captured: [], pattern: null });
      return;
    }
    const { capture, regex, ignoreCase } = derived.step;
    const source = indexes.get(JSON.stringify(derived.source))!;
    const pattern = findPattern(patterns, regex, ignoreCase);
    const key = `${source} ${pattern}`;
    const derivation = derivations.get(key) ?? {
      kind: layout.DERIVE_CAPTURES,
      source,
      pattern,
      captured: [],
    };
    derivations.set(key, derivation);
    const slot = 2 * patterns.list[pattern]!.program.captures.indexOf(capture);
    derivation.captured.push({ slot, field });
  });
  return [...derivations.values()];
}
