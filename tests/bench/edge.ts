// What alerting costs inside Fluent Bit: user CPU that each pipeline adds to one that only reads the logs, a record,
// and beside it the ratio to the Lua filter that does the blog's rule; then the most memory, as a ratio to Fluent Bit
// without Earshot. `npm run bench:edge [records] [turns]`; with `wamrc` on the PATH, machine code (`.aot`) too.
//
// A whole process is measured, from its start to the end of the file; of several turns, which take the pipelines one
// after the other, the median counts. Records have KubeSphere's shape and 400 bytes. The receiver takes everything.
import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { setupOf } from '../fluent-bit/module.ts';
import { skip } from '../fluent-bit/process.ts';
import { randomSource } from './records.ts';

if (skip) {
  console.log(`skipped: ${skip}`);
  process.exit(0);
}

const RECORD_COUNT = Number(process.argv[2] ?? 100_000);
const TURN_COUNT = Number(process.argv[3] ?? 3);
const MATCH_PERCENTS = [0, 1, 10, 100];
const MANY = 1000;

/** The blog's rule, told for every match: the cool-down would hide what a hit costs. */
const RULE = (alert: string, namespace: string, path: string) => `
      - alert: ${alert}
        match:
          all:
            - {field: kubernetes.namespace_name, eq: ${namespace}}
            - {field: kubernetes.pod_name, regex: '^wordpress-v1-[A-Za-z0-9]{9}-[A-Za-z0-9]{5}$'}
            - {field: log, regex: '"(?P<method>[A-Z]+) (?P<path>${path}\\S*) HTTP/[0-9.]+" 404 '}
        realert: 0s
        labels:
          namespace: '{{ $record.kubernetes.namespace_name }}'
          pod: '{{ $record.kubernetes.pod_name }}'
          method: '{{ $captures.method }}'
        annotations:
          message: '{{ $captures.method }} {{ $captures.path }} is answered 404 by {{ $labels.pod }}'
`;
const rulesFile = (rules: string[]) => `groups:\n  - name: wordpress\n    rules:\n${rules.join('')}`;
const ONE_RULE = rulesFile([RULE('404 Request', 'demo-project', '/')]);
/** Each of a namespace and a service of its own, and the last is the one above. */
const MANY_RULES = rulesFile([
  ...Array.from({ length: MANY - 1 }, (_, i) => RULE(`404 of ${i}`, `team-${i}`, `/svc-${i}/`)),
  RULE('404 Request', 'demo-project', '/'),
]);

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

writeFileSync(join(folder, 'rule.lua'), LUA);

interface Pipeline {
  name: string;
  inputs?: object[];
  filters: object[];
  outputs: object[];
}

const address = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;

/** The generated pipeline of these rules for a target, as YAML's object. */
function generate(name: string, rules: string, target: 'function' | 'alertmanager' | 'notification-manager') {
  const own = join(folder, name);
  mkdirSync(own);
  const { files } = setupOf(rules, own, { target, address });
  for (const { path, content } of files) {
    mkdirSync(join(own, path, '..'), { recursive: true });
    writeFileSync(join(own, path), content);
  }
  const { pipeline } = parse(String(files.find(({ path }) => path === 'earshot.yaml')!.content)) as {
    pipeline: { filters?: object[]; outputs: Output[] };
  };
  const module = join(own, files.find(({ path }) => path.endsWith('.wasm'))!.path);
  return { pipeline, module };
}

interface Processor {
  name: string;
  wasm_path?: string;
}

interface Output {
  processors?: { logs: Processor[] };
}

