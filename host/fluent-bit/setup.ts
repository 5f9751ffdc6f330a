// `earshot build --fluent-bit`: rules → everything that Fluent Bit needs to send their hits or alerts itself.
//
//   YAML     logs ─▶ output [ grep ▸ wasm ▸ lua ] ─▶ Kafka | the function | Alertmanager
//                             candidates  hits   one by one
//   classic  logs ─▶ rewrite_tag ─▶ wasm ─▶ … ─▶ the same outputs, and Notification Manager
//                    copies candidates
import type { Rule } from '../compiler/model.ts';
import { isToldByClock } from '../compiler/sequence.ts';
import { classicProperties, commented, toClassic, toYaml, yamlScalar } from './format.ts';
import { operatorFiles } from './operator.ts';
import type { PipelineOptions, Properties, Target } from './pipeline.ts';
import { LOG_TAGS, RECEIVERS, forkForm, forkNotes, processorForm } from './pipeline.ts';
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
  /** For the table of `build`: what comes before the module, and what the configuration does with what it finds. */
  summary: { grep: string; delivery: string[] };
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
  const needsClock = rules.some(rule => isToldByClock(rule) || rule.resolveAfterMs !== undefined);
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
  const processors = processorForm(options);
  const fork = forkForm(options);
  const notes = forkNotes(prefilter);
  const introduce = (...paragraphs: string[]) =>
    [`${MARK.slice(2)} from ${source}: change the rules and build again.`, ...paragraphs].join('\n\n');
  const forkText = (format: 'yaml' | 'classic') => [
    forkPromise(options, format),
    forkPlace(options, format),
    forkSurroundings(options),
    ...notes.map(note => `Note: ${note}.`),
  ];
  /** Without the lines on where to include it. */
  const forkInOperator = (format: 'yaml' | 'classic') => [
    forkPromise({ ...options, emitterStorage: 'filesystem' }, format),
    forkSurroundings(options),
    ...notes.map(note => `Note: ${note}.`),
  ];
  const own = (path: string, content: string, isNeeded = false): SetupFile => ({ path, content, isNeeded });
  return {
    files: [
      { path: moduleName(hash), content: module, isNeeded: true },
      own(
        'earshot.yaml',
        processors === null
          ? toYaml(introduce(...forkText('yaml')), fork)
          : toYaml(introduce(...processorText(options)), processors),
        true,
      ),
      own('earshot.conf', toClassic(introduce(...forkText('classic')), fork), true),
      own('parsers.conf', `${commented(introduce())}${PARSERS}`),
      own('fluent-bit.yaml', mainYaml(introduce(MAIN), folder, match)),
      own('fluent-bit.conf', mainClassic(introduce(MAIN), folder, match)),
      ...operatorFiles({
        pipeline: { prefilter, needsClock, match, receiver, address },
        moduleName: moduleName(hash),
        introduction: introduce(),
        promises: {
          classic: forkInOperator('classic'),
          yaml: processors === null ? forkInOperator('yaml') : processorText(options).slice(1),
        },
      }).map(({ path, content }) => own(path, content)),
    ],
    notes: processors === null ? notes : notes.map(note => `earshot.conf: ${note}`),
    summary: summaryOf(options),
  };
}

// ── What the files say ──

const WHAT = { function: 'Hits', node: 'Alerts' };

function processorText({ receiver, match }: PipelineOptions): string[] {
  const counted = receiver.counts === 'node' ? `\n\n${ON_NODE}` : '';
  const kept =
    receiver.target === 'kafka'
      ? 'librdkafka has queued its hits (see below)'
      : `${receiver.name} has answered 2xx for all that the rules found in it`;
  return [
    `${WHAT[receiver.counts]} to ${receiver.name}: an output with the module in it. Your inputs, filters and outputs stay as they are.
Include this file anywhere in the main configuration (YAML):

    includes:
      - earshot.yaml`,
    `What it promises: a chunk of logs stays where it is until ${kept}.
It is on disk, and so survives that Fluent Bit ends or is killed, when
- the service section has \`storage.path\`;
- the inputs have \`storage.type: filesystem\`, and with it \`mem_buf_limit: 64k\`;
- tail has a \`db\`, or it forgets where it was.
Without these Fluent Bit starts as well, and what is in its memory is lost when it is killed. With them the logs never wait
for this output. With files a \`mem_buf_limit\` pauses nothing: it takes chunks that wait out of memory. Without it all logs
stand when \`storage.max_chunks_up\` (128) chunks wait, and an input without files stands at its own limit. In the
service section
- \`scheduler.cap: 300\` makes it try again every 5 minutes at least;
- \`hot_reload.ensure_thread_safety: off\` ends a reload after \`grace\` seconds: else all inputs stand until everything is
  delivered, and a receiver that is down holds the logs.${counted}`,
    `What in your configuration matters:
- Filters work before the rules. What \`grep\`, \`throttle\` or another filter drops is seen by no rule, and after
  \`nest\` or \`modify\` a rule must name a field as it is then.
- Logs under other tags than \`${match}\` are not seen, for instance after a \`rewrite_tag … false\`: build with \`--match\`.
- \`multiline.parser\` of an input and the filter \`multiline\` join lines: the rules see what they make.
- \`workers\` of this output must be 0: Fluent Bit cannot call WebAssembly in the thread of a worker, and drops all.
- Fluent Bit 4.2 or later: 4.0 loads the module for each chunk, 4.1 leaks.`,
  ];
}

