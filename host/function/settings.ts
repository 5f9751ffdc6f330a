// The settings of the host function: their names, what they mean, and how they are read. A flag is used before an
// environment variable; `EARSHOT_SINK_URL` and `--sink-url` are the same setting. A secret can also be read from a file
// that `EARSHOT_SINK_PASSWORD_FILE` names. Everything is checked at once and every mistake is reported.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { nearest, UserError } from '../error.ts';
import { daprOutputOf, isCalledByGrpc } from './func-context.ts';
import { readAddress } from '../sink/address.ts';
import { HOLD_MAX_MS } from '../sink/hold.ts';
import type { DaprOutput } from '../sink/sink.ts';

/** Reads a value, or throws an Error whose message ends the sentence "EARSHOT_X …". */
interface Read<T> {
  (text: string): T;
  /** What it takes, in a word, and which values when that is not clear; for the help. */
  takes: string;
  values?: string;
}

interface Setting<T> {
  help: string;
  read: Read<T>;
  /** Undefined: the setting may be absent. Required settings have `required` instead. */
  fallback?: string;
  required?: true | ((given: NodeJS.ProcessEnv) => boolean);
  /** Never printed, and `…_FILE` reads it from a file. */
  secret?: true;
}

const reads = <T>(takes: string, read: (text: string) => T, values?: string): Read<T> =>
  Object.assign(read, { takes, values });

const text = reads('TEXT', value => value);
const list = reads('LIST', value => {
  const items = value.split(',').map(item => item.trim());
  if (items.some(item => item === ''))
    throw new Error('has an empty item; separate the items with single commas');
  return items;
});
const flag = reads('true|false', value => {
  if (value !== 'true' && value !== 'false') throw new Error('must be true or false');
  return value === 'true';
});
const file = reads('FILE', path => {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`names a file that cannot be read: ${(error as Error).message}`);
  }
});
const json = reads('FILE', path => {
  try {
    return JSON.parse(file(path)) as object;
  } catch (error) {
    throw error instanceof SyntaxError ? new Error(`names a file that is not JSON: ${error.message}`) : error;
  }
});
/** A file that is read later. */
const path = reads('FILE', value => value);
const modulePath = reads('FILE', path => {
  if (/\.ya?ml$/.test(path))
    throw new Error(
      `is ${path}, a rules file; build it first: \`earshot build ${path} -o earshot.wasm\`, then pass earshot.wasm`,
    );
  return path;
});
const url = reads('URL', value =>
  readAddress(value, {
    password: 'use EARSHOT_SINK_USERNAME and EARSHOT_SINK_PASSWORD_FILE',
    token: 'use EARSHOT_SINK_TOKEN_FILE for a token',
  }),
);
const brokers = reads('LIST', value =>
  list(value).map(broker => {
    if (!/^[^\s/]+:\d+$/.test(broker)) throw new Error(`holds "${broker}", which is not host:port`);
    return broker;
  }),
);
/** Where to listen: a host or an address of this machine, and a port. Without a host, on all of its addresses. */
export interface ListenAddress {
  host: string | undefined;
  port: number;
}
const listenAddress = reads('ADDRESS', (value): ListenAddress => {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^\s/:[\]]*)):(\d{1,5})$/.exec(value) ?? [];
  if (port === undefined || Number(port) > 65535 || (bracketed !== undefined && isIP(bracketed) !== 6))
    throw new Error(`is "${value}", which is not host:port, [IPv6]:port or :port`);
  return { host: bracketed || plain || undefined, port: Number(port) };
});
function oneOf<const T extends string>(...choices: T[]): Read<T> {
  const values = choices.join(', ');
  return reads(
    'NAME',
    value => {
      if (!choices.includes(value as T)) throw new Error(`must be one of ${values}`);
      return value as T;
    },
    values,
  );
}
function whole(min: number, max: number): Read<number> {
  const values = `${min} to ${max}`;
  return reads(
    'NUMBER',
    value => {
      const number = /^\d+$/.test(value) ? Number(value) : NaN;
      if (!(number >= min && number <= max)) throw new Error(`must be a whole number from ${values}`);
      return number;
    },
    values,
  );
}

