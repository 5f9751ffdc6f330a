import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UserError } from '../../host/error.ts';
import { printableSettings, readSettings, settingsHelp } from '../../host/function/settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'earshot-settings-'));
const secret = join(folder, 'secret');
writeFileSync(secret, 'hunter2\n');

const least = {
  EARSHOT_BROKERS: 'kafka:9092',
  EARSHOT_TOPICS: 'logs',
  EARSHOT_DEAD_LETTER_TOPIC: 'logs-dlq',
  EARSHOT_SINK_URL: 'http://manager:19093',
};

test('the least that has to be set', () => {
  const settings = readSettings(['earshot.wasm'], least);
  assert.equal(settings.module, 'earshot.wasm');
  assert.deepEqual(settings.brokers, ['kafka:9092']);
  assert.equal(settings.sink, 'notification-manager');
});

test('a flag goes over a variable, a file stands for a secret', () => {
  const settings = readSettings(['earshot.wasm', '--topics', 'a,b', '--sink-username', 'me'], {
    ...least,
    EARSHOT_SINK_PASSWORD_FILE: secret,
  });
  assert.deepEqual(settings.topics, ['a', 'b']);
  assert.equal(settings.sinkPassword, 'hunter2');
});

test('the counter needs no topics of logs, and everybody else does', () => {
  const { EARSHOT_TOPICS: _, ...without } = least;
  assert.equal(readSettings(['earshot.wasm', '--role', 'count'], without).topics, undefined);
  for (const role of ['all', 'match'])
    assert.throws(() => readSettings(['earshot.wasm', '--role', role], without), {
      message: /^EARSHOT_TOPICS is not set/,
    });
});

test('with a door neither topics of logs nor Kafka are needed', () => {
  const { EARSHOT_BROKERS, EARSHOT_DEAD_LETTER_TOPIC, EARSHOT_SINK_URL } = least;
  const door = { EARSHOT_LISTEN: ':8080' };
  const memory = readSettings(['x.wasm'], { ...door, EARSHOT_SINK_URL });
  assert.deepEqual(
    [memory.brokers, memory.topics, memory.deadLetterTopic],
    [undefined, undefined, undefined],
  );
  const kafka = { ...door, EARSHOT_BROKERS, EARSHOT_DEAD_LETTER_TOPIC, EARSHOT_ROLE: 'match' };
  assert.equal(readSettings(['x.wasm'], kafka).topics, undefined);
  assert.match(mistakeOf(['x.wasm'], { ...door, EARSHOT_BROKERS }), /^EARSHOT_DEAD_LETTER_TOPIC is not set/);
  assert.equal(
    mistakeOf(['x.wasm'], { ...least, ...door, EARSHOT_BROKERS: '', EARSHOT_ROLE: 'count' }),
    `EARSHOT_BROKERS is not set, but EARSHOT_ROLE=count is: without Kafka one process does everything; set EARSHOT_BROKERS, or remove EARSHOT_ROLE
EARSHOT_BROKERS is not set, but EARSHOT_TOPICS is; set EARSHOT_BROKERS, or remove EARSHOT_TOPICS
EARSHOT_BROKERS is not set, but EARSHOT_DEAD_LETTER_TOPIC is; set EARSHOT_BROKERS, or remove EARSHOT_DEAD_LETTER_TOPIC`,
  );
  assert.equal(
    mistakeOf(['x.wasm'], { ...least, EARSHOT_LISTEN_TOKEN: 'x' }),
    'EARSHOT_LISTEN is not set, but EARSHOT_LISTEN_TOKEN is; set both or none',
  );
});