const ON_NODE = `Counting is done on the node: \`threshold\`, \`realert\`, \`sequence\` and \`absence\` know the logs of one node, since Fluent
Bit was started. To count over all nodes and restarts, build with \`--to kafka\` or \`--to function\`.`;

function forkPromise({ receiver, emitterStorage }: PipelineOptions, format: 'yaml' | 'classic'): string {
  const better =
    receiver.processors === null
      ? `build with \`--to alertmanager\`, \`function\` or \`kafka\``
      : 'take the YAML format and earshot.yaml';
  const waiting =
    emitterStorage === 'memory'
      ? `What waits for ${receiver.name} is in memory (\`--emitter-storage filesystem\` has it on disk; Fluent Bit then does not
  start without \`storage.path\`): it is lost when Fluent Bit ends. Beyond 64 MB new candidates are dropped; logs go on.`
      : `What waits for ${receiver.name} is on disk, and survives a restart. Fluent Bit does not start without \`storage.path\`, and
  newer ones (2026) pause the inputs of all logs while \`storage.max_chunks_up\` chunks (128) are in memory: set 2000.`;
  return `${WHAT[receiver.counts]} to ${receiver.name}, from a fork of the logs${format === 'classic' ? ' (the classic format has no processors)' : ''}. It can lose some:
- What rewrite_tag has copied is in memory for a moment: when Fluent Bit ends, it is lost, and its logs are not. Seen:
  150 of 1,500 at SIGTERM in mid-stream, 640 at kill -9.
- ${waiting}
- out_http gives up what is answered with a 4xx other than 408 and 429.
To lose nothing, ${better}.${receiver.counts === 'node' ? `\n\n${ON_NODE}` : ''}`;
}

function forkPlace({ receiver }: PipelineOptions, format: 'yaml' | 'classic'): string {
  const list = receiver.list === null;
  const how =
    format === 'yaml'
      ? `\`includes:\` is read where it stands: write it at the end of the main file, below \`pipeline:\`. Above it, Earshot comes
before your filters, and the rules see records without what these add (kubernetes): no alert.`
      : `\`@INCLUDE earshot.conf\` after all filters: what stands below works on ${list ? 'alerts' : 'hits and alerts'}, too, if its \`Match\` allows, and the rules
see records without what filters below add (kubernetes).`;
  return `Include this file last: filters work in the order of the file. ${how}`;
}

function forkSurroundings({ match }: PipelineOptions): string {
  return `What in your configuration can swallow alerts, without a word in Fluent Bit's log:
- Filters with \`Match *\` (or a \`Match_Regex\` that takes \`earshot.…\`), wherever they stand: candidates go through all
  filters again from the first on, under the tag \`earshot.candidate\`. \`grep\` and \`throttle\` drop them, \`nest\`, \`modify\`,
  \`record_modifier\`, \`lua\` and \`multiline\` change them. Give each of these the tags of your logs: \`Match ${match}\`.
- Filters of the logs themselves: what \`grep\` or \`throttle\` drops is seen by no rule, and after \`nest\` or \`modify\` a rule
  must name a field as it is then (\`data.log\` after a \`nest\` under \`data\`).
- \`rewrite_tag … false\` above this file that moves logs off \`${match}\`: build with \`--match\` and the new tags.
- \`multiline.parser\` of an input and the filter \`multiline\` join lines: the rules see what they make.
- Outputs with \`Match *\` get hits and alerts, too: give them the tags of your logs.
Without \`storage.path\` (as in the Helm chart's default) Fluent Bit starts, and has everything in memory.`;
}