/** What Knative's dispatcher sends again, as if it could help. */
const RETRIED = [404, 408, 409, 429];
const poisonStatus = reads(
  'NUMBER',
  value => {
    const status = Number(value);
    if (status !== 200 && !(status >= 400 && status < 500 && !RETRIED.includes(status)))
      throw new Error(
        `is "${value}"; take 200, or one from 400 to 499 that is not tried again (not ${RETRIED.join(', ')})`,
      );
    return status;
  },
  '200, 400 to 499',
);

const SETTINGS = {
  module: { help: 'the module that `earshot build` wrote', read: modulePath, required: true },

  brokers: {
    help: 'Kafka brokers, host:port, separated by commas; not needed with --listen, which then counts in memory',
    read: brokers,
    required: given => !given.EARSHOT_LISTEN,
  },
  topics: {
    help: 'topics to read, separated by commas; not needed with --role count or --listen',
    read: list,
    required: given => given.EARSHOT_ROLE !== 'count' && !given.EARSHOT_LISTEN,
  },
  group: { help: 'consumer group', read: text, fallback: 'earshot' },
  clientId: { help: 'client id that the brokers see', read: text, fallback: 'earshot' },
  deadLetterTopic: {
    help: 'topic for poison records and refused alerts',
    read: text,
    required: given => Boolean(given.EARSHOT_BROKERS) || !given.EARSHOT_LISTEN,
  },
  concurrency: {
    help: 'partitions that are worked on at the same time',
    read: whole(1, 1000),
    fallback: '16',
  },
  sessionTimeoutMs: {
    help: 'silence after which Kafka assigns our partitions to others',
    read: whole(1000, 1800000),
    fallback: '30000',
  },
  rebalanceTimeoutMs: {
    help: 'time a member has to finish its work when the group rebalances',
    read: whole(1000, 1800000),
    fallback: '60000',
  },
  commitIntervalMs: { help: 'time between commits', read: whole(50, 60000), fallback: '1000' },

  tls: { help: 'whether to speak TLS to Kafka', read: flag, fallback: 'false' },
  tlsCaFile: { help: 'certificate authority of the brokers, PEM', read: file },
  tlsCertFile: { help: 'our certificate, PEM', read: file },
  tlsKeyFile: { help: 'our private key, PEM', read: file },
  saslMechanism: {
    help: 'how to log in to Kafka',
    read: oneOf('plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'),
  },
  saslUsername: { help: 'user for plain and scram', read: text },
  saslPassword: { help: 'password for plain and scram', read: text, secret: true },
  saslTokenFile: { help: 'file with the oauthbearer token; read again at each login', read: path },

  role: {
    help: 'match: logs to hits; count: hits to alerts; all: both in one process',
    read: oneOf('all', 'match', 'count'),
    fallback: 'all',
  },
  hitsTopic: {
    help: 'topic of the hits, between matching and counting',
    read: text,
    fallback: 'earshot-hits',
  },

  sink: {
    help: 'where alerts go',
    read: oneOf('notification-manager', 'alertmanager', 'stdout'),
    fallback: 'notification-manager',
  },
  sinkUrl: {
    help: 'address of the sink, without its path; not needed with --sink stdout, --role match or --dapr-output',
    read: url,
  },
  daprOutput: {
    help:
      'output binding of Dapr to post alerts through, instead of --sink-url; without both, the one that OpenFunction ' +
      'names in FUNC_CONTEXT',
    read: text,
  },
  sinkTimeoutMs: {
    help: 'time a sink has to answer',
    read: whole(100, 300000),
    fallback: '8000',
  },
  sinkConnections: { help: 'connections to the sink', read: whole(1, 64), fallback: '4' },
  sinkCaFile: { help: 'certificate authority of the sink, PEM', read: file },
  sinkUsername: { help: 'user for basic authentication', read: text },
  sinkPassword: { help: 'password for basic authentication', read: text, secret: true },
  sinkToken: { help: 'bearer token', read: text, secret: true },
  strict: {
    help: 'notification-manager only: wait until the channel has the alert',
    read: flag,
    fallback: 'false',
  },
  strictReceiverFile: { help: 'strict: the Receiver resource, JSON', read: json },
  strictConfigFile: { help: 'strict: the Config resource, JSON', read: json },
  alertHoldMs: {
    help:
      'alertmanager only: time until an alert ends, 0 for its resolve_timeout; by default the cool-down of the ' +
      'rule and 10 minutes more (and its resolveAfter), and an absence ends when Earshot says so',
    read: whole(0, HOLD_MAX_MS),
  },

  listen: {
    help:
      'where to take hits and records by HTTP: host:port, or :port for all addresses. With --brokers hits go ' +
      'to the hits topic; without, this one process counts them in memory, which a restart loses',
    read: listenAddress,
  },
  listenToken: { help: 'bearer token that a request must have', read: text, secret: true },
  listenTlsCertFile: {
    help: 'certificate of the listener and its chain, PEM; read again when it changes',
    read: path,
  },
  listenTlsKeyFile: { help: 'its private key, PEM', read: path },
  poisonStatus: {
    help:
      'the answer to a CloudEvent that is no record: 200, and it is a dead letter here; or 400 to 499, when its sender ' +
      'has a dead-letter sink',
    read: poisonStatus,
    fallback: '200',
  },
  replicas: {
    help:
      'how many processes of this kind there can be; without --brokers a rule that counts needs 1 (by default 1, and on ' +
      'Knative any number)',
    read: whole(1, 100_000),
  },

  retryHoldMs: {
    help: 'time to retry an alert before its partition is paused',
    read: whole(0, 60000),
    fallback: '5000',
  },
  retryMaxMs: { help: 'longest pause between retries', read: whole(100, 600000), fallback: '30000' },
  shutdownMs: { help: 'time to finish after SIGTERM', read: whole(1000, 600000), fallback: '25000' },
  port: {
    help: 'port of /healthz, /readyz and /metrics; 0 turns them off',
    read: whole(0, 65535),
    fallback: '8080',
  },
  stalledMs: {
    help: 'time without a heartbeat from Kafka after which /healthz fails',
    read: whole(1000, 3600000),
    fallback: '300000',
  },
  logLevel: { help: 'what to log', read: oneOf('debug', 'info', 'warn', 'error'), fallback: 'info' },
} satisfies Record<string, Setting<unknown>>;

