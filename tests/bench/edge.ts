// What alerting costs inside Fluent Bit: user CPU that each pipeline adds to one that only reads the logs, a record,
// and beside it the ratio to the Lua filter that does the blog's rule. `npm run bench:edge [records] [turns]`.
//
// A whole process is measured, from its start to the end of the file; of several turns, which take the pipelines one
// after the other, the median counts. Records have KubeSphere's shape and 400 bytes.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Target } from '../../host/fluent-bit/pipeline.ts';
import { setupOf } from '../fluent-bit/module.ts';
import { skip } from '../fluent-bit/process.ts';
import { randomSource } from './records.ts';

if (skip) {
  console.log(`skipped: ${skip}`);
  process.exit(0);
}

const RECORD_COUNT = Number(process.argv[2] ?? 500_000);
const TURN_COUNT = Number(process.argv[3] ?? 3);
const MATCH_PERCENTS = [0, 1, 10];

const RULES = `
groups:
  - name: wordpress
    rules:
      - alert: 404 Request
        match:
          all:
            - {field: kubernetes.namespace_name, eq: demo-project}
            - {field: kubernetes.pod_name, regex: '^wordpress-v1-[A-Za-z0-9]{9}-[A-Za-z0-9]{5}$'}
            - {field: log, regex: '"(?P<method>[A-Z]+) (?P<path>/\\S*) HTTP/[0-9.]+" 404 '}
        labels:
          namespace: '{{ $record.kubernetes.namespace_name }}'
          pod: '{{ $record.kubernetes.pod_name }}'
          method: '{{ $captures.method }}'
        annotations:
          message: '{{ $captures.method }} {{ $captures.path }} is answered 404 by {{ $labels.pod }}'
`;

const LUA = `
function match(tag, time, record)
  local kubernetes = record["kubernetes"]
  if kubernetes == nil or kubernetes["namespace_name"] ~= "demo-project" then return -1, time, record end
  if not string.find(kubernetes["pod_name"], "^wordpress%-v1%-%w%w%w%w%w%w%w%w%w%-%w%w%w%w%w$") then return -1, time, record end
  local method, path = string.match(record["log"], '"(%u+) (/%S*) HTTP/[%d.]+" 404 ')
  if method == nil then return -1, time, record end
  return 1, time, {alert = method .. " " .. path .. " is answered 404 by " .. kubernetes["pod_name"]}
end
`;

const folder = mkdtempSync(join(tmpdir(), 'earshot-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const receiver = createServer((request, response) => request.resume().on('end', () => response.end()));
await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve));

const address = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
/** What the build writes: the YAML include of a receiver. */
function generated(target: Target, name: string): any {
  const { files } = setupOf(RULES, folder, { target, address });
  for (const { path, content } of files) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return parse(String(files.find(({ path }) => path === name)!.content)).pipeline;
}
const processors = generated('alertmanager', 'earshot.yaml');
const fork = generated('notification-manager', 'earshot.yaml');
writeFileSync(join(folder, 'rule.lua'), LUA);
const module = { ...fork.filters[1], match: 'kube.*' };
const grep = (regex: string) => ({ name: 'grep', match: 'kube.*', regex });

interface Pipeline {
  name: string;
  filters: object[];
  outputs: object[];
}

const NULL_OUTPUT = { name: 'null', match: 'kube.*' };
const PIPELINES: Pipeline[] = [
  { name: 'no filter', filters: [], outputs: [NULL_OUTPUT] },
  { name: 'output with processors', filters: [], outputs: [NULL_OUTPUT, ...processors.outputs] },
  { name: 'fork', filters: fork.filters, outputs: [NULL_OUTPUT, ...fork.outputs] },
  {
    name: 'three grep filters',
    filters: [
      grep("$kubernetes['namespace_name'] ^demo-project$"),
      grep("$kubernetes['pod_name'] ^wordpress-v1-[A-Za-z0-9]{9}-[A-Za-z0-9]{5}$"),
      grep('log "[A-Z]+ /\\S* HTTP/[0-9.]+" 404 '),
    ],
    outputs: [NULL_OUTPUT],
  },
  {
    name: 'Lua filter',
    filters: [{ name: 'lua', match: 'kube.*', script: join(folder, 'rule.lua'), call: 'match' }],
    outputs: [NULL_OUTPUT],
  },
  { name: 'module on every record', filters: [module], outputs: [NULL_OUTPUT] },
];

