import { parsePattern } from '../host/compiler/pattern.ts';
import { toProgram } from '../host/compiler/nfa.ts';
import { toDfa } from '../host/compiler/dfa.ts';
import { requiredLiterals } from '../host/compiler/literals.ts';
import { derivePrefilter } from '../host/fluent-bit/prefilter.ts';
const old = (await import('/tmp/old/host/compiler/dfa.ts' as string)) as any;
let s = Number(process.argv[2] ?? 1);
const rnd = (n: number) => { s = (Math.imul(s, 1103515245) + 12345) >>> 0; return Math.floor((s / 2 ** 32) * n); };
const pick = <T>(a: T[]): T => a[rnd(a.length)]!;
const atoms = ['a','b','x','.','\\pL','\\PN','[^a]','[a-f]','\\d','\\w','\\b','^','$','é','[\\x{80}-\\x{fff}]','(?i:k)','(?s:.)','error','\\B','(?m:$)'];
function gen(d: number): string {
  switch (rnd(8)) {
    case 0: case 1: return pick(atoms);
    case 2: return d <= 0 ? pick(atoms) : `(?:${gen(d - 1)})${pick(['?', '*', '+', '??', `{${rnd(60)}}`, `{0,${1 + rnd(300)}}`, `{${1 + rnd(900)}}`])}`;
    case 3: case 4: return d <= 0 ? pick(atoms) : `(?:${Array.from({ length: 2 + rnd(pick([3, 3, 60])) }, () => gen(d - 2)).join('|')})`;
    default: return d <= 0 ? pick(atoms) : Array.from({ length: 2 + rnd(pick([3, 4, 40])) }, () => gen(d - 1)).join('');
  }
}
const cpu = (f: () => any) => { const t = process.cpuUsage(); let r: any; try { r = f(); } catch (e) { r = e; } const u = process.cpuUsage(t); return [(u.user + u.system) / 1000, r] as const; };
let worst = 0, n = 0, lost = 0, had = 0; const end = Date.now() + Number(process.argv[3] ?? 40) * 1000;
while (Date.now() < end) {
  const p = gen(5);
  let parsed; try { parsed = parsePattern(p); } catch { continue; }
  n++;
  const [tn, prog] = cpu(() => toProgram(parsed.pattern, parsed.captures));
  const [td, dfa] = prog instanceof Error ? [0, 'err'] as const : cpu(() => toDfa(prog, 2000));
  if (dfa instanceof Error) console.log('DFA ERROR', p.slice(0, 200), dfa);
  const [tl] = cpu(() => requiredLiterals(parsed.pattern));
  const [tf, pre] = cpu(() => derivePrefilter([{ alert: 'a', labels: [], annotations: [], steps: [{ kind: 'test', field: ['log'], op: 'regex', source: p, pattern: parsed.pattern, captures: [] }] } as any]));
  if (pre instanceof Error) console.log('PRE ERROR', p.slice(0, 200), pre);
  const total = tn + td + tl + tf;
  if (total > worst) { worst = total; console.log(total.toFixed(), 'nfa', tn.toFixed(), 'dfa', td.toFixed(), 'lit', tl.toFixed(), 'pre', tf.toFixed(), p.length, p.slice(0, 150)); }
  if (dfa === null && prog.instructions.length < 1500) { const o = old.toDfa(prog, 2000); if (o !== null) { lost++; console.log('LOST', o.rows.length, prog.instructions.length, p.slice(0, 200)); } }
  else if (dfa) had++;
}
console.log({ n, had, lost, worst });
