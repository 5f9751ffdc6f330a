// The pipeline, described once: setup.ts writes it as YAML and in the classic format, operator.ts as
// resources of Fluent Operator. Two forms:
//
// - `processorForm`: the module works in the output of the alerts, on chunks that belong to the logs. A chunk stays where
//   it is, on disk if the input has it there, until the receiver has answered 2xx. For YAML configuration only.
// - `forkForm`: rewrite_tag copies candidates into a stream of their own, in which the module is a filter. For the classic
//   format, and for Notification Manager, which takes one object a request.
//
// Each step is there because of something that Fluent Bit does; the comments, which go into the files, say what.
import { formatFieldPath } from '../compiler/field.ts';
import type { Prefilter } from './prefilter.ts';
import { accessorOf } from './prefilter.ts';

export type Properties = Record<string, string | string[]>;

export interface Processor {
  comment: string;
  properties: Properties;
}

export interface Section {
  kind: 'inputs' | 'filters' | 'outputs';
  /** One word: what a resource is called. */
  role: 'clock' | 'fork' | 'module' | 'parts' | 'split' | 'notify';
  comment: string;
  properties: Properties;
  /** What an output does with logs before it sends them: for YAML only. */
  processors?: Processor[];
}

export type Target = 'kafka' | 'function' | 'alertmanager' | 'notification-manager';

/** Who receives hits or alerts. */
export interface Receiver {
  target: Target;
  name: string;
  /** Where it is when nobody says so: as out_http or out_kafka take it. */
  address: string;
  /** The module's door that writes what the receiver takes. */
  door: string;
  /** Under this key the door puts several of one record. */
  list: 'hits' | 'alerts' | null;
  /** Who counts: thresholds, cool-downs, absences. */
  counts: 'function' | 'node';
  /** Null when only the fork can deliver to it. */
  processors: true | null;
}

export const RECEIVERS: Record<Target, Receiver> = {
  kafka: {
    target: 'kafka',
    name: 'Kafka',
    address: '127.0.0.1:9092',
    door: 'hits_only',
    list: 'hits',
    counts: 'function',
    processors: true,
  },
  function: {
    target: 'function',
    name: 'the function',
    address: '127.0.0.1:8080',
    door: 'hits_only',
    list: 'hits',
    counts: 'function',
    processors: true,
  },
  alertmanager: {
    target: 'alertmanager',
    name: 'Alertmanager',
    address: '127.0.0.1:9093',
    door: 'alert_objects_only',
    list: 'alerts',
    counts: 'node',
    processors: true,
  },
  'notification-manager': {
    target: 'notification-manager',
    name: 'Notification Manager',
    address: '127.0.0.1:19093',
    door: 'alerts_only',
    list: null,
    counts: 'node',
    processors: null,
  },
};

export const LOG_TAGS = 'kube.*';
export const HITS_TOPIC = 'earshot-hits';
const CANDIDATE_TAG = 'earshot.candidate';
const CLOCK_TAG = 'earshot.tick'; // the module knows it
const MODULE_TAGS = 'earshot.*';
const ALERT_TAGS = 'earshot-alert.*'; // not among MODULE_TAGS, or alerts would go round in circles

/** Strings that records of containers have, for rules that name no string: the best that rewrite_tag can do. */
const ANY_STRING = [['log'], ['message'], ['kubernetes', 'pod_name']];

export interface PipelineOptions {
  prefilter: Prefilter;
  needsClock: boolean;
  /** As Fluent Bit gets it. */
  modulePath: string;
  receiver: Receiver;
  /** `host:port`, for Kafka several with commas; the receiver's own when it is undefined. */
  address?: string | undefined;
  /** The tags of the logs, as `match` takes them. */
  match: string;
  /** Of the fork's emitters: `filesystem` keeps over a restart what waits, and needs `storage.path`. */
  emitterStorage: 'memory' | 'filesystem';
}

/** The module as a processor of an output of its own, or null when the receiver cannot have it so. */
export function processorForm(options: PipelineOptions): Section[] | null {
  const { prefilter, receiver, match } = options;
  if (receiver.processors === null) return null;
  const needsClock = options.needsClock && receiver.counts === 'node';
  const tags: Properties = needsClock ? { match_regex: tagsAndClock(match) } : { match };
  const { grep } = prefilter;
  const processors: Processor[] = [];
  if (grep.lines.length > 0) {
    processors.push({
      comment: `Candidates: whatever a rule matches, one of these regexes does, and other records cost no call of the module.`,
      properties: {
        name: 'grep',
        logical_op: 'or',
        regex: [...(needsClock ? [CLOCK_LINE] : []), ...grep.lines].map(
          ({ accessor, regex }) => `${accessor} ${regex}`,
        ),
      },
    });
  }
  processors.push({
    comment:
      grep.lines.length > 0
        ? 'The rules. Only what they match leaves it.'
        : `The rules, for each record: ${grep.reason}. Only what they match leaves it.`,
    properties: { name: 'wasm', ...moduleProperties(options) },
  });
  // The function takes both forms.
  if (receiver.list !== null && receiver.target !== 'function')
    processors.push({ comment: partsComment(receiver), properties: partsProperties(receiver) });
  return [
    ...(needsClock ? [CLOCK] : []),
    {
      kind: 'outputs',
      role: 'notify',
      comment: OUTPUT_COMMENTS[receiver.target],
      properties: delivery(options, tags),
      processors,
    },
  ];
}

