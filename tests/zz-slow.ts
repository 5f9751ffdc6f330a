import { parsePattern } from '../host/compiler/pattern.ts';
import { toProgram } from '../host/compiler/nfa.ts';
import { toDfa } from '../host/compiler/dfa.ts';
import { requiredLiterals } from '../host/compiler/literals.ts';
import { derivePrefilter } from '../host/fluent-bit/prefilter.ts';
import { readFileSync } from 'node:fs';
const ms = (f: () => any) => { const s = process.cpuUsage(); let r: any; try { r = f(); } catch (e) { r = e; } const u = process.cpuUsage(s); return [Math.round((u.user + u.system) / 1000), r] as const; };
const rep = (s: string, n: number) => s.repeat(n);
const letters = 'abcdefghijklmnopqrstuvwxyz';
const pats: Record<string, string> = {
  issue: 'x(?:.?y?){900}z',
  case: JSON.parse(readFileSync('/work/shared/cases/core/slow-compile/rules.yaml', 'utf8')).groups[0].rules[0].match.regex,
  pL: '\\pL{1000}', pL_opt: 'x(?:\\pL?\\pN?){900}z', pLw: '(?:\\pL\\d?){1000}', dot: '.{900}x', dots: 'a.{400}b', alt: '(?:a.{980}b|a.{980}c|a.{980}d|a.{980}e|a.{980}f)',
  nestedstar: rep('(?:', 240) + 'a' + rep('b?)*', 240), nested: rep('(?:', 240) + 'a' + rep('b)', 240),
  nestedalt: rep('(?:a|', 240) + 'z' + rep(')', 240),
  manyalt: Array.from({ length: 600 }, (_, i) => `w${i}`).join('|'),
  manyalts: rep('(?:aaaaaaaaaaaa|bbbbbbbbbbbbb|cccccccccccc|ddddddddddd|eeeeeeeeeeee|fffffffffff).', 100),
  wordb: 'x(?:\\b.?\\B?y?){400}z', lines: '(?m)(?:^.?$\\n?){500}z', ci: '(?i)' + rep('k?s?', 900) + 'z',
  classes: letters.split('').map(c => `[${c}\\x{100}-\\x{${(0x200 + c.charCodeAt(0) * 97).toString(16)}}]?`).join('').repeat(20),
  uni: rep('\\p{Greek}?\\p{Cyrillic}?\\p{Han}?', 150), notp: rep('\\PL?\\PN?\\PM?', 300), ppp: rep('(?:\\pL|\\pN|\\pM|\\pP|\\pS)?', 180),
  capt: Array.from({ length: 30 }, (_, i) => `(?P<g${i}>(?:a?x?){70})`).join('') + 'z',
  prefix: '^' + rep('a', 3900), prefixdot: '(?s)^' + rep('.', 3900) , lazy: 'x(?:.??y??){900}z', plusses: rep('a+', 1900), stars: rep('a*b*', 900), starsdot: rep('.*a', 900), skip: rep('[^a]*a', 600),
  rept: '(?:(?:(?:a{1,10}){1,10}){1,10}b)', emp: rep('(|a)', 900), empst: rep('(|a)*', 500), seteach: Array.from({length: 500}, (_, i) => `[\\x{${(0x400+i*2).toString(16)}}\\x{${(0x2000+i*3).toString(16)}}]?`).join(''),
  ab: '(?:a|b)*a(?:a|b){11}', ab20: '[ab]*a[ab]{20}c', wide: '[\\x{80}-\\x{10ffff}]{0,900}x',
};
const word = (i: number) => `w${i}x${i * 7919}`;
Object.assign(pats, {
  nestedbig: rep('(?:', 240) + 'a{3}' + Array.from({ length: 240 }, (_, i) => `[${letters[i % 26]}\\pL]?x|y${i}z*)`).join(''),
  nestedrep: rep('(?:', 240) + '\\pL?' + rep('\\pN?b*)', 239) + '){30}',
  manysets: Array.from({ length: 1800 }, (_, i) => `[\\pL\\x{${(0x4000 + i * 2).toString(16)}}]`).join(''),
  manysets2: Array.from({ length: 1200 }, (_, i) => `[^\\PL${String.fromCodePoint(0x4e00 + i)}]?`).join('') ,
  cifold: '(?i)' + Array.from({ length: 1500 }, (_, i) => `[a-z\\x{${(0x100 + i).toString(16)}}-\\x{2fff}]`).join('').slice(0, 16000).replace(/\[[^\]]*$/, ''),
  words1000: Array.from({ length: 1300 }, (_, i) => word(i)).join('|'),
  wordsdot: Array.from({ length: 500 }, (_, i) => `${word(i)}.*${word(i * 31)}`).join('|'),
  ciwords: '(?i)' + Array.from({ length: 900 }, (_, i) => `error${i}`).join('|'),
  longlit: rep('abcdefghijklmnopqrstuvwxyz', 600).slice(0, 9900),
  altlits: rep('(?:' + Array.from({ length: 16 }, (_, i) => word(i).repeat(4)).join('|') + ')\\d', 20),
  altlits64: rep('(?:' + Array.from({ length: 60 }, (_, i) => `${word(i)}`).join('|') + ')\\d', 22),
  altnest: rep('(?:x', 200) + Array.from({ length: 60 }, (_, i) => `${word(i)}`).join('|') + rep('y|\\d)', 200),
  reqrep: '(?:(?:' + Array.from({ length: 60 }, (_, i) => `${word(i)}`).join('|') + ')\\d){1,15}',
  caps: Array.from({ length: 32 }, (_, i) => `(?P<g${i}>`).join('') + rep('a?', 2000) + rep(')', 32),
  x255: '(?:' + Array.from({ length: 900 }, (_, i) => `x{${i % 9}}y`).join('|') + ')z',
  start: '(?:^|\\b)' + rep('(?:^|a|\\b|$)', 600), skipsets: rep('[^a]*a[^b]*b\\pL*1', 700),
  ten: 'a.{1000}', tenb: '(?:a.{250}|b.{240}|c.{230}|d.{220})x', big2: '[ab]{10}x(?:\\w{1,20}\\s){1,40}', emails: '(?:[a-z0-9._%+-]{1,64}@(?:[a-z0-9-]{1,63}\\.){1,8}[a-z]{2,63})',
  xs: 'x*' .repeat(4000), qs: 'x?'.repeat(4000), dotq: '.?'.repeat(4900), dotqx: '(?s)x(?:.?){1000}y', pq: '\\pL?'.repeat(3000) + 'x', pq2: 'x(?:\\pL?\\PN?\\w?){600}z', pq3:'x(?:\\pL?){1000}(?:\\pN?){1000}(?:\\PS?){1000}(?:[^a]?){1000}z',
});
const only = process.argv.slice(2);
for (const [name, p] of Object.entries(pats)) {
  if (only.length && !only.includes(name)) continue;
  const [tp, parsed] = ms(() => parsePattern(p));
  if (parsed instanceof Error) { console.log(name, 'parse error', tp, parsed.message); continue; }
  const [tn, prog] = ms(() => toProgram(parsed.pattern, parsed.captures));
  const [td, dfa] = prog instanceof Error ? [0, null] as const : ms(() => toDfa(prog, 2000));
  const [tl, lit] = ms(() => requiredLiterals(parsed.pattern));
  const [tf] = ms(() => derivePrefilter([{ alert: 'a', group: '', span: { start: 0, end: 0 }, labels: [], annotations: [], realertMs: 0, steps: [{ kind: 'test', field: ['log'], op: 'regex', source: p, pattern: parsed.pattern, captures: [], span: { start: 0, end: 0 } }] } as any]));
  console.log(name.padEnd(12), `${p.length} chars`, 'parse', tp, 'nfa', tn, prog instanceof Error ? 'ERR ' + prog.message.slice(0, 50) : prog.instructions.length, 'dfa', td, dfa instanceof Error ? 'ERR ' + dfa.message : dfa === null ? 'null' : dfa.rows.length, 'lit', tl, lit?.length, 'pre', tf, tp + tn + td + tl + tf > 1000 ? '  <<<<<' : '');
}
