// Rules and records for the benchmarks: KubeSphere's shape, about 430 bytes, made from a seed. Half of the
// rules are like the blog's (a namespace, a pod, a request line), half look for an error text in any
// namespace. A record that hits meets exactly one rule.

/** Mulberry32: small, seeded, good enough to mix logs. */
export function randomSource(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface BenchRule {
  alert: string;
  namespace: string | null;
  pod: string | null;
  log: string;
}

const SYSTEMS = ['redis', 'mysql', 'kafka', 'etcd', 'ldap', 'minio', 'vault', 'consul'];

export function benchRules(count: number): BenchRule[] {
  return Array.from({ length: count }, (_, i) =>
    i % 2 === 0
      ? {
          alert: `404 Request ${i}`,
          namespace: `project-${i}`,
          pod: `^wordpress-${i}-v1-[A-Za-z0-9]{9}-[A-Za-z0-9]{5}$`,
          log: `"(?<method>[A-Z]+) (?<path>/\\S*) HTTP/[0-9.]+" 404 `,
        }
      : {
          alert: `Lost ${i}`,
          namespace: null,
          pod: null,
          log: `(?<method>read|write) to ${SYSTEMS[i % 8]}-${i} failed: (?<path>\\S+)`,
        },
  );
}

export function rulesYaml(rules: BenchRule[], options = 'realert: 0s'): string {
  const lines = ['groups:', '  - name: bench', '    rules:'];
  for (const { alert, namespace, pod, log } of rules) {
    lines.push(`      - alert: ${JSON.stringify(alert)}`, '        match:', '          all:');
    if (namespace) lines.push(`            - {field: kubernetes.namespace_name, eq: ${namespace}}`);
    if (pod) lines.push(`            - {field: kubernetes.pod_name, regex: '${pod}'}`);
    lines.push(
      `            - {field: log, regex: '${log}'}`,
      `        ${options}`,
      '        labels:',
      '          severity: warning',
      "          namespace: '{{ $record.kubernetes.namespace_name }}'",
      "          pod: '{{ $record.kubernetes.pod_name }}'",
      "          method: '{{ $captures.method }}'",
      '        annotations:',
      "          message: '{{ $captures.method }} {{ $captures.path }} in {{ $labels.pod }}'",
    );
  }
  return `${lines.join('\n')}\n`;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** Records one behind the other, as a Kafka client hands out a fetched batch: a buffer each, in one run of bytes. */
export function inBatches(records: Buffer[], count: number): Buffer[][] {
  const batches: Buffer[][] = [];
  for (let at = 0; at < records.length; at += count) {
    const run = Buffer.concat(records.slice(at, at + count));
    let offset = 0;
    batches.push(records.slice(at, at + count).map(({ length }) => run.subarray(offset, (offset += length))));
  }
  return batches;
}

/** Records of which `hitRate` meet one of `rules`. */
export function benchRecords(rules: BenchRule[], count: number, hitRate: number, seed = 1): Buffer[] {
  const random = randomSource(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const letters = (size: number) => Array.from({ length: size }, () => pick([...LETTERS])).join('');
  const address = () => Array.from({ length: 4 }, () => Math.floor(random() * 256)).join('.');
  return Array.from({ length: count }, (_, i) => {
    const hit = random() < hitRate ? pick(rules) : null;
    const app = pick(['nginx', 'api', 'cart', 'search', 'mail', 'auth']);
    const namespace =
      hit?.namespace ?? pick(['kube-system', 'default', 'shop', 'demo', 'monitoring', 'project-x']);
    const name = hit?.pod ? `${hit.pod.slice(1, hit.pod.indexOf('-v1'))}-v1` : `${app}-v1`;
    const path = `/${pick(['index', 'cart', 'item', 'login', 'static/app'])}/${letters(6)}`;
    const status = hit?.namespace ? 404 : pick([200, 200, 200, 301, 304, 500]);
    const request = `${pick(['GET', 'POST', 'PUT'])} ${path} HTTP/1.1`;
    const ofHit =
      hit && !hit.namespace
        ? `write to ${/to (\S+) failed/.exec(hit.log)![1]} failed: ${letters(8)}\n`
        : null;
    const log =
      ofHit ??
      `${address()} - - [25/Aug/2021:01:54:36 +0000] "${request}" ${status} ${Math.floor(random() * 90000)} "-" "curl/7.58.0"\n`;
    const record = {
      '@timestamp': 1629856477 + i / 1000,
      log,
      time: '2021-08-25T01:54:37.226757612Z',
      kubernetes: {
        pod_name: `${name}-${letters(9)}-${letters(5)}`,
        namespace_name: namespace,
        container_name: `container-${letters(6)}`,
        docker_id: letters(64),
        container_image: `${app}:4.8-apache`,
      },
    };
    return Buffer.from(JSON.stringify(record));
  });
}

/** A record as Fluent Bit sends it from KubeSphere; one in `hitEvery` is a 404. */
export function accessRecord(id: number, hitEvery = 1000): string {
  const status = id % hitEvery === 0 ? 404 : 200;
  const path = `/svc-${id % 1000}/items/${(id * 7919) % 100_000}`;
  return JSON.stringify({
    '@timestamp': 1629856477.226758 + id / 1000,
    log: `10.233.${id % 256}.${(id * 31) % 256} - - [25/Aug/2021:01:54:36 +0000] "GET ${path} HTTP/1.1" ${status} ${id % 50_000} "-" "curl/7.58.0"\n`,
    time: '2021-08-25T01:54:37.226757612Z',
    kubernetes: {
      pod_name: `wordpress-v1-f54f697c5-${(id % 50).toString(36).padStart(5, 'h')}`,
      namespace_name: 'demo-project',
      container_name: 'container-nrdsp1',
      docker_id: 'bb7b48e2883be0c05b22c04b1d1573729dd06223ae0b1676e33a4fac655958a5',
      container_image: 'wordpress:4.8-apache',
    },
  });
}