type Definitions = typeof SETTINGS;
type Value<D> = D extends { read: Read<infer T> } ? T : never;
type Present<D> = D extends { required: true } | { fallback: string } ? Value<D> : Value<D> | undefined;

export type Settings = { readonly [K in keyof Definitions]: Present<Definitions[K]> } & {
  /** What `daprOutput` is, or what OpenFunction names. */
  readonly dapr?: DaprOutput;
};
export type KafkaSettings = Settings & { readonly brokers: string[]; readonly deadLetterTopic: string };

/** Whether there is a Kafka. Without one there is only the HTTP door. */
export function hasKafka(settings: Settings): settings is KafkaSettings {
  return settings.brokers !== undefined;
}

const NAMES = Object.keys(SETTINGS) as (keyof Definitions)[];
const VARIABLES = NAMES.flatMap(name =>
  'secret' in SETTINGS[name] ? [variableOf(name), `${variableOf(name)}_FILE`] : [variableOf(name)],
);

/** Reads the settings from the flags and the environment. Throws a UserError that lists every mistake. */
export function readSettings(args: string[], environment: NodeJS.ProcessEnv): Settings {
  const mistakes: string[] = [];
  const flags = fromFlags(args, mistakes);
  // Whatever else is missing may be what the wrong flag was meant to set.
  if (mistakes.length > 0) throw mistaken(mistakes);
  const given = { ...withoutServiceLinks(environment), ...flags };
  const settings: Record<string, unknown> = {};
  for (const name of NAMES) {
    const setting: Setting<unknown> = SETTINGS[name];
    const variable = variableOf(name);
    try {
      const value =
        given[variable] || (setting.secret && secretFile(given[`${variable}_FILE`])) || setting.fallback;
      if (value) settings[name] = setting.read(value);
      else if (typeof setting.required === 'function' ? setting.required(given) : setting.required)
        throw new Error(`is not set: ${setting.help}; set it or pass --${flagOf(name)}`);
    } catch (error) {
      mistakes.push(`${variable} ${(error as Error).message}`);
    }
  }
  for (const variable of Object.keys(given))
    if (variable.startsWith('EARSHOT_') && !VARIABLES.includes(variable))
      mistakes.push(`${variable} is not a setting; ${hint(variable, VARIABLES, 'EARSHOT_')}`);
  if (mistakes.length === 0) mistakes.push(...findDapr(settings, environment));
  if (mistakes.length === 0) mistakes.push(...contradictions(settings as Settings));
  if (mistakes.length > 0) throw mistaken(mistakes);
  return settings as Settings;
}