test('an address to listen at', () => {
  const listen = (text: string) => readSettings(['x.wasm'], { ...least, EARSHOT_LISTEN: text }).listen;
  assert.deepEqual(listen(':8080'), { host: undefined, port: 8080 });
  assert.deepEqual(listen('0.0.0.0:80'), { host: '0.0.0.0', port: 80 });
  assert.deepEqual(listen('[::1]:9000'), { host: '::1', port: 9000 });
  assert.deepEqual(listen('localhost:0'), { host: 'localhost', port: 0 });
  for (const text of ['8080', 'http://x:80', 'x:65536', '::1:80', '[x]:80', 'a b:80', 'x:'])
    assert.equal(
      mistakeOf(['x.wasm'], { ...least, EARSHOT_LISTEN: text }),
      `EARSHOT_LISTEN is "${text}", which is not host:port, [IPv6]:port or :port`,
    );
});

test('every mistake is reported at once, with what to do', () => {
  const environment = {
    EARSHOT_TOPICS: 'logs,,more',
    EARSHOT_BROKERS: 'kafka',
    EARSHOT_SINK: 'slack',
    EARSHOT_SINK_URL: 'http://me:pass@manager',
    EARSHOT_TLS: 'yes',
    EARSHOT_COMMIT_INTERVAL_MS: '1s',
    EARSHOT_SASL_PASSWORD_FILE: '/nowhere',
    EARSHOT_SINK_URI: 'x',
  };
  assert.throws(() => readSettings([], environment), {
    message: `EARSHOT_MODULE is not set: the module that \`earshot build\` wrote; set it or pass --module
EARSHOT_BROKERS holds "kafka", which is not host:port
EARSHOT_TOPICS has an empty item; separate the items with single commas
EARSHOT_DEAD_LETTER_TOPIC is not set: topic for poison records and refused alerts; set it or pass --dead-letter-topic
EARSHOT_COMMIT_INTERVAL_MS must be a whole number from 50 to 60000
EARSHOT_TLS must be true or false
EARSHOT_SASL_PASSWORD names a file that cannot be read: ENOENT: no such file or directory, open '/nowhere'
EARSHOT_SINK must be one of notification-manager, alertmanager, stdout
EARSHOT_SINK_URL must not hold a user or password; use EARSHOT_SINK_USERNAME and EARSHOT_SINK_PASSWORD_FILE
EARSHOT_SINK_URI is not a setting; did you mean EARSHOT_SINK_URL?`,
    exitCode: 2,
  });
});

test('settings that contradict each other', () => {
  const environment = {
    ...least,
    EARSHOT_DEAD_LETTER_TOPIC: 'logs',
    EARSHOT_SASL_MECHANISM: 'plain',
    EARSHOT_SINK_TIMEOUT_MS: '60000',
    EARSHOT_STRICT: 'true',
  };
  assert.throws(() => readSettings(['x.wasm'], environment), {
    message: `EARSHOT_DEAD_LETTER_TOPIC is one of EARSHOT_TOPICS: dead letters would be read again; name another topic
EARSHOT_STRICT_RECEIVER_FILE is not set: strict delivery names its receiver; write the Receiver resource to a file, as JSON
EARSHOT_SASL_USERNAME or EARSHOT_SASL_PASSWORD is not set: plain needs both
EARSHOT_SINK_TIMEOUT_MS (60000) must be less than EARSHOT_REBALANCE_TIMEOUT_MS (60000)
EARSHOT_SINK_TIMEOUT_MS (60000) must be less than EARSHOT_SHUTDOWN_MS (25000)`,
  });
});

test('no secret is printed', () => {
  const environment = {
    ...least,
    EARSHOT_SASL_MECHANISM: 'plain',
    EARSHOT_SASL_USERNAME: 'me',
    EARSHOT_SASL_PASSWORD: 'hunter2',
    EARSHOT_SINK_TOKEN_FILE: secret,
  };
  const printed = printableSettings(readSettings(['x.wasm'], environment));
  assert.ok(!JSON.stringify(printed).includes('hunter2'));
  assert.equal(printed.saslPassword, '(set)');
  assert.equal(printed.sinkUrl, 'http://manager:19093/');
});

function mistakeOf(args: string[], environment: NodeJS.ProcessEnv): string {
  try {
    readSettings(args, environment);
  } catch (error) {
    assert.equal((error as UserError).exitCode, 2);
    return (error as UserError).message;
  }
  return 'none';
}

