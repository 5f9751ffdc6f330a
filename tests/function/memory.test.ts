// What a backlog and a hostile batch may take of memory and of processor time. The function runs as a process of its
// own, and is measured from outside.

import { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startKafka, uniqueName } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { stageTests, messages, range, until } from './harness.ts';
import { kcatMissing } from './mock-kafka.ts';
import { bundleFunction, residentPeak, spawnFunction } from './process.ts';
import type { FunctionProcess } from './process.ts';

const RESIDENT_MAX = 256; // MiB
const PARTITIONS = 12;
const BACKLOG = Number(process.env.EARSHOT_TEST_BACKLOG ?? 30_000); // Records of each partition, of half a kilobyte.
const BOMB_SIZE = 96 * 1024 * 1024; // Bytes of one record; a batch may be 64 MiB once decoded.

const skip = kafkaMissing() ?? kcatMissing();

describe('memory', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-memory-'));
  let kafka: TestKafka;
  let file: string;
  before(async () => {
    [kafka, file] = await Promise.all([startKafka(), bundleFunction()]);
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await kafka?.stop();
  });

  const stageTest = stageTests(() => kafka.brokers, 180_000);

  /** One message a line of `path`, or `path` as one message. */
  function produce(topic: string, partition: number, codec: string, path: string, isOne = false): void {
    const limits = ['-X', 'message.max.bytes=200000000', '-X', 'linger.ms=100', '-X', 'batch.size=900000'];
    const where = ['-b', kafka.brokers, '-t', topic, '-p', String(partition), '-z', codec];
    execFileSync('kcat', ['-P', ...where, ...limits, ...(isOne ? [] : ['-l']), path], { timeout: 60_000 });
  }

  for (const codec of ['none', 'gzip', 'zstd'])
    stageTest(
      `${PARTITIONS} partitions behind in ${codec} take ${RESIDENT_MAX} MiB at most`,
      PARTITIONS,
      async stage => {
        const path = join(folder, 'backlog');
        writeFileSync(path, backlog());
        for (const partition of range(PARTITIONS)) produce(stage.topic, partition, codec, path);
        const one = spawnFunction(file, stage.environment);
        await until(
          async () => sum(await stage.committed()) === PARTITIONS * BACKLOG && (await stage.counted()),
          'all committed',
          120_000,
        );
        const peak = residentPeak(one);
        console.log(`# ${codec}: ${peak} MiB resident at the most`);
        await end(one);
        assert.ok(peak <= RESIDENT_MAX, `${peak} MiB`);
      },
    );

  stageTest('a tenth of a processor keeps its session while it catches up', PARTITIONS, async stage => {
    const path = join(folder, 'backlog');
    writeFileSync(path, backlog());
    for (const partition of range(PARTITIONS)) produce(stage.topic, partition, 'zstd', path);
    const one = spawnFunction(file, stage.environment); // The session is 6 s.
    const slow = throttle(one);
    await until(async () => sum(await stage.committed()) > 0, 'the first commit', 60_000);
    await sleep(20_000); // Three sessions.
    slow.stop();
    const joins = one.log().split('partitions assigned').length - 1;
    const done = sum(await stage.committed());
    console.log(
      `# a tenth of a processor: ${joins} joins, ${done} of ${PARTITIONS * BACKLOG} records committed`,
    );
    assert.ok(joins <= 2, `${joins} joins\n${one.log().slice(-3000)}`);
    assert.ok(done > 0);
    await until(
      async () => sum(await stage.committed()) === PARTITIONS * BACKLOG && (await stage.counted()),
      'all committed',
      120_000,
    );
    await end(one);
  });

  stageTest(
    'a batch that grows beyond the limit is a dead letter with its place, and the next records are read',
    1,
    async (stage, manager) => {
      const topic = uniqueName('bombs');
      const configEntries = [{ name: 'max.message.bytes', value: '20000000' }];
      await stage.admin.createTopics({
        topics: [{ topic, numPartitions: 1, configEntries }],
        waitForLeaders: false,
      });
      await sleep(1000);
      const bomb = join(folder, 'bomb');
      writeFileSync(bomb, Buffer.alloc(BOMB_SIZE, 'x'));
      const record = join(folder, 'record');
      const codecs = ['gzip', 'snappy', 'lz4', 'zstd'];
      for (const [index, codec] of codecs.entries()) {
        writeFileSync(record, String(messages(1, undefined, index)[0]!.value));
        produce(topic, 0, codec, record);
        produce(topic, 0, codec, bomb, true);
      }
      writeFileSync(record, String(messages(1, undefined, codecs.length)[0]!.value));
      produce(topic, 0, 'none', record);
      const one = spawnFunction(file, { ...stage.environment, EARSHOT_TOPICS: topic });
      const letters = await stage.deadLetters(codecs.length);
      await until(() => manager.ids().length === codecs.length + 1, 'the record after the last of them');
      const peak = residentPeak(one);
      console.log(`# bombs: ${peak} MiB resident at the most`);
      await end(one);
      assert.deepEqual(manager.ids(), range(codecs.length + 1));
      for (const [index, { value, headers }] of letters.entries()) {
        assert.equal(value, '');
        assert.equal(headers['earshot.topic'], topic);
        assert.equal(headers['earshot.partition'], '0');
        assert.equal(headers['earshot.offset'], String(2 * index + 1));
        assert.equal(headers['earshot.reason'], 'poison');
        assert.match(
          headers['earshot.error']!,
          new RegExp(
            `^the record batch cannot be decoded \\(offset ${2 * index + 1}, still in the topic\\): ${codecs[index]}: .* bytes once decoded, 67108864 allowed$`,
          ),
        );
      }
      assert.ok(peak <= 2 * RESIDENT_MAX, `${peak} MiB`);
    },
  );
});

function backlog(): string {
  const line = (id: number) =>
    JSON.stringify({
      log: `10.233.${id % 256}.${(id * 31) % 256} - - "GET /items/${(id * 7919) % 100_000} HTTP/1.1" 200 ${id}`,
      time: '2021-08-25T01:54:37.226757612Z',
      kubernetes: {
        pod_name: `wordpress-v1-f54f697c5-${(id % 50).toString(36).padStart(5, 'h')}`,
        namespace_name: 'demo-project',
        docker_id: 'bb7b48e2883be0c05b22c04b1d1573729dd06223ae0b1676e33a4fac655958a5',
        container_image: 'wordpress:4.8-apache',
        labels: { app: 'wordpress', tier: 'frontend', release: `r${id % 17}` },
      },
      filler: (id * 2654435761).toString(36).repeat(8),
    });
  return range(BACKLOG).map(line).join('\n') + '\n';
}

/** Lets the process run for 10 ms of every 100. */
function throttle({ child }: FunctionProcess): { stop(): void } {
  let isOn = true;
  void (async () => {
    while (isOn) {
      child.kill('SIGSTOP');
      await sleep(90);
      child.kill('SIGCONT');
      await sleep(10);
    }
  })();
  return {
    stop() {
      isOn = false;
      child.kill('SIGCONT');
    },
  };
}

async function end(one: FunctionProcess): Promise<void> {
  one.child.kill('SIGTERM');
  assert.equal(await one.exited, 0, one.log().slice(-3000));
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + Math.max(0, number), 0);
}
