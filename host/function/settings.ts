// The settings of the host function: what they are called, what they mean, and how they are read. Environment
// variables first, flags over them; `EARSHOT_SINK_URL` and `--sink-url` are the same setting. A secret can also be
// read from a file, `EARSHOT_SINK_PASSWORD_FILE`. Everything is checked at once and every mistake is reported.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { UserError } from '../error.ts';

/** Reads a value, or throws an Error whose message ends the sentence "EARSHOT_X …". */
type Read<T> = (text: string) => T;

interface Setting<T> {
  help: string;
  read: Read<T>;
  /** Undefined: the setting may be absent. Required settings have `required` instead. */
  fallback?: string;
  required?: true;
  /** Never printed, and `…_FILE` reads it from a file. */
  secret?: true;
}

const text: Read<string> = value => value;
const list: Read<string[]> = value => {
  const items = value.split(',').map(item => item.trim());
  if (items.some(item => item === ''))
    throw new Error('has an empty item; separate the items with single commas');
  return items;
};
const flag: Read<boolean> = value => {
  if (value !== 'true' && value !== 'false') throw new Error('must be true or false');
  return value === 'true';
};
const file: Read<string> = path => {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`names a file that cannot be read: ${(error as Error).message}`);
  }
};
const json: Read<object> = path => {
  try {
    return JSON.parse(file(path)) as object;
  } catch (error) {
    throw error instanceof SyntaxError ? new Error(`names a file that is not JSON: ${error.message}`) : error;
  }
};
const url: Read<URL> = value => {
  const parsed = URL.canParse(value) ? new URL(value) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol))
    throw new Error('must be an http:// or https:// address');
  if (parsed.username || parsed.password)
    throw new Error(
      'must not hold a user or password; use EARSHOT_SINK_USERNAME and EARSHOT_SINK_PASSWORD_FILE',
    );
  return parsed;
};
const brokers: Read<string[]> = value =>
  list(value).map(broker => {
    if (!/^[^\s/]+:\d+$/.test(broker)) throw new Error(`holds "${broker}", which is not host:port`);
    return broker;
  });
function oneOf<const T extends string>(...choices: T[]): Read<T> {
  return value => {
    if (!choices.includes(value as T)) throw new Error(`must be one of ${choices.join(', ')}`);
    return value as T;
  };
}
function whole(min: number, max: number): Read<number> {
  return value => {
    const number = /^\d+$/.test(value) ? Number(value) : NaN;
    if (!(number >= min && number <= max)) throw new Error(`must be a whole number from ${min} to ${max}`);
    return number;
  };
}

const SETTINGS = {
  module: { help: 'the module that `earshot build` wrote', read: text, required: true },

  brokers: { help: 'Kafka brokers, host:port, separated by commas', read: brokers, required: true },
  topics: { help: 'topics to read, separated by commas', read: list, required: true },
  group: { help: 'consumer group', read: text, fallback: 'earshot' },
  clientId: { help: 'client id shown to the brokers', read: text, fallback: 'earshot' },
  deadLetterTopic: { help: 'topic for poison records and refused alerts', read: text, required: true },
  concurrency: { help: 'partitions worked on at once', read: whole(1, 1000), fallback: '16' },
  sessionTimeoutMs: {
    help: 'silence after which Kafka gives our partitions away',
    read: whole(1000, 1800000),
    fallback: '30000',
  },
  rebalanceTimeoutMs: {
    help: 'time a member has to let go of its partitions',
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
  saslTokenFile: { help: 'file with the oauthbearer token; read again at each login', read: text },

  sink: {
    help: 'where alerts go',
    read: oneOf('notification-manager', 'alertmanager', 'stdout'),
    fallback: 'notification-manager',
  },
  sinkUrl: { help: 'address of the sink, without its path', read: url },
  sinkTimeoutMs: { help: 'time a sink has to answer', read: whole(100, 300000), fallback: '8000' },
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
    help: 'alertmanager only: endsAt is now plus this; 0 leaves it to resolve_timeout',
    read: whole(0, 86400000),
    fallback: '0',
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
    help: 'time without a word from Kafka after which /healthz fails',
    read: whole(1000, 3600000),
    fallback: '300000',
  },
  logLevel: { help: 'what to log', read: oneOf('debug', 'info', 'warn', 'error'), fallback: 'info' },
} satisfies Record<string, Setting<unknown>>;

type Definitions = typeof SETTINGS;
type Value<D> = D extends { read: Read<infer T> } ? T : never;
type Present<D> = D extends { required: true } | { fallback: string } ? Value<D> : Value<D> | undefined;

export type Settings = { readonly [K in keyof Definitions]: Present<Definitions[K]> };

