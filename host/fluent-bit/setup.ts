// `earshot build --fluent-bit`: rules → everything that Fluent Bit needs to send their hits or alerts itself.
//
//   YAML     logs ─▶ output [ grep ▸ wasm ▸ lua ] ─▶ Kafka | the function | Alertmanager
//                             candidates  hits   one by one
//   classic  logs ─▶ rewrite_tag ─▶ wasm ─▶ … ─▶ the same outputs, and Notification Manager
//                    copies candidates
import type { Rule } from '../compiler/model.ts';
import { commented, toClassic, toYaml, yamlScalar } from './format.ts';
import { operatorFiles } from './operator.ts';
import type { PipelineOptions, Target } from './pipeline.ts';
import { LOG_TAGS, RECEIVERS, forkForm, forkNotes, processorForm, yamlForm } from './pipeline.ts';
import { derivePrefilter } from './prefilter.ts';

export interface SetupOptions {
  rules: Rule[];
  module: Uint8Array;
  /** Of the rules: it is in the module's name, so that other rules are another file. */
  hash: string;
  /** The rules file, as the user calls it: for the comments. */
  source: string;
  /** The folder of the files, as Fluent Bit gets it: relative to where it is started, or absolute. */
  folder: string;
  target?: Target;
  address?: string | undefined;
  /** The tags of the logs. */
  match?: string;
  emitterStorage?: 'memory' | 'filesystem';
}

export interface SetupFile {
  /** Relative to the folder. */
  path: string;
  content: string | Uint8Array;
  /** Fluent Bit cannot do without it: if it is somebody else's, nothing is written. */
  isNeeded: boolean;
}

export interface Setup {
  /** In the order in which they are to be written: the module before what names it. */
  files: SetupFile[];
  /** Sentences for the person who builds. */
  notes: string[];
  /** For the table of `build`. */
  summary: string[];
}

/** Every file of ours begins with it, the module apart: others are left as they are. */
export const MARK = '# Made by `earshot build --fluent-bit`';
export const DEFAULT_TARGET: Target = 'alertmanager';

export function moduleName(hash: string): string {
  return `earshot-${hash}.wasm`;
}

export function fluentBitSetup({
  rules,
  module,
  hash,
  source,
  folder: directory,
  target = DEFAULT_TARGET,
  address,
  match = LOG_TAGS,
  emitterStorage = 'memory',
}: SetupOptions): Setup {
  const folder = directory.replace(/(?<=.)\/+$/, '');
  const prefilter = derivePrefilter(rules);
  const needsClock = rules.some(rule => rule.absence !== undefined);
  const receiver = RECEIVERS[target];
  const options: PipelineOptions = {
    prefilter,
    needsClock,
    modulePath: `${folder}/${moduleName(hash)}`,
    receiver,
    address,
    match,
    emitterStorage,
  };
  const notes = forkNotes(prefilter);
  const introduce = (...paragraphs: string[]) =>
    [`Made by \`earshot build --fluent-bit\` from ${source}: change the rules and build again.`, ...paragraphs].join(
      '\n\n',
    );
  const own = (path: string, content: string, isNeeded = false): SetupFile => ({ path, content, isNeeded });
  const forkTexts = [...notes.map(note => `Note: ${note}.`)];
  const isFork = processorForm(options) === null;
  return {
    files: [
      { path: moduleName(hash), content: module, isNeeded: true },
      own('earshot.yaml', toYaml(introduce(...(isFork ? forkTexts : [])), yamlForm(options)), true),
      own('earshot.conf', toClassic(introduce(...forkTexts), forkForm(options)), true),
      own('parsers.conf', `${commented(introduce())}${PARSERS}`),
      own('fluent-bit.yaml', mainYaml(introduce(MAIN), folder, match)),
      own('fluent-bit.conf', mainClassic(introduce(MAIN), folder, match)),
      ...operatorFiles({
        pipeline: { prefilter, needsClock, match },
        moduleName: moduleName(hash),
        introduction: introduce(),
      }).map(({ path, content }) =>
        own(path, content),
      ),
    ],
    notes,
    summary: [],
  };
}
const MAIN = `\
To try the rules: reads the records in logs/, one JSON object a line, and posts alerts to localhost. Start it
where the paths below begin. With a Fluent Bit that runs already, include earshot.yaml (earshot.conf) there.`;

const RETRIES = `An alert that could not be delivered is tried again after seconds, then less and less often: at most 5
minutes apart.`;

function mainYaml(introduction: string, folder: string, match: string): string {
  return `${commented(introduction)}
service:
  flush: 1
  log_level: info
  parsers_file: parsers.conf
  storage.path: ${yamlScalar(`${folder}/storage`)}
  storage.max_chunks_up: 2000
${commented(RETRIES, '  ')}  scheduler.base: 2
  scheduler.cap: 300

includes:
  - earshot.yaml

pipeline:
  inputs:
    - name: tail
      tag: kube.demo
      path: ${yamlScalar(`${folder}/logs/*.ndjson`)}
      parser: earshot_records
      read_from_head: true
      refresh_interval: 5
      buffer_chunk_size: 1M
      buffer_max_size: 16M

  outputs:
    # The logs go where they always went.
    - name: 'null'
      match: ${yamlScalar(match)}
`;
}

function mainClassic(introduction: string, folder: string, match: string): string {
  return `${commented(introduction)}
[SERVICE]
    flush                 1
    log_level             info
    parsers_file          parsers.conf
    storage.path          ${folder}/storage
    storage.max_chunks_up 2000
${commented(RETRIES, '    ')}    scheduler.base        2
    scheduler.cap         300

[INPUT]
    name                  tail
    tag                   kube.demo
    path                  ${folder}/logs/*.ndjson
    parser                earshot_records
    read_from_head        true
    refresh_interval      5
    buffer_chunk_size     1M
    buffer_max_size       16M

@INCLUDE earshot.conf

# The logs go where they always went.
[OUTPUT]
    name                  null
    match                 ${match}
`;
}

const PARSERS = `\
# A record a line, its time in \`time\` as container runtimes write it. (Fluent Bit reads a time from a string only.)
[PARSER]
    name        earshot_records
    format      json
    time_key    time
    time_format %Y-%m-%dT%H:%M:%S.%LZ
    time_keep   on
`;

