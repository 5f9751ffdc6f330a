// TLS and SASL against a real broker: an authority of our own, and every secret from a file.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kafkaMissing, kafkaTool, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { messages, openStage, range, until } from './harness.ts';

const PASSWORD = 'correct-horse-7';
const WRONG = 'wrong-battery-9';
const LOGIN = 'org.apache.kafka.common.security';
const SECURE_PORT = 30_000 + (process.pid % 10_000);

describe('login', { skip: kafkaMissing(), concurrency: 5 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-login-'));
  const path = (name: string) => join(folder, name);
  const write = (name: string, text: string) => (
    writeFileSync(path(name), text, { mode: 0o600 }),
    path(name)
  );
  let kafka: TestKafka;

  before(async () => {
    makeCertificates();
    const address = `SECURE://127.0.0.1:${SECURE_PORT}`;
    const secure = 'listener.name.secure';
    kafka = await startKafka({
      listeners: address,
      'advertised.listeners': address,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': path('broker.pem'),
      [`${secure}.plain.sasl.jaas.config`]: `${LOGIN}.plain.PlainLoginModule required user_me="${PASSWORD}";`,
      [`${secure}.scram-sha-256.sasl.jaas.config`]: `${LOGIN}.scram.ScramLoginModule required;`,
      [`${secure}.scram-sha-512.sasl.jaas.config`]: `${LOGIN}.scram.ScramLoginModule required;`,
      // The validator of unsecured tokens that Kafka ships for tests is the default.
      [`${secure}.oauthbearer.sasl.jaas.config`]: `${LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
    });
    const user = ['--entity-type', 'users', '--entity-name', 'me', '--alter'];
    // One at a time: the broker takes no second credential of a user in the same request.
    for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512']) {
      const credential = ['--add-config', `${mechanism}=[password=${PASSWORD}]`];
      kafkaTool('kafka.admin.ConfigCommand', ['--bootstrap-server', kafka.brokers, ...user, ...credential]);
    }
  });
  after(async () => {
    await kafka?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function makeCertificates(): void {
    const openssl = (line: string) =>
      execFileSync('openssl', line.split(' '), { cwd: folder, stdio: 'ignore' });
    openssl('req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=test -days 2');
    openssl('req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=127.0.0.1');
    write('names', 'subjectAltName=IP:127.0.0.1\n');
    openssl(
      'x509 -req -in broker.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.crt',
    );
    const pem = ['broker.key', 'broker.crt', 'ca.crt'].map(name => readFileSync(path(name), 'utf8'));
    write('broker.pem', pem.join(''));
  }

  /** What the function is told to log in by. */
  function settings(mechanism: string, password: string): Record<string, string> {
    const tls = { EARSHOT_TLS: 'true', EARSHOT_TLS_CA_FILE: path('ca.crt') };
    const where = { ...tls, EARSHOT_BROKERS: `127.0.0.1:${SECURE_PORT}`, EARSHOT_SASL_MECHANISM: mechanism };
    if (mechanism === 'oauthbearer')
      return { ...where, EARSHOT_SASL_TOKEN_FILE: write('token', `${token()}\n`) };
    const file = write(`password-${mechanism}-${password}`, `${password}\n`);
    return { ...where, EARSHOT_SASL_USERNAME: 'me', EARSHOT_SASL_PASSWORD_FILE: file };
  }

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'])
    test(`${mechanism} over TLS: consumes and commits`, async () => {
      const manager = await startNotificationManager();
      const stage = await openStage(kafka.brokers, manager.url);
      try {
        await stage.produce(messages(5));
        const running = stage.start(settings(mechanism, PASSWORD));
        await until(
          async () => (await stage.committed())[0] === 5 && (await stage.counted()),
          'everything committed',
        );
        assert.deepEqual(manager.ids(), range(5));
        assert.equal(await running.stop(), 0);
        assert.ok(!JSON.stringify(running.logs).includes(PASSWORD));
      } finally {
        await stage.close();
        await manager.stop();
      }
    });

  for (const mechanism of ['plain', 'scram-sha-512'])
    test(`${mechanism} with a wrong password ends with 1, and says why without the password`, async () => {
      const manager = await startNotificationManager();
      const stage = await openStage(kafka.brokers, manager.url);
      try {
        const running = stage.start(settings(mechanism, WRONG));
        assert.equal(await running.exitCode, 1);
        const logged = JSON.stringify(running.logs);
        assert.match(logged, /[Aa]uthentication failed/);
        assert.ok(!logged.includes(WRONG));
      } finally {
        await stage.close();
        await manager.stop();
      }
    });
});

/** A JSON web token without a signature. */
function token(): string {
  const part = (claims: object) => Buffer.from(JSON.stringify(claims)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  return `${part({ alg: 'none' })}.${part({ sub: 'me', iat: now, exp: now + 3600 })}.`;
}