/** The module as a filter of a stream that rewrite_tag forks from the logs. */
export function forkForm(options: PipelineOptions): Section[] {
  const { prefilter, receiver, match, emitterStorage } = options;
  const needsClock = options.needsClock && receiver.counts === 'node';
  const emitter = { 'emitter_storage.type': emitterStorage, emitter_mem_buf_limit: '64M' };
  const fork: Section[] = [
    {
      kind: 'filters',
      role: 'fork',
      comment: `Copies candidates: the regexes are derived from the rules, and whatever a rule matches, one of them does.
The logs themselves stay as they are. A full emitter drops what it cannot take, hence the room.`,
      properties: {
        name: 'rewrite_tag',
        match,
        rule: forkRules(prefilter),
        emitter_name: 'earshot_candidates',
        ...emitter,
      },
    },
    {
      kind: 'filters',
      role: 'module',
      comment: `The rules: only what they match leaves this filter; every other record of these tags is dropped. It must
never match the logs themselves.`,
      properties: { name: 'wasm', match: MODULE_TAGS, ...moduleProperties(options) },
    },
  ];
  if (receiver.list !== null && receiver.target !== 'function') {
    fork.push({
      kind: 'filters',
      role: 'parts',
      comment: partsComment(receiver),
      properties: { ...partsProperties(receiver), name: 'lua', match: MODULE_TAGS },
    });
  }
  const isSplit = receiver.list === null;
  if (isSplit) {
    fork.push({
      kind: 'filters',
      role: 'split',
      comment: `A tag of its own for each alert, so that each has its own chunk: out_http counts a chunk as delivered when
its last record is, whatever happened to the others.${emitterStorage === 'filesystem' ? UNLIMITED_EMITTER : ''}`,
      properties: {
        name: 'rewrite_tag',
        match: MODULE_TAGS,
        rule: `$id ^(.+)$ ${ALERT_TAGS.slice(0, -1)}$1 false`,
        emitter_name: 'earshot_alerts',
        ...emitter,
        ...(emitterStorage === 'filesystem' ? { emitter_mem_buf_limit: '0' } : {}),
      },
    });
  }
  return [
    ...(needsClock ? [CLOCK] : []),
    ...fork,
    {
      kind: 'outputs',
      role: 'notify',
      comment: OUTPUT_COMMENTS[receiver.target],
      properties: delivery(options, { match: isSplit ? ALERT_TAGS : MODULE_TAGS }),
    },
  ];
}

/** What `earshot.yaml` holds: the form that loses nothing, where there is one. */
export function yamlForm(options: PipelineOptions): Section[] {
  return processorForm(options) ?? forkForm(options);
}

// ── Parts of both ──

const CLOCK: Section = {
  kind: 'inputs',
  role: 'clock',
  comment: `A clock: rules that wait for records that do not come need something that sends them the time. Outputs of
yours that match \`*\` get these records, too.`,
  properties: { name: 'dummy', tag: CLOCK_TAG, dummy: '{"earshot":"tick"}', rate: '1' },
};
const CLOCK_LINE = { accessor: '$earshot', regex: '\\Atick\\z' };

const UNLIMITED_EMITTER = ` The emitter has no limit of its own: at one it
drops alerts without a word, also those that are on disk, while storage.max_chunks_up makes it wait.`;

function moduleProperties({ modulePath, receiver }: PipelineOptions): Record<string, string> {
  return {
    event_format: 'json',
    wasm_path: modulePath,
    function_name: receiver.door,
    accessible_paths: '.',
  };
}

function partsComment({ list }: Receiver): string {
  return `A record that several rules match has its ${list} in one list: here each becomes a record.`;
}

function partsProperties({ list }: Receiver): Record<string, string> {
  const code = `function earshot_parts(tag, time, record)
  if record.${list} == nil then return 0, time, record end
  return 2, time, record.${list}
end
`;
  return { name: 'lua', call: 'earshot_parts', code };
}

/** How much of the disk chunks may take that wait for this output alone. */
const STORAGE_SIZE_MAX = '1G';

