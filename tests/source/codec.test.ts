// Every codec, as Kafka's own producer and as librdkafka write it.

import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { kafkaMissing, kafkaTool, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { openStage, until } from '../function/harness.ts';
import { decodeLz4 } from '../../host/source/lz4.ts';
import { decodeSnappy } from '../../host/source/snappy.ts';

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const COUNT = 3000;

// Records that compress well and badly, several blocks of every codec in one batch.
const lines = Array.from({ length: COUNT }, (_, id) => {
  const noise = Array.from({ length: id % 40 }, (_, at) =>
    ((id * 2654435761 + at * 40503) >>> 0).toString(36),
  ).join('');
  return JSON.stringify({
    log: `${id % 100 === 0 ? 'ALERT' : 'quiet'} ${noise} ${'repeat '.repeat(id % 30)}`,
    id,
  });
});
const input = lines.map(line => `${line}\n`).join('');
const expected = lines.map((_, id) => id).filter(id => id % 100 === 0);

describe('codecs', { skip: kafkaMissing(), concurrency: 2 }, () => {
  let kafka: TestKafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.stop());

  const producers: Record<string, (codec: string, topic: string) => void> = {
    'the Java producer': (codec, topic) => {
      const batching = ['--producer-property', 'linger.ms=500', '--producer-property', 'batch.size=900000'];
      kafkaTool(
        'ConsoleProducer',
        ['--bootstrap-server', kafka.brokers, '--topic', topic, '--compression-codec', codec, ...batching],
        input,
      );
    },
    kcat: (codec, topic) => {
      execFileSync('kcat', ['-P', '-b', kafka.brokers, '-t', topic, '-z', codec, '-X', 'linger.ms=500'], {
        input,
        timeout: 30_000,
      });
    },
  };
  for (const [name, produce] of Object.entries(producers))
    for (const codec of CODECS) {
      const skip = name === 'kcat' && !hasKcat() && 'no kcat on the PATH';
      test(`${codec} from ${name}`, { skip }, async () => {
        const manager = await startNotificationManager();
        const stage = await openStage(kafka.brokers, manager.url);
        try {
          produce(codec, stage.topic);
          const running = stage.start();
          await until(async () => (await stage.committed())[0] === COUNT, 'everything committed');
          assert.deepEqual(manager.ids(), expected);
          assert.deepEqual(
            running.logs.filter(line => line.level === 'error' && !line.kafkajs),
            [],
          );
        } finally {
          await stage.close();
          await manager.stop();
        }
      });
    }
});

test('a broken batch is an error, not garbage', () => {
  const frame = Buffer.from('04224d1840407305000000abcd', 'hex'); // A block of 5 bytes, of which 2 are there.
  assert.throws(() => decodeLz4(frame), /RangeError|cut short|out of range/);
  assert.throws(() => decodeLz4(Buffer.from('00000000000000', 'hex')), { message: 'lz4: not a frame' });
  // 4 decoded bytes announced; a copy from 1 back, of nothing.
  assert.throws(() => decodeSnappy(Buffer.from([4, 0b00000001, 1])), {
    message: 'snappy: a copy leaves its block',
  });
  assert.throws(() => decodeSnappy(Buffer.from([4, 0b00000000, 97])), {
    message: 'snappy: the block is cut short',
  });
  assert.throws(() => decodeSnappy(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])), {
    message: 'snappy: 4294967295 bytes once decoded, 67108864 allowed',
  });
});

function hasKcat(): boolean {
  try {
    execFileSync('kcat', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
