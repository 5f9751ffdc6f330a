// Every codec, as Kafka's own producer and as librdkafka write it.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { kafkaMissing, kafkaTool, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { openStage, until } from '../function/harness.ts';
import { codecOf } from '../../host/source/codec.ts';
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
          await until(
            async () => (await stage.committed())[0] === COUNT && (await stage.counted()),
            'everything committed',
          );
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

// How many bytes of what is sent become more than a batch may hold.
const MIB = 1024 * 1024;
const bombs: Record<string, { id: number; bytes: () => Buffer; message: RegExp }> = {
  gzip: {
    id: 1,
    bytes: () => gzipSync(Buffer.alloc(512 * MIB), { level: 9 }), // 510 KiB
    message: /^gzip: more than 67108864 bytes once decoded, 67108864 allowed$/,
  },
  snappy: {
    id: 2,
    bytes: () => Buffer.from([0x80, 0x80, 0x80, 0x80, 0x02, 0]), // Announces 512 MiB.
    message: /^snappy: 536870912 bytes once decoded/,
  },
  'snappy in frames': {
    id: 2,
    bytes: () => {
      const block = snappyZeros(40 * MIB);
      const size = Buffer.alloc(4);
      size.writeUInt32BE(block.length);
      const header = Buffer.from('82534e41505059000000000100000001', 'hex');
      return Buffer.concat([header, size, block, size, block]);
    },
    message: /^snappy: 83886080 bytes once decoded/,
  },
  lz4: {
    id: 3,
    bytes: () => {
      // Blocks of 4 MiB: one literal, and a match of the rest that repeats it.
      const block = Buffer.concat([
        Buffer.from([0x1f, 0, 1, 0]),
        Buffer.alloc(16_449, 0xff),
        Buffer.from([0]),
      ]);
      const size = Buffer.alloc(4);
      size.writeUInt32LE(block.length);
      const blocks = Array.from({ length: 20 }, () => [size, block]).flat();
      return Buffer.concat([Buffer.from('04224d18407000', 'hex'), ...blocks, Buffer.alloc(4)]);
    },
    message: /^lz4: more than 67108864 bytes once decoded/,
  },
  'zstd, 16 KiB of it': {
    id: 4,
    bytes: () => zstdFrame([0x00, 0x38], 4096), // 512 MiB in blocks that repeat a byte; a window of 128 KiB.
    message: /^zstd: more than 67108864 bytes once decoded/,
  },
  'zstd with a window of 1 GiB': {
    id: 4,
    bytes: () => zstdFrame([0x00, 0xa0], 1),
    message: /^zstd: 1073741824 bytes once decoded/,
  },
  'zstd that announces 1 GiB': {
    id: 4,
    bytes: () => zstdFrame([0xa0, 0, 0, 0, 0x40], 1),
    message: /^zstd: 1073741824 bytes once decoded/,
  },
};

for (const [name, { id, bytes, message }] of Object.entries(bombs))
  test(`${name}: what grows beyond the limit is refused, and takes no memory`, async () => {
    const source = bytes();
    const decode = await codecOf(id);
    const before = process.memoryUsage.rss();
    assert.throws(() => decode(source), { message });
    const grown = process.memoryUsage.rss() - before;
    assert.ok(grown < 200 * MIB, `${Math.round(grown / MIB)} MiB`);
  });

test(
  'zstd frames that could be large and are small are decoded',
  { skip: !hasProgram('zstd') && 'no zstd on the PATH' },
  async () => {
    const text = 'a line that comes again and again, '.repeat(50);
    const frame = execFileSync('zstd', ['-c', '-q'], { input: text });
    const decode = await codecOf(4);
    const frames = Buffer.concat(Array.from({ length: 600 }, () => frame)); // Up to 75 MiB, by their headers.
    assert.equal(decode(frames).toString(), text.repeat(600));
  },
);

test('an lz4 frame of many small blocks that allows large ones is decoded', async () => {
  const block = Buffer.from('0500008068656c6c6f', 'hex'); // Stored: hello
  const frame = Buffer.concat([
    Buffer.from('04224d18407000', 'hex'),
    ...Array.from({ length: 40 }, () => block),
    Buffer.alloc(4),
  ]);
  assert.equal((await codecOf(3))(frame).toString(), 'hello'.repeat(40));
});

/** `size` zeros: a literal, and copies of 64 bytes from 1 back. */
function snappyZeros(size: number): Buffer {
  const header: number[] = [];
  for (let rest = size; ; rest >>>= 7) {
    if (rest < 0x80) {
      header.push(rest);
      break;
    }
    header.push((rest & 0x7f) | 0x80);
  }
  const copies = Math.floor((size - 1) / 64);
  const last = (size - 1) % 64;
  const copy = Buffer.from([(63 << 2) | 2, 1, 0]);
  const body = Buffer.alloc(copies * 3, copy);
  return Buffer.concat([Buffer.from([...header, 0, 0]), body, Buffer.from([((last - 1) << 2) | 2, 1, 0])]);
}

/** Descriptor and sizes, then blocks that each repeat one byte 131,072 times. */
function zstdFrame(header: number[], blockCount: number): Buffer {
  const blocks = Array.from({ length: blockCount }, (_, index) => {
    const block = Buffer.alloc(4, 'x');
    block.writeUIntLE((131_072 << 3) | (1 << 1) | (index === blockCount - 1 ? 1 : 0), 0, 3);
    return block;
  });
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...header]), ...blocks]);
}

function hasProgram(name: string): boolean {
  return (process.env.PATH ?? '').split(':').some(folder => existsSync(join(folder, name)));
}

function hasKcat(): boolean {
  try {
    execFileSync('kcat', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
