import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
EARSHOT_SINK_URI is not a setting; see --help`,
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

test('the help names every setting', () => {
  assert.match(settingsHelp(), /--sink-timeout-ms +time a sink has to answer \(8000\)\n/);
});