/** The pipeline with machine code in place of the module. */
function compiled(pipeline: { outputs: Output[] }, module: string) {
  const aot = module.replace(/\.wasm$/, '.aot');
  const flags = ['--target=x86_64', '--target-abi=gnu', '--disable-simd'];
  const { status, stderr } = spawnSync('wamrc', [...flags, '-o', aot, module], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return processed(pipeline, one => (one.wasm_path === module ? { ...one, wasm_path: aot } : one));
}

function processed(pipeline: { outputs: Output[] }, change: (one: Processor) => Processor | undefined) {
  const outputs = pipeline.outputs.map(output => ({
    ...output,
    processors: { logs: output.processors!.logs.flatMap(one => change(one) ?? []) },
  }));
  return { ...pipeline, outputs };
}

const withoutGrep = (one: Processor) => (one.name === 'grep' ? undefined : one);

const NULL_OUTPUT = { name: 'null', match: 'kube.*' };
const PIPELINES: Pipeline[] = [];
function add(name: string, { filters = [], outputs }: { filters?: object[]; outputs: object[] }): void {
  PIPELINES.push({ name, filters, outputs: [NULL_OUTPUT, ...outputs] });
}

add('without Earshot', { outputs: [] });
add('Lua filter', {
  filters: [{ name: 'lua', match: 'kube.*', script: join(folder, 'rule.lua'), call: 'match' }],
  outputs: [],
});
const hasWamrc = process.arch === 'x64' && spawnSync('wamrc', ['--version']).status === 0;
if (!hasWamrc) console.log('no machine code: there is no wamrc on the PATH, or this is no x86_64\n');
for (const [label, rules] of [
  ['1 rule', ONE_RULE],
  [`${MANY} rules`, MANY_RULES],
] as const) {
  const { pipeline, module } = generate(`f${rules.length}`, rules, 'function');
  add(`${label}, wasm`, pipeline);
  if (hasWamrc) add(`${label}, aot`, compiled(pipeline, module));
  if (pipeline.outputs[0]!.processors!.logs.some(({ name }) => name === 'grep')) {
    const bare = processed(pipeline, withoutGrep);
    add(`${label}, wasm on every record`, bare);
    if (hasWamrc) add(`${label}, aot on every record`, compiled(bare, module));
  }
}
const alertmanager = generate('alertmanager', ONE_RULE, 'alertmanager');
add('1 rule, alerts, wasm', alertmanager.pipeline);
if (hasWamrc) add('1 rule, alerts, aot', compiled(alertmanager.pipeline, alertmanager.module));
add('1 rule, fork', generate('fork', ONE_RULE, 'notification-manager').pipeline);

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

/** User seconds and the most resident KiB of a Fluent Bit that reads the file and ends. */
function run({ filters, outputs }: Pipeline, path: string): Promise<{ seconds: number; peakKiB: number }> {
  const storage = join(folder, 'storage');
  rmSync(storage, { recursive: true, force: true });
  const configuration = {
    service: {
      flush: 1,
      grace: 5,
      log_level: 'warn',
      parsers_file: join(folder, 'alertmanager', 'parsers.conf'),
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
          'storage.type': 'filesystem',
        },
      ],
      filters,
      outputs,
    },
  };
  const file = join(folder, 'bench.yaml');
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  const child = spawn('/usr/bin/time', ['-f', 'used %U %M', 'fluent-bit', '-q', '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', data => (output += data));
  return new Promise((resolve, reject) =>
    child.on('close', code => {
      const used = /^used ([\d.]+) (\d+)$/m.exec(output);
      if (code !== 0 || !used) reject(new Error(output));
      else resolve({ seconds: Number(used[1]), peakKiB: Number(used[2]) });
    }),
  );
}

const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

console.log(
  `${RECORD_COUNT} records, ${TURN_COUNT} turns; added µs a record (ratio to Lua), and peak memory ÷ without\n`,
);
const COLUMN = 18;
for (const percent of MATCH_PERCENTS) {
  const path = await writeRecords(percent);
  // The fork is quadratic in alerts.
  const pipelines = PIPELINES.filter(({ name }) => percent < 100 || !name.endsWith('fork'));
  const used = new Map(
    pipelines.map(({ name }) => [name, { seconds: [] as number[], peaks: [] as number[] }]),
  );
  for (let turn = 0; turn < TURN_COUNT; turn++) {
    for (const pipeline of pipelines) {
      const { seconds, peakKiB } = await run(pipeline, path);
      used.get(pipeline.name)!.seconds.push(seconds);
      used.get(pipeline.name)!.peaks.push(peakKiB);
    }
  }
  rmSync(path);
  const base = used.get('without Earshot')!;
  const added = (name: string) =>
    ((median(used.get(name)!.seconds) - median(base.seconds)) / RECORD_COUNT) * 1e6;
  console.log(
    `${`${percent} % match`.padEnd(32)}${['added µs', '÷ Lua', 'memory'].map(text => text.padStart(COLUMN)).join('')}`,
  );
  for (const { name } of pipelines.slice(1)) {
    const cells = [
      added(name).toFixed(2),
      (added(name) / added('Lua filter')).toFixed(2),
      `${(median(used.get(name)!.peaks) / median(base.peaks)).toFixed(2)}×`,
    ];
    console.log(`  ${name.padEnd(30)}${cells.map(cell => cell.padStart(COLUMN)).join('')}`);
  }
  console.log();
}
receiver.close();