/** Four in ten records are of the rule's pod, so that no pipeline can decide by the namespace alone. */
async function writeRecords(percent: number): Promise<string> {
  const path = join(folder, `logs-${percent}.ndjson`);
  const file = createWriteStream(path);
  const random = randomSource(percent + 1);
  for (let i = 0; i < RECORD_COUNT; i++) {
    const isHit = random() * 100 < percent;
    const isOurs = isHit || random() < 0.4;
    const log =
      isHit || random() < 0.7
        ? `10.233.70.${i % 256} - - [25/Aug/2021:01:53:20 +0000] "GET /posts/${i}?page=2 HTTP/1.1" ${isHit ? 404 : 200} ${(i * 37) % 90_000} "-" "Mozilla/5.0 (X11; Linux x86_64)"\n`
        : `2021-08-25 01:53:31.482  INFO 1 --- [nio-8080-exec-3] c.e.shop.orders.OrderController  : order ${i} accepted, 3 items, 404 points\n`;
    const kubernetes = {
      pod_name: isOurs ? `wordpress-v1-f54f697c5-hdn2${i % 10}` : `orders-7d9c5b6f4-2xk9${i % 10}`,
      namespace_name: isOurs ? 'demo-project' : 'shop',
      container_name: 'container-nrdsp1',
      docker_id: 'bb7b48e2883be0c05b22c04b1d1573729dd06223',
      container_image: 'wordpress:4.8-apache',
    };
    const time = new Date(1_629_856_400_000 + i * 10).toISOString();
    if (!file.write(`${JSON.stringify({ log, time, kubernetes })}\n`))
      await new Promise<void>(resolve => file.once('drain', () => resolve()));
  }
  await new Promise<void>(resolve => file.end(() => resolve()));
  return path;
}

/** User seconds of a Fluent Bit that reads the file and ends. */
function run({ filters, outputs }: Pipeline, path: string): Promise<number> {
  const storage = join(folder, 'storage');
  rmSync(storage, { recursive: true, force: true });
  const configuration = {
    service: {
      flush: 1,
      grace: 3,
      log_level: 'warn',
      parsers_file: join(folder, 'parsers.conf'),
      'storage.path': storage,
      'storage.max_chunks_up': 2000,
    },
    pipeline: {
      inputs: [
        {
          name: 'tail',
          tag: 'kube.bench',
          path,
          parser: 'earshot_records',
          read_from_head: 'true',
          exit_on_eof: 'true',
          buffer_chunk_size: '1M',
          buffer_max_size: '16M',
        },
      ],
      filters,
      outputs,
    },
  };
  const file = join(folder, 'bench.yaml');
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  const child = spawn('bash', ['-c', 'TIMEFORMAT="user %U"; time fluent-bit -q -c "$0"', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', data => (output += data));
  return new Promise((resolve, reject) =>
    child.on('close', code => {
      const seconds = /^user ([\d.]+)$/m.exec(output)?.[1];
      if (code !== 0 || seconds === undefined) reject(new Error(output));
      else resolve(Number(seconds));
    }),
  );
}

const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

console.log(`${RECORD_COUNT} records, ${TURN_COUNT} turns; added µs a record (ratio to Lua)\n`);
console.log(
  ['pipeline'.padEnd(24), ...MATCH_PERCENTS.map(percent => `${percent} % match`.padStart(16))].join(''),
);
const rows = new Map<string, string[]>(PIPELINES.map(({ name }) => [name, []]));
for (const percent of MATCH_PERCENTS) {
  const path = await writeRecords(percent);
  const seconds = new Map<string, number[]>(PIPELINES.map(({ name }) => [name, []]));
  for (let turn = 0; turn < TURN_COUNT; turn++) {
    for (const pipeline of PIPELINES) seconds.get(pipeline.name)!.push(await run(pipeline, path));
  }
  rmSync(path);
  const base = median(seconds.get('no filter')!);
  const added = (name: string) => ((median(seconds.get(name)!) - base) / RECORD_COUNT) * 1e6;
  for (const { name } of PIPELINES.slice(1)) {
    rows
      .get(name)!
      .push(`${added(name).toFixed(2)} (${(added(name) / added('Lua filter')).toFixed(2)})`.padStart(16));
  }
  rows.get('no filter')!.push(`${((base / RECORD_COUNT) * 1e6).toFixed(2)} all`.padStart(16));
}
for (const [name, cells] of rows) console.log(name.padEnd(24) + cells.join(''));
receiver.close();