/**
 * How to reach brokers, for a command that only reads a topic: TLS and the login are of the environment, as the function
 * has them. Throws a UserError that lists every mistake.
 */
export function readConnection(brokers: string, environment: NodeJS.ProcessEnv): KafkaSettings {
  const connection = Object.entries(environment).filter(([name]) => /^EARSHOT_(?:TLS|SASL)/.test(name));
  const args = [`--${flagOf('brokers')}`, brokers, '--topics', 'logs', '--dead-letter-topic', 'none'];
  try {
    return readSettings(
      ['module', '--role', 'match', ...args],
      Object.fromEntries(connection),
    ) as KafkaSettings;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message.replaceAll('EARSHOT_BROKERS', '--brokers'), error.exitCode);
  }
}

function mistaken(mistakes: string[]): UserError {
  return new UserError(mistakes.join('\n'), 2);
}

/** Compares without the prefix, which all have: it would make any two names alike. */
function hint(word: string, known: string[], prefix: string): string {
  const near = nearest(
    word.slice(prefix.length),
    known.map(name => name.slice(prefix.length)),
  );
  return near === undefined ? '`earshot function --help` lists them all' : `did you mean ${prefix}${near}?`;
}

/**
 * The environment without what Kubernetes puts there for a Service whose name begins with `earshot`. EARSHOT_PORT is
 * both: `tcp://10.0.0.1:8080` is of a Service, a number is the setting.
 */
function withoutServiceLinks(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([variable, value = '']) => !isServiceLink(variable, value)),
  );
}

const LINK_ADDRESS = /^(?:tcp|udp|sctp):\/\/\S+:\d+$/;
/** The ends of a link's name, and the values that it has. */
const LINKS: { end: RegExp; isValue(value: string): boolean }[] = [
  { end: /_SERVICE_HOST$/, isValue: value => isIP(value) !== 0 },
  { end: /_SERVICE_PORT(?:_[A-Z0-9_]+)?$/, isValue: value => /^\d+$/.test(value) },
  { end: /_PORT(?:_\d+_(?:TCP|UDP|SCTP))?$/, isValue: value => LINK_ADDRESS.test(value) },
  { end: /_PORT_\d+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR)$/, isValue: () => true },
];

function isServiceLink(variable: string, value: string): boolean {
  return (
    variable.startsWith('EARSHOT_') && LINKS.some(({ end, isValue }) => end.test(variable) && isValue(value))
  );
}

/** Sets `dapr`, and returns what is wrong with the place where OpenFunction or Dapr runs us. */
function findDapr(settings: Record<string, unknown>, environment: NodeJS.ProcessEnv): string[] {
  const { sink, sinkUrl, role, daprOutput, listen, brokers } = settings as Partial<Settings>;
  const wrong: string[] = [];
  if (listen && !brokers && isCalledByGrpc(environment))
    wrong.push(
      'APP_PROTOCOL is grpc: Dapr would call by gRPC, which is not answered here; set the annotation dapr.io/app-protocol: http',
    );
  if (sinkUrl || sink === 'stdout' || role === 'match') return wrong;
  try {
    settings.dapr = daprOutputOf(environment, daprOutput);
  } catch (error) {
    wrong.push((error as Error).message);
  }
  return wrong;
}

