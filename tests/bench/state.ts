// What a matching record costs with a construct, beside the same rule without it. `measureState` is for the main
// bench to print, `node --import tsx tests/bench/state.ts` prints it alone.
import { pathToFileURL } from 'node:url';
import type { Matcher } from '../../host/matcher.ts';
import { moduleOf } from '../core.ts';

export interface StateCost {
  construct: string;
  keyCount: number;
  /** Best ns a record, without the construct and with it. */
  plainNs: number;
  ns: number;
  ratio: number;
}

/** Options of a rule with the construct, and without. */
const CONSTRUCTS: Record<string, [string, string]> = {
  // Nearly all is suppressed by the cool-down, on both sides: no body hides what the counting costs.
  threshold: ['threshold: {count: 3, within: 5m, by: [pod]}', 'realert: 5m'],
  'threshold, each sent': ['threshold: {count: 1, within: 5m, by: [pod]}\n  realert: 0s', 'realert: 0s'],
  'threshold, never sent': ['threshold: {count: 65535, within: 5m, by: [pod]}', 'realert: 5m'],
  'distinct of 10': ['threshold: {count: 3, within: 5m, by: [pod], distinct: user}', 'realert: 5m'],
  'cool-down': ['realert: 5m', 'realert: 0s'],
};
/** A rule like the blog's, of which each record matches. */
const rule = (options: string) => `- alert: 404 Request
  match:
    all:
      - {field: kubernetes.namespace_name, eq: demo-project}
      - {field: log, regex: '"(?P<method>[A-Z]+) (?P<path>/\\S*) HTTP/[0-9.]+" 404 '}
  ${options}
  labels:
    severity: warning
    namespace: '{{ $record.kubernetes.namespace_name }}'
    pod: '{{ $record.kubernetes.pod_name }}'
    method: '{{ $captures.method }}'
  annotations:
    message: '{{ $captures.method }} {{ $captures.path }} in {{ $labels.pod }}'
`;

function recordsOf(count: number, keyCount: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const pod = `wordpress-v1-${String(((i * 7919) % keyCount) + 1e6)}`;
    return Buffer.from(
      `{"@timestamp":1700000${String(1000 + Math.floor(i / 100)).slice(-3)}.${String(i % 100).padStart(2, '0')},"kubernetes":{"namespace_name":"demo-project","pod_name":"${pod}",` +
        `"labels":{"app":"wordpress","version":"v1"},"container_name":"wordpress","docker_id":"4f5c0b3a9d"},` +
        `"log":"10.233.90.0 - - [25/Aug/2021:01:54:37 +0000] \\"GET /index.php?p=${i} HTTP/1.1\\" 404 53217 \\"-\\" \\"curl/7.68.0\\"","user":"u${i % 10}"}`,
    );
  });
}

function nsOf(matcher: Matcher, records: Buffer[]): number {
  const start = performance.now();
  for (const record of records) matcher.match(record, 1_700_000_000, 0);
  return ((performance.now() - start) * 1e6) / records.length;
}

/** The columns take turns and each keeps its best, so that a noisy neighbour hits all of them alike. */
export async function measureState(
  turns = 15,
  recordCount = 20_000,
  keyCounts = [1, 1_000, 15_000],
): Promise<StateCost[]> {
  const costs: StateCost[] = [];
  for (const keyCount of keyCounts) {
    const records = recordsOf(recordCount, keyCount);
    for (const [construct, options] of Object.entries(CONSTRUCTS)) {
      const [withIt, plain] = await Promise.all(
        options.map(async option => (await moduleOf(fileOf(option))).instantiate()),
      );
      let [plainNs, ns] = [Infinity, Infinity];
      for (let turn = 0; turn < turns; turn++) {
        plainNs = Math.min(plainNs, nsOf(plain!, records));
        ns = Math.min(ns, nsOf(withIt!, records));
      }
      costs.push({ construct, keyCount, plainNs, ns, ratio: ns / plainNs });
    }
  }
  return costs;
}

function fileOf(options: string): string {
  return `limits: {keys: 60000}\ngroups:\n- name: g\n  rules:\n${rule(options).replace(/^/gm, '  ')}`;
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  for (const { construct, keyCount, plainNs, ns, ratio } of await measureState()) {
    console.log(
      `${construct.padEnd(24)} ${String(keyCount).padStart(6)} keys: ${Math.round(ns)} ns a record, ${Math.round(plainNs)} without: ${ratio.toFixed(2)}×`,
    );
  }
}