test('what Kubernetes sets for a Service named earshot… is no setting', () => {
  const links = (service: string, address = '10.0.0.1') => ({
    [`${service}_SERVICE_HOST`]: address,
    [`${service}_SERVICE_PORT`]: '8080',
    [`${service}_SERVICE_PORT_HTTP_METRICS`]: '8080',
    [`${service}_PORT`]: `tcp://${address}:8080`,
    [`${service}_PORT_8080_TCP`]: `tcp://${address}:8080`,
    [`${service}_PORT_8080_TCP_PROTO`]: 'tcp',
    [`${service}_PORT_8080_TCP_PORT`]: '8080',
    [`${service}_PORT_8080_TCP_ADDR`]: address,
    [`${service}_PORT_53_UDP`]: `udp://${address}:53`,
    [`${service}_PORT_53_UDP_PROTO`]: 'udp',
    [`${service}_PORT_9_SCTP`]: `sctp://${address}:9`,
  });
  for (const service of ['EARSHOT', 'EARSHOT_METRICS', 'EARSHOT_SINK', 'EARSHOT_2', 'EARSHOT_FOO_BAR']) {
    for (const address of ['10.0.0.1', 'fd00::1']) {
      const settings = readSettings(['x.wasm'], { ...least, ...links(service, address) });
      assert.equal(settings.port, 8080, 'the default: EARSHOT_PORT is a link');
    }
  }
  const linked = { ...least, ...links('EARSHOT') };
  assert.equal(readSettings(['x.wasm', '--port', '9000'], linked).port, 9000);
  assert.equal(
    readSettings(['x.wasm'], { ...links('EARSHOT_FOO'), ...least, EARSHOT_PORT: '9000' }).port,
    9000,
  );
});

test('what only looks like a link is a mistake', () => {
  const wrong = {
    EARSHOT_PORT: 'http://10.0.0.1:8080',
    EARSHOT_HTTP_PORT: '8080',
    EARSHOT_SINK_PORT: 'eighty',
    EARSHOT_SERVICE_HOST: 'manager.svc',
    EARSHOT_SERVICE_PORT: 'http',
    EARSHOT_SERVICE: '10.0.0.1',
    EARSHOT_TOPIC: 'logs',
    EARSHOT_GROUP_FILE: '/x',
  };
  assert.equal(
    mistakeOf(['x.wasm'], { ...least, ...wrong }),
    `EARSHOT_PORT must be a whole number from 0 to 65535
EARSHOT_HTTP_PORT is not a setting; \`earshot function --help\` lists them all
EARSHOT_SINK_PORT is not a setting; did you mean EARSHOT_SINK_URL?
EARSHOT_SERVICE_HOST is not a setting; \`earshot function --help\` lists them all
EARSHOT_SERVICE_PORT is not a setting; \`earshot function --help\` lists them all
EARSHOT_SERVICE is not a setting; \`earshot function --help\` lists them all
EARSHOT_TOPIC is not a setting; did you mean EARSHOT_TOPICS?
EARSHOT_GROUP_FILE is not a setting; \`earshot function --help\` lists them all`,
  );
});

test('an address of the sink that would lose a part of itself is refused, and not repeated', () => {
  for (const [address, mistake] of [
    ['http://manager/?token=hunter2', /must not hold a query .* use EARSHOT_SINK_TOKEN_FILE for a token$/],
    [
      'http://hunter2@manager',
      /must not hold a user or password; use EARSHOT_SINK_USERNAME and EARSHOT_SINK_PASSWORD_FILE$/,
    ],
    ['http://me:hunter2@manager', /must not hold a user or password/],
    ['http://manager/#hunter2', /must not hold a fragment/],
    ['ftp://me:hunter2@manager', /is not an http:\/\/ or https:\/\/ address$/],
    ['hunter2', /is not an http:\/\/ or https:\/\/ address$/],
  ] as const) {
    const message = mistakeOf(['x.wasm'], { ...least, EARSHOT_SINK_URL: address });
    assert.match(message, mistake);
    assert.ok(message.startsWith('EARSHOT_SINK_URL ') && !message.includes('hunter2'), message);
  }
  const { sinkUrl } = readSettings(['x.wasm'], {
    ...least,
    EARSHOT_SINK_URL: 'https://manager/prefix/api/v2/alerts',
  });
  assert.equal(sinkUrl!.href, 'https://manager/prefix/');
});

