const root = process.argv[2]!;
const { parseRules } = await import(`${root}/host/compiler/rules.ts`);
const { compileRules } = await import(`${root}/host/compiler/compile.ts`);
const { derivePrefilter } = await import(`${root}/host/fluent-bit/prefilter.ts`);
function many(count: number): string {
  const rules = Array.from({ length: count }, (_, i) => i % 3 === 0 ? ({
    alert: `${i} Request`,
    match: { all: [
      { field: 'kubernetes.namespace_name', eq: `project-${i % 700}` },
      { field: 'kubernetes.pod_name', regex: `^app${i}-v1-[A-Za-z0-9]{9}-[A-Za-z0-9]{5}$` },
      { field: 'log', regex: `"(?P<method>[A-Z]+) (?P<path>/api/${i}/\\S*) HTTP/[0-9.]+" ${400 + (i % 200)} ` } ] },
    labels: { severity: 'warning', namespace: '{{ $record.kubernetes.namespace_name }}', method: '{{ $captures.method }}' },
    annotations: { message: `{{ $captures.method }} {{ $captures.path }}` } })
  : i % 3 === 1 ? ({ alert: `${i} error`, match: { all: [ { field: 'kubernetes.labels.app', in: [`svc-${i}`, `svc-${i + 1}`] }, { field: 'log', contains: `error code ${i}` }, { not: { field: 'stream', eq: 'stdout' } } ] }, threshold: { count: 5, within: '5m' }, labels: { app: '{{ $record.kubernetes.labels.app }}' }, annotations: { message: 'x' } })
  : ({ alert: `${i} panic`, match: { any: [ { field: 'log', regex: `panic: (?P<why>\\w+) in module${i}` }, { field: `fields.f${i % 50}`, gte: i } ] }, annotations: { message: '{{ $captures.why }}' } }));
  return JSON.stringify({ groups: [{ name: 'many', rules }] });
}
const cpu = (f: () => any) => { const t = process.cpuUsage(); const r = f(); const u = process.cpuUsage(t); return [Math.round((u.user + u.system) / 1000), r] as const; };
many(100); { const f = parseRules(many(100), () => {}); compileRules(f, () => {}); }
for (const n of [100, 100, 100, 1000, 10000]) {
  const y = many(n);
  try {
  const [tp, file] = cpu(() => parseRules(y, () => {}));
  const [tc, c] = cpu(() => compileRules(file, (p: any) => console.log(p.message)));
  const [tf] = cpu(() => derivePrefilter(file.rules));
  console.log(n, 'parse', tp, 'compile', tc, 'prefilter', tf, 'total', tp + tc + tf, c?.bytes.length);
  } catch (e) { console.log(n, (e as Error).message.slice(0, 200)); }
}