/** For `build`'s table: which way records come to the module, who counts, and what is promised. */
function summaryOf({
  prefilter: { grep },
  receiver,
  address = receiver.address,
}: PipelineOptions): Setup['summary'] {
  const count = grep.lines.length;
  const choice =
    count > 0
      ? `grep of ${count} line${count === 1 ? '' : 's'} before the module`
      : `no grep before the module: ${grep.reason}`;
  const counts =
    receiver.counts === 'node'
      ? `counts on the node: a threshold, a cool-down and an absence know the logs of one node since Fluent Bit's start`
      : 'sends hits, which the function counts over all nodes';
  const promises = {
    kafka:
      'earshot.yaml loses nothing that librdkafka has not queued: at kill -9 some milliseconds, or what waits for a Kafka that is down',
    function: 'earshot.yaml loses nothing: a chunk stays until all its hits are accepted',
    alertmanager: 'earshot.yaml loses nothing: a chunk stays until all its alerts are accepted',
    'notification-manager':
      'earshot.yaml and earshot.conf are a fork, which loses what is in memory when Fluent Bit ends',
  };
  const classic =
    receiver.processors === null ? '' : '; earshot.conf, a fork, loses what is in memory when it ends';
  return {
    grep: `Fluent Bit: ${choice}`,
    delivery: [
      `Fluent Bit to ${receiver.name} at ${address}: ${counts}`,
      `Fluent Bit: ${promises[receiver.target]}${classic}`,
    ],
  };
}

// ── The demo ──

const MAIN = `\
To try the rules: reads the records in logs/, one JSON object a line, and sends what the rules find. Start it
where the paths below begin. With a Fluent Bit that runs already, include earshot.yaml (earshot.conf) there.`;

/** The service section, and what tail needs, of both formats. */
function demo(folder: string): { service: Properties; tail: Properties; comments: Record<string, string> } {
  return {
    service: {
      flush: '1',
      log_level: 'info',
      grace: '20',
      parsers_file: `${folder}/parsers.conf`,
      'storage.path': `${folder}/storage`,
      'storage.max_chunks_up': '2000',
      'storage.keep.rejected': 'on',
      'scheduler.base': '2',
      'scheduler.cap': '300',
      hot_reload: 'on',
      'hot_reload.ensure_thread_safety': 'off',
    },
    tail: {
      name: 'tail',
      tag: 'kube.demo',
      path: `${folder}/logs/*.ndjson`,
      parser: 'earshot_records',
      read_from_head: 'true',
      refresh_interval: '5',
      buffer_chunk_size: '1M',
      buffer_max_size: '16M',
      'storage.type': 'filesystem',
      mem_buf_limit: '64k',
      db: `${folder}/storage/tail.db`,
    },
    comments: {
      grace: 'Seconds for what is on its way, when it is asked to end.',
      'storage.path': 'Chunks of logs wait here, and survive its end.',
      mem_buf_limit:
        'Chunks that wait leave the memory: else 128 of them stop all logs. With files it pauses nothing.',
      'storage.keep.rejected': '4.2 and later: a copy of what a receiver answered 4xx, in storage/rejected.',
      'scheduler.base':
        'What could not be delivered is tried again after seconds, then less often: every 5 minutes at least.',
      hot_reload: 'SIGHUP loads new rules.',
      'hot_reload.ensure_thread_safety':
        'Else a reload stops all inputs until everything is delivered, for hours when a receiver is down.',
      db: 'How far each file was read. To read them once more, remove storage/.',
    },
  };
}

function mainYaml(introduction: string, folder: string, match: string): string {
  const { service, tail, comments } = demo(folder);
  const lines = (properties: Properties, indent: string) =>
    Object.entries(properties).map(
      ([name, value]) =>
        `${commented(comments[name] ?? '', indent)}${indent}${name}: ${yamlScalar(String(value))}\n`,
    );
  return `${commented(introduction)}
service:
${lines(service, '  ').join('')}
pipeline:
  inputs:
${lines(tail, '      ').join('').replace(/^ {6}/, '    - ')}
  outputs:
    # The logs go where they always went.
    - name: 'null'
      match: ${yamlScalar(match)}

includes:
  - earshot.yaml
`;
}

function mainClassic(introduction: string, folder: string, match: string): string {
  const { service, tail, comments } = demo(folder);
  const lines = (properties: Properties) =>
    Object.entries(properties)
      .map(
        ([name, value]) =>
          `${commented(comments[name] ?? '', '    ')}${classicProperties({ [name]: value })}`,
      )
      .join('');
  return `${commented(introduction)}
[SERVICE]
${lines(service)}
[INPUT]
${lines(tail)}
@INCLUDE earshot.conf

# The logs go where they always went.
[OUTPUT]
    name                   null
    match                  ${match}
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