const NAMES = Object.keys(SETTINGS) as (keyof Definitions)[];

/** Reads the settings from the flags and the environment. Throws a UserError that lists every mistake. */
export function readSettings(args: string[], environment: NodeJS.ProcessEnv): Settings {
  const mistakes: string[] = [];
  const given = { ...environment, ...fromFlags(args, mistakes) };
  const settings: Record<string, unknown> = {};
  for (const name of NAMES) {
    const setting: Setting<unknown> = SETTINGS[name];
    const variable = variableOf(name);
    try {
      const value =
        given[variable] || (setting.secret && secretFile(given[`${variable}_FILE`])) || setting.fallback;
      if (value) settings[name] = setting.read(value);
      else if (setting.required)
        throw new Error(`is not set: ${setting.help}; set it or pass --${flagOf(name)}`);
    } catch (error) {
      mistakes.push(`${variable} ${(error as Error).message}`);
    }
  }
  for (const variable of Object.keys(environment))
    if (variable.startsWith('EARSHOT_') && !known(variable))
      mistakes.push(`${variable} is not a setting; see --help`);
  if (mistakes.length === 0) mistakes.push(...contradictions(settings as Settings));
  if (mistakes.length > 0)
    throw new UserError(
      mistakes
        .map(mistake => `${mistake}\n`)
        .join('')
        .trimEnd(),
      2,
    );
  return settings as Settings;
}

/** Settings that are fine one by one and wrong together. */
function contradictions(settings: Settings): string[] {
  const wrong: string[] = [];
  const require = (condition: unknown, message: string) => condition || wrong.push(message);
  const { sink, saslMechanism } = settings;
  require(sink === 'stdout' ||
    settings.sinkUrl, `EARSHOT_SINK_URL is not set: EARSHOT_SINK=${sink} needs the address of the sink`);
  require(!settings.topics.includes(
    settings.deadLetterTopic,
  ), 'EARSHOT_DEAD_LETTER_TOPIC is one of EARSHOT_TOPICS: dead letters would be read again; name another topic');
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
  require(saslMechanism ||
    !settings.saslUsername, 'EARSHOT_SASL_MECHANISM is not set, but EARSHOT_SASL_USERNAME is; set plain, scram-sha-256 or scram-sha-512');
  // A post that outlives the rebalance would be thrown away, and its alert sent twice.
  require(settings.sinkTimeoutMs <
    settings.rebalanceTimeoutMs, `EARSHOT_SINK_TIMEOUT_MS (${settings.sinkTimeoutMs}) must be less than EARSHOT_REBALANCE_TIMEOUT_MS (${settings.rebalanceTimeoutMs})`);
  require(settings.sinkTimeoutMs <
    settings.shutdownMs, `EARSHOT_SINK_TIMEOUT_MS (${settings.sinkTimeoutMs}) must be less than EARSHOT_SHUTDOWN_MS (${settings.shutdownMs})`);
  return wrong;
}

function fromFlags(args: string[], mistakes: string[]): Record<string, string> {
  const options = Object.fromEntries(NAMES.map(name => [flagOf(name), { type: 'string' as const }]));
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    if (positionals.length > 1)
      mistakes.push(`"${positionals[1]}" is one argument too many; there is one module`);
    const given = NAMES.filter(name => values[flagOf(name)] !== undefined);
    const flags = given.map(name => [variableOf(name), values[flagOf(name)] as string]);
    return Object.fromEntries(positionals[0] ? [...flags, ['EARSHOT_MODULE', positionals[0]]] : flags);
  } catch (error) {
    mistakes.push((error as Error).message);
    return {};
  }
}

function secretFile(path: string | undefined): string | undefined {
  return path && file(path).replace(/\r?\n$/, '');
}

function known(variable: string): boolean {
  return NAMES.some(
    name =>
      variable === variableOf(name) ||
      ('secret' in SETTINGS[name] && variable === `${variableOf(name)}_FILE`),
  );
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
    const hidden = 'secret' in SETTINGS[name] || [file, json].includes(SETTINGS[name].read as Read<never>);
    return hidden ? '(set)' : settings[name] instanceof URL ? settings[name].href : settings[name];
  };
  return Object.fromEntries(
    NAMES.filter(name => settings[name] !== undefined).map(name => [name, show(name)]),
  );
}

/** The lines of `--help` about the settings. */
export function settingsHelp(): string {
  const width = Math.max(...NAMES.map(name => flagOf(name).length));
  return NAMES.map(name => {
    const { help, fallback }: Setting<unknown> = SETTINGS[name];
    return `  --${flagOf(name).padEnd(width)}  ${help}${fallback ? ` (${fallback})` : ''}\n`;
  }).join('');
}
