// Case files: rules, then what happens, then what is told, in the order of the file. A line with `>` is done, the
// lines below it are everything that came of it:
//
//   > 1.5 {"log":"boom"}      a record 1.5 s after the start
//   > tick 60                 it is 60 s after the start, the host says
//   > snapshot, restore, reset, held
//   > start 0                 from here on, times count from 1970
//
// EARSHOT_UPDATE=1 writes the outcome into the files; read the difference before you commit it.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { START_MS, Teller } from './teller.ts';
import type { Alert } from './teller.ts';

const FOLDER = join(import.meta.dirname, 'cases');

for (const name of readdirSync(FOLDER).sort()) {
  test(`case ${name}`, async () => {
    const path = join(FOLDER, name);
    const expected = readFileSync(path, 'utf8');
    const actual = await perform(expected);
    if (process.env.EARSHOT_UPDATE) writeFileSync(path, actual);
    else assert.equal(actual, expected);
  });
}

async function perform(source: string): Promise<string> {
  const [rules, script] = source.split(/^---$/m) as [string, string];
  const teller = await Teller.of(rules);
  let startMs = START_MS;
  let snapshot = new Uint8Array();
  const seconds = (ms: number) => (ms - startMs) / 1000;
  const line = ({ status, name, labels, annotations, startsMs, endsMs }: Alert) =>
    `${status} ${name} ${JSON.stringify(labels)} ${JSON.stringify(annotations)} ${seconds(startsMs)}` +
    (endsMs === null ? '' : ` to ${seconds(endsMs)}`);

  function act(command: string): string[] {
    const [, verb, rest] = /^(\S+) ?(.*)$/.exec(command)!;
    switch (verb) {
      case 'start':
        startMs = Number(rest) * 1000;
        return [];
      case 'tick':
        return teller.tick(startMs + Number(rest) * 1000).map(line);
      case 'snapshot':
        snapshot = teller.matcher.snapshot().slice();
        return [];
      case 'restore':
        teller.matcher.restore(snapshot);
        return [];
      case 'reset':
        teller.matcher.reset();
        return [];
      case 'suppressed':
        return [JSON.stringify(teller.matcher.suppressed())];
      case 'end':
        return teller.end().map(line);
      default:
        return teller.match(JSON.parse(rest!), Math.round(startMs + Number(verb) * 1000)).map(line);
    }
  }

  const out: string[] = [];
  for (const text of script.split('\n')) {
    if (text.startsWith('> ')) out.push(text, ...act(text.slice(2)));
    else if (text === '' || text.startsWith('#')) out.push(text);
  }
  return `${rules}---${out.join('\n')}`;
}
