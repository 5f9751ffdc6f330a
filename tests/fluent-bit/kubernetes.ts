// A real API server (etcd, kube-apiserver) on loopback, without kubelets: it knows whether a manifest is one.
import { spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const missing = ['etcd', 'kube-apiserver', 'kubectl'].filter(program => !isOnPath(program));
/** For `test`'s options: says aloud why nothing runs. */
export const skip = missing.length > 0 && `there is no ${missing.join(', no ')} on the PATH`;

const STARTUP_MS = 120_000;

export interface Answer {
  ok: boolean;
  /** Standard output and error. */
  text: string;
}

export type Kubectl = (...args: string[]) => Answer;

export async function startApiServer(context: TestContext): Promise<Kubectl> {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-kubernetes-'));
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const [client, peer, api] = await freePorts(3);
  start(context, folder, 'etcd', [
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=http://127.0.0.1:${client}`,
    `--advertise-client-urls=http://127.0.0.1:${client}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-cluster=default=http://127.0.0.1:${peer}`,
    '--unsafe-no-fsync',
  ]);
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const tokens = file('tokens.csv', 'token,admin,admin,system:masters\n');
  const log = start(context, folder, 'kube-apiserver', [
    `--etcd-servers=http://127.0.0.1:${client}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${api}`,
    `--cert-dir=${join(folder, 'certificates')}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.0.0.0/24',
    '--authorization-mode=RBAC',
    `--token-auth-file=${tokens}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${file('signing.pem', privateKey.export({ type: 'pkcs1', format: 'pem' }))}`,
    `--service-account-key-file=${file('public.pem', publicKey.export({ type: 'spki', format: 'pem' }))}`,
  ]);
  const configuration = file(
    'kubeconfig',
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'test',
          cluster: { server: `https://127.0.0.1:${api}`, 'insecure-skip-tls-verify': true },
        },
      ],
      users: [{ name: 'admin', user: { token: 'token' } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      'current-context': 'test',
    }),
  );
  const kubectl: Kubectl = (...args) => {
    const { status, stdout, stderr } = spawnSync('kubectl', [`--kubeconfig=${configuration}`, ...args], {
      encoding: 'utf8',
      env: { ...process.env, HOME: folder },
      timeout: 60_000,
    });
    return { ok: status === 0, text: stdout + stderr };
  };
  for (const end = Date.now() + STARTUP_MS; !kubectl('get', '--raw', '/readyz').ok; await sleep(500))
    if (Date.now() > end)
      throw new Error(`kube-apiserver is not ready in ${STARTUP_MS} ms\n${log().slice(-4000)}`);
  return kubectl;
}

/** Returns what it wrote. The last that was started is the first to be ended, and then its folder goes. */
function start(context: TestContext, folder: string, program: string, args: string[]): () => string {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise(done => child.once('exit', done));
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data));
  child.stderr.on('data', (data: Buffer) => (output += data));
  context.after(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  return () => output;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map(server => new Promise(done => server.once('listening', done))));
  const ports = servers.map(server => (server.address() as AddressInfo).port);
  await Promise.all(servers.map(server => new Promise(done => server.close(done))));
  return ports;
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some(folder => existsSync(join(folder, program)));
}
