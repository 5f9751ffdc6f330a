// Which conditions of which rules the tests decided. A condition decides about a record when another answer of this one
// condition would change whether the rule matches: a condition that never decided could be removed, or be wrong, and no
// test would fail.
import { formatCount, placeOf } from '../../error.ts';
import type { Explainer } from '../explain.ts';
import { answersTo, decidingSpans, spanKey } from '../misses.ts';

interface Seen {
  rule: string;
  file: string;
  line: number;
  written: string;
  /** Records that this condition let in, and records that it kept out. */
  letIn: number;
  keptOut: number;
}

export interface Coverage {
  /** Makes the conditions of a file known, so that those that no record reaches are reported, too. */
  begin(explainer: Explainer): void;
  look(explainer: Explainer, record: Uint8Array): void;
  report(): string;
}

export function openCoverage(): Coverage {
  const conditions = new Map<string, Seen>();
  const keyOf = (file: string, rule: number, key: string) => `${file} ${rule} ${key}`;
  return {
    begin({ rules, ruleset }) {
      for (const { rule, code } of ruleset.compiled.steps)
        for (const { test } of code) {
          const key = keyOf(rules.path, rule, spanKey(test.span));
          if (conditions.has(key)) continue;
          conditions.set(key, {
            rule: rules.file.rules[rule]!.alert,
            ...placeOf(rules.sources, test.span.start),
            written: rules.source.slice(test.span.start, test.span.end).replace(/\s+/g, ' '),
            letIn: 0,
            keptOut: 0,
          });
        }
    },
    look(explainer, record) {
      for (const { rule, step, isMet } of answersTo(explainer, record, () => true) ?? [])
        for (const key of new Set(decidingSpans(explainer, step))) {
          const seen = conditions.get(keyOf(explainer.rules.path, rule, key));
          if (seen) seen[isMet ? 'letIn' : 'keptOut']++;
        }
    },
    report() {
      const all = [...conditions.values()];
      const undecided = all.filter(seen => seen.letIn === 0 || seen.keptOut === 0);
      const decided = all.length - undecided.length;
      const share = all.length === 0 ? 100 : Math.floor((decided / all.length) * 100);
      const lines = undecided.map(
        ({ file, line, rule, written, letIn, keptOut }) =>
          `  ${file}:${line}: ${rule}: ${written}\n    ${whatIsMissing(letIn, keptOut)}\n`,
      );
      return `coverage: ${formatCount(decided)} of ${formatCount(all.length)} conditions are decided both ways (${share} %)\n${lines.join('')}`;
    },
  };
}

function whatIsMissing(letIn: number, keptOut: number): string {
  if (letIn === 0 && keptOut === 0) return 'no test decides it';
  return letIn === 0
    ? 'no record matches because of it'
    : 'no record is kept out by it alone: without it, every test would pass';
}
