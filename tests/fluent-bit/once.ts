// A Fluent Bit that reads records to their end and ends itself, with a pipeline that a test puts together.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { setupOf } from './module.ts';

export interface Processor {
  name: string;
  wasm_path?: string;
}

/** An output of earshot.yaml. */
export interface Output {
  alias?: string;
  processors: { logs: Processor[] };
}

export interface Generated {
  pipeline: { filters?: object[]; outputs: [Output] };
  /** Path of the module. */
  module: string;
}

/** Writes the setup of these rules to a new folder, and returns what earshot.yaml says. */
export function generate(rules: string, folder: string, options: Parameters<typeof setupOf>[2]): Generated {
  const { files } = setupOf(rules, folder, options);
  for (const { path, content } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  const text = (name: RegExp) => files.find(({ path }) => name.test(path))!;
  const { pipeline } = parse(String(text(/^earshot\.yaml$/).content)) as Pick<Generated, 'pipeline'>;
  return { pipeline, module: join(folder, text(/\.wasm$/).path) };
}

export interface Pipeline {
  filters?: object[];
  outputs: object[];
}

const PARSERS = `[PARSER]
    name        records
    format      json
    time_key    time
    time_format %Y-%m-%dT%H:%M:%S.%LZ
    time_keep   on
`;

/** Sends the records, a line each, through the pipeline; settles when Fluent Bit has ended. */
export async function runOnce(
  folder: string,
  records: readonly (string | Buffer)[],
  pipeline: Pipeline,
): Promise<{ code: number | null; log: string }> {
  const at = (name: string) => join(folder, name);
  writeFileSync(at('parsers.conf'), PARSERS);
  const lines = records.flatMap(record => [Buffer.from(record as string), Buffer.from('\n')]);
  writeFileSync(at('records.ndjson'), Buffer.concat(lines));
  const tail = {
    name: 'tail',
    tag: 'kube.test',
    path: at('records.ndjson'),
    parser: 'records',
    read_from_head: 'true',
    exit_on_eof: 'true',
    buffer_chunk_size: '1M',
    buffer_max_size: '16M',
  };
  const service = { flush: 1, grace: 20, log_level: 'warn', parsers_file: at('parsers.conf') };
  // JSON is YAML.
  writeFileSync(at('once.yaml'), JSON.stringify({ service, pipeline: { inputs: [tail], ...pipeline } }));
  const child = spawn('fluent-bit', ['-c', at('once.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let log = '';
  child.stdout.on('data', data => (log += data));
  child.stderr.on('data', data => (log += data));
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  return { code, log };
}