/** Settings that are right one by one and wrong together. */
function contradictions(settings: Settings): string[] {
  const wrong: string[] = [];
  const require = (condition: unknown, message: string) => condition || wrong.push(message);
  const { sink, saslMechanism, deadLetterTopic } = settings;
  require(settings.brokers ||
    settings.role ===
      'all', `EARSHOT_BROKERS is not set, but EARSHOT_ROLE=${settings.role} is: without Kafka one process does everything; set EARSHOT_BROKERS, or remove EARSHOT_ROLE`);
  for (const name of ['topics', 'deadLetterTopic'] as const)
    require(settings.brokers ||
      !settings[
        name
      ], `EARSHOT_BROKERS is not set, but ${variableOf(name)} is; set EARSHOT_BROKERS, or remove ${variableOf(name)}`);
  require(settings.listen ||
    !settings.listenToken, 'EARSHOT_LISTEN is not set, but EARSHOT_LISTEN_TOKEN is; set both or none');
  require(settings.listen ||
    !settings.listenTlsCertFile, 'EARSHOT_LISTEN is not set, but EARSHOT_LISTEN_TLS_CERT_FILE is; set both or none');
  require(settings.listen ||
    settings.poisonStatus ===
      200, 'EARSHOT_LISTEN is not set, but EARSHOT_POISON_STATUS is; set both or none');
  require(!settings.listenTlsCertFile ===
    !settings.listenTlsKeyFile, 'EARSHOT_LISTEN_TLS_CERT_FILE and EARSHOT_LISTEN_TLS_KEY_FILE go together; set both or none');
  require(sink === 'stdout' ||
    settings.role === 'match' ||
    settings.sinkUrl ||
    settings.dapr, `EARSHOT_SINK_URL is not set: EARSHOT_SINK=${sink} needs the address of the sink`);
  require(!settings.sinkUrl ||
    !settings.daprOutput, 'EARSHOT_SINK_URL and EARSHOT_DAPR_OUTPUT are both set; keep one');
  require(!settings.strict ||
    !settings.dapr, 'EARSHOT_STRICT is set, and alerts go through Dapr: it does not say what the channel answered; set EARSHOT_SINK_URL, or remove EARSHOT_STRICT');
  require(!settings.dapr ||
    !(
      settings.sinkToken ||
      settings.sinkUsername ||
      settings.sinkCaFile
    ), 'EARSHOT_SINK_TOKEN, EARSHOT_SINK_USERNAME or EARSHOT_SINK_CA_FILE is set, and alerts go through Dapr: its component has the credentials; set EARSHOT_SINK_URL, or remove them');
  require(!deadLetterTopic ||
    !settings.topics?.includes(
      deadLetterTopic,
    ), 'EARSHOT_DEAD_LETTER_TOPIC is one of EARSHOT_TOPICS: dead letters would be read again; name another topic');
  require(!settings.topics?.includes(
    settings.hitsTopic,
  ), 'EARSHOT_HITS_TOPIC is one of EARSHOT_TOPICS: hits would be matched as logs; name another topic');
  require(settings.hitsTopic !==
    deadLetterTopic, 'EARSHOT_HITS_TOPIC and EARSHOT_DEAD_LETTER_TOPIC are the same: dead letters would be counted, and buried again; name another topic');
  require(!settings.strict ||
    sink ===
      'notification-manager', 'EARSHOT_STRICT is for EARSHOT_SINK=notification-manager only; remove it');
  require(!settings.strict ||
    settings.strictReceiverFile, 'EARSHOT_STRICT_RECEIVER_FILE is not set: strict delivery names its receiver; write the Receiver resource to a file, as JSON');
  require(!settings.alertHoldMs ||
    sink === 'alertmanager', 'EARSHOT_ALERT_HOLD_MS is for EARSHOT_SINK=alertmanager only; remove it');
  require(!(
    settings.sinkToken && settings.sinkUsername
  ), 'EARSHOT_SINK_TOKEN and EARSHOT_SINK_USERNAME are both set; keep one');
  require(!settings.sinkUsername ===
    !settings.sinkPassword, 'EARSHOT_SINK_USERNAME and EARSHOT_SINK_PASSWORD go together; set both or none');
  require(!settings.tlsCertFile ===
    !settings.tlsKeyFile, 'EARSHOT_TLS_CERT_FILE and EARSHOT_TLS_KEY_FILE go together; set both or none');
  require(settings.tls ||
    !(
      settings.tlsCaFile || settings.tlsCertFile
    ), 'EARSHOT_TLS is not true, but EARSHOT_TLS_CA_FILE or EARSHOT_TLS_CERT_FILE is set; set EARSHOT_TLS=true');
  require(saslMechanism !== 'oauthbearer' ||
    settings.saslTokenFile, 'EARSHOT_SASL_TOKEN_FILE is not set: oauthbearer needs a token');
  require(!saslMechanism ||
    saslMechanism === 'oauthbearer' ||
    (settings.saslUsername &&
      settings.saslPassword), `EARSHOT_SASL_USERNAME or EARSHOT_SASL_PASSWORD is not set: ${saslMechanism} needs both`);
  for (const name of ['saslUsername', 'saslPassword', 'saslTokenFile'] as const)
    require(saslMechanism ||
      !settings[
        name
      ], `EARSHOT_SASL_MECHANISM is not set, but ${variableOf(name)} is; set ${takes(SETTINGS.saslMechanism)}`);
  require(!settings.alertHoldMs ||
    settings.alertHoldMs >
      settings.sinkTimeoutMs, `EARSHOT_ALERT_HOLD_MS (${settings.alertHoldMs}) must be more than EARSHOT_SINK_TIMEOUT_MS (${settings.sinkTimeoutMs}), or 0: Alertmanager never reports an alert that has ended when it comes`);
  // A post that outlives the rebalance would be thrown away, and its alert sent twice.
  require(settings.sinkTimeoutMs <
    settings.rebalanceTimeoutMs, `EARSHOT_SINK_TIMEOUT_MS (${settings.sinkTimeoutMs}) must be less than EARSHOT_REBALANCE_TIMEOUT_MS (${settings.rebalanceTimeoutMs})`);
  require(settings.sinkTimeoutMs <
    settings.shutdownMs, `EARSHOT_SINK_TIMEOUT_MS (${settings.sinkTimeoutMs}) must be less than EARSHOT_SHUTDOWN_MS (${settings.shutdownMs})`);
  return wrong;
}

