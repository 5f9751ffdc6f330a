import { writeFileSync, readFileSync, rmSync, mkdirSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
const variants = (w: string): string[] => [...w].reduce<string[]>((acc, c) => acc.flatMap(p => (c === 's' ? ['s', 'S', 'ſ'] : c === 'k' ? ['k', 'K', '\u212a'] : [c, c.toUpperCase()]).map(x => p + x)), ['']);
let seqs = process.argv.slice(2).map(a => a.replaceAll('_', ' '));
if (process.env.RANDOM) { let x = Number(process.env.RANDOM); const rnd = (n: number) => { x = (Math.imul(x, 1103515245) + 12345) >>> 0; return Math.floor(x / 2 ** 32 * n); };
 seqs = [...new Set(Array.from({ length: 250 }, () => Array.from({ length: 1 + rnd(7) }, () => 'ssskkttfiae1 '[rnd(13)]).join('').trim()))].filter(x => /[sk]/.test(x)); }
const rounds = Number(process.env.ROUNDS ?? 1);
for (let round = 0; round < rounds; round++) {
  const folder = `/tmp/fb/r${process.pid}_${round}`; rmSync(folder, { recursive: true, force: true }); mkdirSync(folder, { recursive: true });
  const cases = seqs.map((regex, i) => ({ regex: `(?i:${regex.replaceAll(' ', '\\x20')})`, i, texts: ((v: string[]) => v.length > 40 ? v.filter((_, k) => k % Math.ceil(v.length / 40) === (i % Math.ceil(v.length / 40))) : v)(variants(regex)) }));
  const records = cases.flatMap(({ texts, i }) => texts.map((log, j) => ({ id: `${i}.${j}`, log: process.env.BARE ? log : `..${log}..` })));
  writeFileSync(`${folder}/records.ndjson`, records.map(r => JSON.stringify(r) + '\n').join(''));
  writeFileSync(`${folder}/parsers.conf`, '[PARSER]\n    name json\n    format json\n');
  writeFileSync(`${folder}/f.yaml`, JSON.stringify({ service: { flush: 0.2, parsers_file: 'parsers.conf', log_level: 'warn' }, pipeline: { inputs: [{ name: 'tail', tag: 'all', path: `${folder}/records.ndjson`, read_from_head: 'true', parser: 'json' }], filters: cases.map(({ regex, i }) => ({ name: 'rewrite_tag', match: 'all', rule: [`$log ${regex} hit.${i} true`], emitter_name: `hit_${i}` })), outputs: [{ name: 'file', match: 'hit.*', path: folder, format: 'plain' }, { name: 'file', match: 'all', path: folder, file: 'done' }] } }));
  const child = spawn('fluent-bit', ['-q', '-c', `${folder}/f.yaml`], { stdio: 'inherit' });
  const read = (n: string) => { try { return readFileSync(`${folder}/${n}`, 'utf8').trim().split('\n'); } catch { return []; } };
  for (let i = 0; read('done').length < records.length && i < 300; i++) await sleep(100);
  await sleep(1500);
  child.kill('SIGKILL');
  const missed: string[] = [];
  for (const { regex, i, texts } of cases) {
    const ids = new Set(read(`hit.${i}`).filter(Boolean).map(l => JSON.parse(l).id));
    const m = texts.filter((_, j) => !ids.has(`${i}.${j}`));
    missed.push(`${regex}: ${texts.length - m.length}/${texts.length}${m.length ? ' missed ' + m.slice(0, 12).join(' ') : ''}`);
  }
  console.log(missed.filter(m => m.includes('missed')).join('\n'), missed.length, '\n--');
}