test('a wrong flag is the only mistake that is reported', () => {
  for (const [args, mistake] of [
    [['x.wasm', '--brokerz', 'a:1'], 'unknown option "--brokerz"; did you mean --brokers?'],
    [['--brokerz', 'a:1', 'x.wasm'], 'unknown option "--brokerz"; did you mean --brokers?'],
    [
      ['--brokerz=a:1', '-x'],
      'unknown option "--brokerz"; did you mean --brokers?\nunknown option "-x"; `earshot function --help` lists them all',
    ],
    [['x.wasm', '--topics'], '--topics needs a value: LIST'],
    [['x.wasm', '--strict'], '--strict needs a value: true|false'],
    [['x.wasm', '--topics', '--brokers', 'a:1'], '--topics needs a value: LIST'],
    [['x.wasm', 'y.wasm'], '"y.wasm" is one argument too many; there is one module'],
  ] as const)
    assert.equal(mistakeOf([...args], {}), mistake);
});

test('what is for a login is refused without a mechanism', () => {
  for (const [variable, value] of [
    ['EARSHOT_SASL_USERNAME', 'me'],
    ['EARSHOT_SASL_PASSWORD', 'hunter2'],
    ['EARSHOT_SASL_PASSWORD_FILE', secret],
    ['EARSHOT_SASL_TOKEN_FILE', secret],
  ] as const)
    assert.equal(
      mistakeOf(['x.wasm'], { ...least, [variable]: value }),
      `EARSHOT_SASL_MECHANISM is not set, but ${variable.replace('PASSWORD_FILE', 'PASSWORD')} is; set plain, scram-sha-256, scram-sha-512, oauthbearer`,
    );
});

test('a hold that ends before the answer of the sink is refused', () => {
  const hold = (text: string) =>
    mistakeOf(['x.wasm'], { ...least, EARSHOT_SINK: 'alertmanager', EARSHOT_ALERT_HOLD_MS: text });
  assert.match(
    hold('8000'),
    /^EARSHOT_ALERT_HOLD_MS \(8000\) must be more than EARSHOT_SINK_TIMEOUT_MS \(8000\), or 0/,
  );
  assert.deepEqual(['0', '8001', '86400001'].map(hold), ['none', 'none', 'none']);
  assert.match(hold('31536000001'), /must be a whole number/);
});

test('a rules file is no module', () => {
  for (const path of ['rules.yaml', 'rules.yml'])
    assert.equal(
      mistakeOf([path], least),
      `EARSHOT_MODULE is ${path}, a rules file; build it first: \`earshot build ${path} -o earshot.wasm\`, then pass earshot.wasm`,
    );
});

test('the help says what is required, which values a setting takes, and how a secret comes from a file', () => {
  const help = settingsHelp();
  const [required, optional] = help.split('\n\n');
  assert.deepEqual(
    [...required!.matchAll(/^  --(\S+)/gm)].map(([, name]) => name),
    ['module', 'brokers', 'topics', 'dead-letter-topic'],
  );
  assert.match(optional!, /--sink-timeout-ms NUMBER +time a sink has to answer: 100 to 300000 \(8000\)\n/);
  assert.match(optional!, /--log-level NAME +what to log: debug, info, warn, error \(info\)\n/);
  assert.match(optional!, /--sink-token TEXT +bearer token; EARSHOT_SINK_TOKEN_FILE names a file with it\n/);
  for (const line of help.split('\n').filter(line => line.startsWith('  ')))
    assert.match(line, /^  --[a-z-]+ (?:ADDRESS|FILE|LIST|NAME|NUMBER|TEXT|URL|true\|false) +\S/);
});