function fromFlags(args: string[], mistakes: string[]): Record<string, string> {
  const options = Object.fromEntries(NAMES.map(name => [flagOf(name), { type: 'string' as const }]));
  const { tokens } = parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true });
  const given: Record<string, string> = {};
  const modules: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') modules.push(token.value);
    if (token.kind !== 'option') continue;
    const name = NAMES.find(known => token.rawName === `--${flagOf(known)}`);
    if (!name) {
      const flags = NAMES.map(known => `--${flagOf(known)}`);
      mistakes.push(`unknown option "${token.rawName}"; ${hint(token.rawName, flags, '--')}`);
    } else if (!token.value || (!token.inlineValue && token.value.startsWith('--')))
      mistakes.push(`${token.rawName} needs a value: ${takes(SETTINGS[name])}`);
    else given[variableOf(name)] = token.value;
  }
  // The value of an unknown option looks like one more module.
  if (mistakes.length === 0 && modules.length > 1)
    mistakes.push(`"${modules[1]}" is one argument too many; there is one module`);
  if (modules[0]) given.EARSHOT_MODULE = modules[0];
  return given;
}

function secretFile(path: string | undefined): string | undefined {
  return path && file(path).replace(/\r?\n$/, '');
}

function variableOf(name: string): string {
  return `EARSHOT_${flagOf(name).replaceAll('-', '_').toUpperCase()}`;
}

function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
}

/** The settings for the log: secrets and the contents of files are named, not shown. */
export function printableSettings(settings: Settings): Record<string, unknown> {
  const show = (name: keyof Definitions) => {
    const hidden = 'secret' in SETTINGS[name] || ([file, json] as unknown[]).includes(SETTINGS[name].read);
    return hidden ? '(set)' : settings[name] instanceof URL ? settings[name].href : settings[name];
  };
  return Object.fromEntries(
    NAMES.filter(name => settings[name] !== undefined).map(name => [name, show(name)]),
  );
}

/** The lines of `--help` about the settings. */
export function settingsHelp(): string {
  const isRequired = (name: keyof Definitions) => 'required' in SETTINGS[name];
  const lines = (names: (keyof Definitions)[]) => names.map(helpLine).join('');
  return `Required:\n${lines(NAMES.filter(isRequired))}
Optional, with their defaults:\n${lines(NAMES.filter(name => !isRequired(name)))}`;
}

const usageOf = (name: keyof Definitions) => `--${flagOf(name)} ${SETTINGS[name].read.takes}`;
const USAGE_WIDTH = Math.max(...NAMES.map(name => usageOf(name).length));

function helpLine(name: keyof Definitions): string {
  const { help, read, fallback, secret }: Setting<unknown> = SETTINGS[name];
  const values = read.values === undefined ? '' : `: ${read.values}`;
  const byDefault = fallback === undefined ? '' : ` (${fallback})`;
  const fromFile = secret ? `; ${variableOf(name)}_FILE names a file with it` : '';
  return `  ${usageOf(name).padEnd(USAGE_WIDTH)}  ${help}${values}${byDefault}${fromFile}\n`;
}

function takes({ read }: Setting<unknown>): string {
  return read.values ?? read.takes;
}
