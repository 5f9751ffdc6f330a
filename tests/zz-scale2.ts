const root = process.argv[2]!;
const { parseRules } = await import(`${root}/host/compiler/rules.ts`);
const { compileRules } = await import(`${root}/host/compiler/compile.ts`);
const { derivePrefilter } = await import(`${root}/host/fluent-bit/prefilter.ts`);
const R = (i: number, match: any, more: any = {}) => ({ alert: `r${i}`, match, annotations: { message: 'x' }, ...more });
const kinds: Record<string, (i: number) => any> = {
  contains: i => R(i, { field: 'log', contains: `error code ${i * 7919} now` }),
  same: i => R(i, { all: [{ field: 'ns', eq: 'shop' }, { field: 'log', contains: `w${i}` }] }),
  gateonly: i => R(i, { all: [{ field: 'ns', eq: 'shop' }, { field: 'n', gt: i }] }),
  fields: i => R(i, { field: `a.f${i}.x`, eq: `v${i}` }),
  eq: i => R(i, { field: `ns`, eq: `v${i}` }),
  regexnolit: i => R(i, { all: [{ field: 'ns', eq: `v${i}` }, { field: 'log', regex: `^[a-z]{${1 + (i % 20)}}\\d${i % 7}[a-z]{${1 + (i % 13)}}` }] }),
  one: i => R(i, { field: 'log', regex: `error.*${i}` }),
  prefix: i => R(i, { field: 'log', startsWith: `/api/${i}/` }),
  caps: i => R(i, { field: 'log', regex: `x${i} ` + Array.from({ length: 14 }, (_, j) => `(?P<c${j}>\\d+)`).join(' ') }, { labels: { a: '{{ $captures.c3 }}' } }),
  words: i => R(i, { any: [`alpha${i}`, `beta${i}`, `gamma${i}`].map(contains => ({ field: 'log', contains })) }),
};
const cpu = (f: () => any) => { const t = process.cpuUsage(); let r: any; try { r = f(); } catch (e) { r = { rules: [], bytes: [], error: (e as Error).message.slice(0, 90) }; } const u = process.cpuUsage(t); return [Math.round((u.user + u.system) / 1000), r] as const; };
for (const [k, make] of Object.entries(kinds)) for (const n of [100, 100, 1000, 10000]) {
  const y = JSON.stringify({ groups: [{ name: 'g', rules: Array.from({ length: n }, (_, i) => make(i)) }] });
  const [tp, file] = cpu(() => parseRules(y, () => {}));
  const [tc, c] = cpu(() => compileRules(file, (p: any) => console.log(p.message)));
  const [tf, pre] = cpu(() => derivePrefilter(file.rules));
  console.log(k.padEnd(10), n, 'parse', tp, 'compile', tc, 'prefilter', tf, c?.bytes?.length, c?.error ?? '', pre?.error ?? '');
}
