// Rules files that are broken: whatever stands in a file, each mistake has a place and there is no stack trace.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError, formatProblem } from '../../host/error.ts';
import { bakeModule, readRulesFile } from '../../host/command/rules-file.ts';
import { fluentBitSetup } from '../../host/fluent-bit/setup.ts';
import type { Dice } from './dice.ts';
import { toYaml } from './model.ts';
import { makeRules, makeStock } from './rules.ts';

export interface FileCounts {
  files: number;
  accepted: number;
}

const FIXTURES = new URL('../compiler/rules/', import.meta.url);
const fixtures = [
  ...readdirSync(FIXTURES)
    .filter(name => name.endsWith('.yaml'))
    .sort()
    .map(name => new URL(name, FIXTURES)),
  new URL('../../fluent-bit/rules.yaml', import.meta.url),
].map(url => readFileSync(url, 'utf8'));

/** What is wrong with how a file is read, and the file; null when nothing is. */
export async function fileRound(
  dice: Dice,
  count: number,
  counts: FileCounts,
): Promise<{ what: string; yaml: string } | null> {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-fuzz-'));
  try {
    for (let i = 0; i < count; i++) {
      const yaml = breakText(
        dice,
        dice.chance(0.4) ? toYaml(makeRules(dice, makeStock(dice), 4)) : dice.pick(fixtures),
      );
      const path = join(folder, 'rules.yaml');
      writeFileSync(path, yaml);
      counts.files++;
      const what = await wrongReading(path, counts);
      if (what !== null) return { what, yaml };
    }
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function wrongReading(path: string, counts: FileCounts): Promise<string | null> {
  try {
    const { source, problems, file, ruleset } = await readRulesFile(path);
    const misplaced = problems.find(
      ({ span }) => !(0 <= span.start && span.start <= span.end && span.end <= source.length),
    );
    if (misplaced) return `a problem stands nowhere: ${JSON.stringify(misplaced)}`;
    const ill = problems
      .map(problem => formatProblem(problem, 'rules.yaml', source))
      .find(text => !isMessage(text));
    if (ill !== undefined) return `a message that is none: ${ill}`;
    const isWrong = problems.some(({ severity }) => severity === 'error');
    if (isWrong !== (ruleset === null))
      return `${ruleset ? 'a' : 'no'} ruleset and ${isWrong ? '' : 'no '}errors`;
    if (ruleset === null) return null;
    counts.accepted++;
    const module = await bakeModule(ruleset);
    fluentBitSetup({ rules: file.rules, module, hash: ruleset.hash, source: path, folder: '/earshot' });
    return null;
  } catch (error) {
    return error instanceof UserError ? null : `reading throws: ${(error as Error).stack}`;
  }
}

function isMessage(text: string): boolean {
  return (
    /^rules\.yaml:\d+:\d+: (?:error|warning): \S/.test(text) && !/\bundefined\b|\[object |^ +at /m.test(text)
  );
}

// ── Damage ──

const FRAGMENTS = [
  '"', "'", '{', '}', '[', ']', ':', ': ', ',', '- ', '\n', '\n  ', '\t', '#', '&a ', '*a', '!!str ', '|', '>', '%', '@',
  '\\', '\0', '\ud800', '\u2028', '\ufeff', '---\n', '...\n', '<<: *a', '? ', 'null', '~', 'true', '0', '-1', '1e999', '.inf',
  '5m', '{{ $record', '{{ $captures.x }}', '}}', '(', ')', '(?P<a>', '[^', '\\p{', '{1000}', '*', '**', '$', 'any:', 'not:',
  'all: []', 'threshold: {count: 2, within: 5m}', 'absence: {for: 1h}', 'sequence: {steps: [], within: 1m}', 'realert: 0s',
  'limits: {keys: 1000}', '[0]', '["', '.', '..', '999999999999999999999', 'x'.repeat(300), '😀', 'ſ', '__proto__', 'constructor',
]; // prettier-ignore

/** Up to four pieces taken out, doubled, moved or replaced; or the file is cut. */
function breakText(dice: Dice, text: string): string {
  let broken = text;
  for (let i = dice.pick([1, 1, 2, 4]); i > 0; i--) broken = breakOnce(dice, broken);
  return dice.chance(0.1) ? broken.slice(0, dice.below(broken.length + 1)) : broken;
}

function breakOnce(dice: Dice, text: string): string {
  const at = dice.below(text.length + 1);
  const size = dice.pick([0, 1, 1, 5, 40]);
  const piece = text.slice(at, at + size);
  const rest = text.slice(at + size);
  switch (dice.below(6)) {
    case 0:
      return text.slice(0, at) + rest;
    case 1:
      return text.slice(0, at) + piece + piece + rest;
    case 2:
    case 3:
      return text.slice(0, at) + dice.pick(FRAGMENTS) + rest;
    case 4: {
      const lines = text.split('\n');
      const line = lines.splice(dice.below(lines.length), 1);
      return lines.toSpliced(dice.below(lines.length + 1), 0, ...line).join('\n');
    }
    default:
      return text.replace(/(?<=: )[^,\n]+/g, value => (dice.chance(0.05) ? dice.pick(FRAGMENTS) : value));
  }
}