const OUTPUT_COMMENTS: Record<Target, string> = {
  kafka: `Hits, one message each, to the topic that the function counts from. Create the topic first: out_kafka drops what it
has for a topic that is not there for an hour.
- A chunk is done when librdkafka has queued its hits. What is in that queue is lost when the process is killed: with
  Kafka up it is what the last milliseconds brought, in the first second after a start what the chunks until then
  brought, with Kafka down all that the queue holds. When the process is asked to end it has \`grace\` seconds (service
  section; 5, better 20) to send it.
- A full queue stops Fluent Bit for a second a try, the logs too. Hence room for about 100,000 hits, 64 MB.
- Without idempotence, on purpose: the function counts a hit once however often it comes, and a producer that must ask for
  its number first sends later (seen: kill -9 just after a start lost twice as much).
- \`murmur2_random\` is how Java and the function spread keys: hits of one key must meet in one partition.`,
  function: `Hits, all of a chunk in one request. The function answers 200 when each of them is where it cannot be lost, and
until then the chunk stays.
- 4xx but 408 and 429 is final for out_http: it gives the chunk up, and says so in its log. \`storage.keep.rejected: on\`
  in the service section (4.2 and later, with \`storage.path\`) keeps a copy.
- Without net.io_timeout a receiver that accepts a request and says nothing would hold the chunk for ever.`,
  alertmanager: `Alerts, all of a chunk as one array in one request: it is accepted whole, or sent again whole.
- 4xx but 408 and 429 is final for out_http: it gives the chunk up, and says so in its log. \`storage.keep.rejected: on\`
  in the service section (4.2 and later, with \`storage.path\`) keeps a copy.
- Without net.io_timeout a receiver that accepts a request and says nothing would hold the chunk for ever.`,
  'notification-manager': `The body is posted byte for byte: body_key and headers_key only work together. 4xx but 408 and 429 is final for
out_http: the alert is gone, and its log says so. Without net.io_timeout a receiver that accepts a request and says
nothing would hold the alert for ever.`,
};

function delivery({ receiver, address = receiver.address }: PipelineOptions, tags: Properties): Properties {
  const isKafka = receiver.target === 'kafka';
  return {
    name: isKafka ? 'kafka' : 'http',
    alias: 'earshot',
    ...tags,
    workers: '0',
    ...(isKafka ? kafkaProperties(address) : httpProperties(receiver, address)),
    retry_limit: 'no_limits',
    'storage.total_limit_size': STORAGE_SIZE_MAX,
  };
}

function kafkaProperties(brokers: string): Properties {
  return {
    brokers,
    topics: HITS_TOPIC,
    format: 'raw',
    raw_log_key: 'hit',
    message_key_field: 'key',
    queue_full_retries: '1',
    'rdkafka.partitioner': 'murmur2_random',
    'rdkafka.acks': 'all',
    'rdkafka.message.timeout.ms': '0',
    'rdkafka.linger.ms': '5',
    'rdkafka.compression.codec': 'lz4',
    'rdkafka.queue.buffering.max.messages': '1000000',
    'rdkafka.queue.buffering.max.kbytes': '65536',
    'rdkafka.topic.metadata.propagation.max.ms': '3600000',
  };
}

const URIS = {
  function: '/hits',
  alertmanager: '/api/v2/alerts',
  'notification-manager': '/api/v2/alerts',
};

function httpProperties({ target, list }: Receiver, address: string): Properties {
  const { host, port } = splitAddress(address);
  return {
    host,
    port,
    uri: URIS[target as keyof typeof URIS],
    format: 'json',
    ...(list === null ? { body_key: '$alert', headers_key: '$headers' } : { json_date_key: 'false' }),
    'net.io_timeout': '30s',
  };
}

/** `host:port`; an IPv6 address is in brackets. */
export function splitAddress(address: string): { host: string; port: string } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: address.slice(colon + 1) };
}

/** `kube.*` and the clock's tag, as the one regex that `match_regex` takes. */
function tagsAndClock(match: string): string {
  const escape = (text: string) => text.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&');
  return `^(?:${match.split('*').map(escape).join('.*')}|${escape(CLOCK_TAG)})$`;
}

function forkRules({ lines, unseen }: Prefilter): string[] {
  const anyString =
    unseen.length === 0 ? [] : ANY_STRING.map(path => ({ accessor: accessorOf(path)!, regex: '\\A' }));
  const covered = new Set(anyString.map(line => line.accessor));
  const all = [...anyString, ...lines.filter(line => !covered.has(line.accessor))];
  return all.map(({ accessor, regex }) => `${accessor} ${regex} ${CANDIDATE_TAG} true`);
}

/** What the fork cannot know beforehand, and which rules cause it: a sentence each. */
export function forkNotes({ unselective, unseen }: Prefilter): string[] {
  const notes = unselective.map(
    ({ alert, fields }) =>
      `"${alert}" has no literal and no value that all its matches must hold: every record with a string in ` +
      `${[...new Set(fields.map(formatFieldPath))].join(' or ')} is forked, which costs about 10 µs each`,
  );
  if (unseen.length === 0) return notes;
  const names = [...new Set(unseen)].map(name => `"${name}"`).join(', ');
  const strings = ANY_STRING.map(formatFieldPath).join(', ');
  return [
    ...notes,
    `${names} can match records without any string that rewrite_tag could look at: every record with a string in ` +
      `one of ${strings} is forked, and others are never seen; the processors of earshot.yaml see all`,
  ];
}
