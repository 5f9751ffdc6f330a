// `earshot build --fluent-bit`: rules → everything that Fluent Bit needs to raise their alerts itself.
//
//   logs ─▶ rewrite_tag ─▶ wasm filter ─▶ rewrite_tag ─▶ out_http ─▶ Notification Manager
//           copies          only alerts    a tag, so a     posts a
//           candidates      leave it       chunk, each     body
import { commented, toClassic, toYaml, yamlScalar } from './format.ts';
import { operatorFiles } from './operator.ts';
import {
  ALERTMANAGER,
  LOG_TAGS,
  NOTIFICATION_MANAGER,
  NOTIFICATION_MANAGER_SERVICE,
} from './pipeline.ts';
import { delivery, moduleProperties, notesOf, pipeline } from './pipeline.ts';
import { derivePrefilter } from './prefilter.ts';
import type { Rule } from '../compiler/model.ts';

export interface SetupOptions {
  rules: Rule[];
  module: Uint8Array;
  /** The rules file, as the user calls it: for the comments. */
  source: string;
  /** The directory of the files, as Fluent Bit gets it: relative to where it is started, or absolute. */
  directory: string;
}

export interface SetupFile {
  /** Relative to the directory. */
  path: string;
  content: string | Uint8Array;
}

export interface Setup {
  files: SetupFile[];
  /** Sentences for the person who builds: what the fork cannot know beforehand, and which rules cause it. */
  notes: string[];
}

export function fluentBitSetup({ rules, module, source, directory }: SetupOptions): Setup {
  const folder = directory.replace(/(?<=.)\/+$/, '');
  const modulePath = `${folder}/earshot.wasm`;
  const prefilter = derivePrefilter(rules);
  const notes = notesOf(prefilter);
  const needsClock = rules.some(rule => rule.absence !== undefined);
  const standard = pipeline(prefilter, needsClock, modulePath, NOTIFICATION_MANAGER);
  const alertmanager = pipeline(prefilter, needsClock, modulePath, ALERTMANAGER);
  const introduce = (text: string, ...more: string[]) =>
    [
      `Made by \`earshot build --fluent-bit\` from ${source}: change the rules and build again.`,
      ...more,
      text,
    ].join('\n\n');
  const forkNotes = notes.map(note => `Note: ${note}.`);
  return {
    files: [
      { path: 'earshot.wasm', content: module },
      { path: 'fluent-bit.yaml', content: mainYaml(folder) },
      { path: 'fluent-bit.conf', content: mainClassic(folder) },
      { path: 'parsers.conf', content: PARSERS },
      { path: 'earshot.yaml', content: toYaml(introduce(STANDARD, ...forkNotes), standard) },
      { path: 'earshot.conf', content: toClassic(introduce(STANDARD, ...forkNotes), standard) },
      {
        path: 'earshot-alertmanager.yaml',
        content: toYaml(introduce(FOR_ALERTMANAGER, ...forkNotes), alertmanager),
      },
      {
        path: 'earshot-alertmanager.conf',
        content: toClassic(introduce(FOR_ALERTMANAGER, ...forkNotes), alertmanager),
      },
      { path: 'earshot-processor.yaml', content: processorYaml(introduce(AS_PROCESSOR), modulePath) },
      ...operatorFiles({ prefilter, needsClock, introduction: introduce(FOR_OPERATOR, ...forkNotes) }),
    ],
    notes,
  };
}

const HOW_TO_INCLUDE = `\
Include this file after the filters that make the records (kubernetes, parser): filters work in the order of
the file.

The main configuration needs \`storage.path\` in its service section: without it an alert that waits is lost
when Fluent Bit ends. Newer Fluent Bits (2026) pause the inputs of all logs while \`storage.max_chunks_up\`
chunks (128) are in memory, and every alert that waits is a chunk: set it to 2000 or more.

Outputs that match \`*\` get the alerts, too: match the tags of your logs instead.`;

const STANDARD = `\
Alerts to Notification Manager; in KubeSphere its host is
${NOTIFICATION_MANAGER_SERVICE}.

${HOW_TO_INCLUDE}`;

const FOR_ALERTMANAGER = `\
Alerts to Alertmanager: take this file in place of earshot.yaml (earshot.conf) when there is no Notification
Manager. Alertmanager takes arrays of alerts, which the module writes for it.

${HOW_TO_INCLUDE}`;

const AS_PROCESSOR = `\
The module as a processor of one output: it sees every record, and no record is copied. Take this file in
place of earshot.yaml when the fork would take nearly all records anyway, or when rules look at no string at
all, so that rewrite_tag cannot see what they match. In turn
- alerts of one chunk share its fate: the answer to the last one decides whether the chunk is sent again. An
  outage of the receiver is survived, a single request that fails in the midst of others is not;
- a chunk that is sent again goes through the rules again: \`realert\` then suppresses what was not delivered,
  and counts it into the next alert;
- there is no clock, so rules with \`absence\` know the time from the records only;
- \`workers\` must be 0: Fluent Bit cannot call WebAssembly from a worker's thread, and drops every record.`;

const FOR_OPERATOR = `\
For Fluent Operator, and so for KubeSphere: \`kubectl apply --server-side -k .\` here, then the two patches in
kubernetes/, each of which says how.`;

const MAIN = `\
To try the rules: reads the records in logs/, one JSON object a line, and posts alerts to localhost. Start it
where the paths below begin. With a Fluent Bit that runs already, include earshot.yaml (earshot.conf) there.`;

const RETRIES = `An alert that could not be delivered is tried again after seconds, then less and less often: at most 5
minutes apart.`;

function mainYaml(folder: string): string {
  return `${commented(MAIN)}
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
      match: ${LOG_TAGS}
`;
}

function mainClassic(folder: string): string {
  return `${commented(MAIN)}
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
    match                 ${LOG_TAGS}
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

function processorYaml(comment: string, modulePath: string): string {
  const lines = (properties: Record<string, string>, indent: string) =>
    Object.entries(properties)
      .map(([name, value]) => `${indent}${name}: ${yamlScalar(value)}\n`)
      .join('');
  return `${commented(comment)}
pipeline:
  outputs:
    - name: http
      match: ${LOG_TAGS}
      workers: 0
${lines(delivery(NOTIFICATION_MANAGER), '      ')}      processors:
        logs:
          - name: wasm
${lines(moduleProperties(modulePath, NOTIFICATION_MANAGER), '            ')}`;
}
