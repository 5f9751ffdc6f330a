import { readFileSync } from 'node:fs';
import { parseRules } from '../host/compiler/rules.ts';
import { compileRules } from '../host/compiler/compile.ts';
import { derivePrefilter } from '../host/fluent-bit/prefilter.ts';
const y = readFileSync(process.argv[2]!, 'utf8');
console.time('parse'); const f = parseRules(y, () => {}); console.timeEnd('parse');
console.time('compile'); try { compileRules(f, () => {}); } catch (e) { console.log((e as Error).message); } console.timeEnd('compile');
console.time('pre'); derivePrefilter(f.rules); console.timeEnd('pre');
