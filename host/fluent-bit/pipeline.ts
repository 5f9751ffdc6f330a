// The pipeline, described once: setup.ts writes it as YAML and in the classic format, operator.ts as
// resources of Fluent Operator. Each step is there because of something that Fluent Bit does; the comments,
// which go into the files, say what.
import { formatFieldPath } from '../compiler/field.ts';
import type { Prefilter } from './prefilter.ts';
import { accessorOf } from './prefilter.ts';

export interface Section {
  kind: 'inputs' | 'filters' | 'outputs';
  /** One word: what a resource is called. */
  role: 'clock' | 'fork' | 'module' | 'split' | 'notify';
  comment: string;
  properties: Record<string, string | string[]>;
}

/** Who receives the alerts. */
export interface Receiver {
  name: 'Notification Manager' | 'Alertmanager';
  /** The module's door that writes bodies as the receiver takes them. */
  door: string;
  host: string;
  port: string;
}

export const NOTIFICATION_MANAGER: Receiver = {
  name: 'Notification Manager',
  door: 'alerts_only',
  host: '127.0.0.1',
  port: '19093',
};
export const ALERTMANAGER: Receiver = {
  name: 'Alertmanager',
  door: 'alert_arrays_only',
  host: '127.0.0.1',
  port: '9093',
};
export const NOTIFICATION_MANAGER_SERVICE = 'notification-manager-svc.kubesphere-monitoring-system.svc';

export const LOG_TAGS = 'kube.*';
const CANDIDATE_TAG = 'earshot.candidate';
const CLOCK_TAG = 'earshot.tick'; // the module knows it
const MODULE_TAGS = 'earshot.*';
const ALERT_TAGS = 'earshot-alert.*'; // not among MODULE_TAGS, or alerts would go round in circles

/** Strings that records of containers have, for rules that name no string: the best that rewrite_tag can do. */
const ANY_STRING = [['log'], ['message'], ['kubernetes', 'pod_name']];

/** How bodies are posted, whatever is around it. */
export function delivery({ host, port }: Receiver): Record<string, string> {
  return {
    host,
    port,
    uri: '/api/v2/alerts',
    format: 'json',
    body_key: '$alert',
    headers_key: '$headers',
    'net.io_timeout': '30s',
    retry_limit: 'no_limits',
  };
}

export function moduleProperties(modulePath: string, { door }: Receiver): Record<string, string> {
  return { event_format: 'json', wasm_path: modulePath, function_name: door, accessible_paths: '.' };
}

export function pipeline(
  prefilter: Prefilter,
  needsClock: boolean,
  modulePath: string,
  receiver: Receiver,
): Section[] {
  const clock: Section = {
    kind: 'inputs',
    role: 'clock',
    comment:
      'A clock: rules with `absence` wait for records that do not come, so something must send them the time.',
    properties: { name: 'dummy', tag: CLOCK_TAG, dummy: '{}', rate: '1' },
  };
  const sections: Section[] = [
    {
      kind: 'filters',
      role: 'fork',
      comment: `Copies candidates: the regexes are derived from the rules, and whatever a rule matches, one of them does.
The logs themselves stay as they are. A full emitter drops what it cannot take, hence the room.`,
      properties: {
        name: 'rewrite_tag',
        match: LOG_TAGS,
        rule: forkRules(prefilter),
        emitter_name: 'earshot_candidates',
        ...EMITTER,
      },
    },
    {
      kind: 'filters',
      role: 'module',
      comment: `Only alerts leave this filter; every other record of these tags is dropped. It must never match the logs
themselves.`,
      properties: { name: 'wasm', match: MODULE_TAGS, ...moduleProperties(modulePath, receiver) },
    },
    {
      kind: 'filters',
      role: 'split',
      comment: `A tag of its own for each alert, so that each has its own chunk: out_http counts a chunk as delivered when
its last record is, whatever happened to the others. The emitter has no limit of its own: at one it drops alerts
without a word, also those that are on disk, while storage.max_chunks_up makes it wait.`,
      properties: {
        name: 'rewrite_tag',
        match: MODULE_TAGS,
        rule: `$id ^(.+)$ ${ALERT_TAGS.slice(0, -1)}$1 false`,
        emitter_name: 'earshot_alerts',
        ...EMITTER,
        emitter_mem_buf_limit: '0',
      },
    },
    {
      kind: 'outputs',
      role: 'notify',
      comment: `The body is posted byte for byte: body_key and headers_key only work together. Without net.io_timeout a
receiver that accepts a request and says nothing would hold the alert for ever.`,
      properties: { name: 'http', match: ALERT_TAGS, ...delivery(receiver) },
    },
  ];
  return needsClock ? [clock, ...sections] : sections;
}

const EMITTER = { 'emitter_storage.type': 'filesystem', emitter_mem_buf_limit: '64M' };

function forkRules({ lines, unseen }: Prefilter): string[] {
  const anyString =
    unseen.length === 0 ? [] : ANY_STRING.map(path => ({ accessor: accessorOf(path)!, regex: '\\A' }));
  const covered = new Set(anyString.map(line => line.accessor));
  const all = [...anyString, ...lines.filter(line => !covered.has(line.accessor))];
  return all.map(({ accessor, regex }) => `${accessor} ${regex} ${CANDIDATE_TAG} true`);
}

/** What the fork cannot know beforehand, and which rules cause it: a sentence each. */
export function notesOf({ unselective, unseen }: Prefilter): string[] {
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
      `one of ${strings} is forked, and others are never seen; earshot-processor.yaml sees all`,
  ];
}
