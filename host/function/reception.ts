// What all requests to the door have in common: the token, the limits of their bodies, the time for an answer, and the
// answers when something cannot be kept.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Delivered } from './deliver.ts';
import { openBudget, readBody } from '../http/body.ts';
import type { Body } from '../http/body.ts';
import type { Answer } from '../http/server.ts';
import { sampled } from '../log.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import type { Lease } from '../source/source.ts';

/** A client that has waited this long for its answer gets 503: it must not give up without one. */
const ANSWER_MAX_MS = 20_000;
const RETRY_AFTER_S = 5;
/** How often to look for bodies whose time is over. */
const CHECK_MS = 500;

/** What became of a body: its answer, or it could not be kept. */
export type Taken = Answer | Extract<Delivered, { kind: 'held' }>;

export interface Reception {
  /** Reads the body, and answers as `work` says; 503 when it could not be kept in time. `place` is the topic of the lease. */
  take(
    request: IncomingMessage,
    place: string,
    work: (body: Body, lease: Lease) => Promise<Taken>,
  ): Promise<Answer>;
  /** 503: somebody has to do something, and until then nothing may be lost. */
  refuse(why: string): Answer;
  isGivenUp(): boolean;
  /** Answers what is still worked on with 503. */
  giveUp(): void;
  close(): void;
}

/** A body that is worked on. */
interface Work {
  endsAt: number;
  end(): void;
}

interface Parts {
  settings: Settings;
  metrics: Metrics;
  log: Log;
  /** A body was refused, and comes again. */
  onRefused?(): void;
}

export function openReception({ settings, metrics, log, onRefused }: Parts): Reception {
  const budget = openBudget();
  metrics.measureBodiesBy(() => budget.used);
  const complaints = sampled(fields => log.error(fields, 'a request to the HTTP door is refused'));
  const delays = sampled(fields =>
    log.warn(fields, 'a body of the HTTP door is answered 503, and comes again'),
  );
  const underWay = new Set<Work>();
  // One timer for all: small bodies come by the thousand.
  const timer = setInterval(() => {
    for (const work of underWay) if (performance.now() > work.endsAt) work.end();
  }, CHECK_MS).unref();
  let isGivenUp = false;
  const token = settings.listenToken === undefined ? undefined : hashOf(`Bearer ${settings.listenToken}`);

  async function take(
    request: IncomingMessage,
    place: string,
    work: (body: Body, lease: Lease) => Promise<Taken>,
  ): Promise<Answer> {
    // Not 401, at which Fluent Bit deletes its chunk: a token that is rotated here first must lose nothing.
    if (token && !timingSafeEqual(token, hashOf(request.headers.authorization ?? '')))
      return refuse(
        'the token is missing or wrong: send "Authorization: Bearer …" as in EARSHOT_LISTEN_TOKEN',
      );
    const reading = readBody(request, budget);
    let isWorkedOn = false;
    try {
      const body = await reading.body;
      if (body === 'encoding')
        return refuse(
          `the content-encoding ${request.headers['content-encoding']} is not read here: use gzip, zstd or none`,
        );
      if (body === 'crowded') return later('too many bodies at the same time');
      isWorkedOn = true;
      const taken = await beforeDeadline(lease => work(body, lease), place, reading.release);
      return 'status' in taken ? taken : later('the hits could not be delivered');
    } finally {
      if (!isWorkedOn) reading.release();
    }
  }

  /** Held when the deadline comes first. The work ends some time after that, and releases the body only then. */
  function beforeDeadline(
    work: (lease: Lease) => Promise<Taken>,
    topic: string,
    release: () => void,
  ): Promise<Taken> {
    return new Promise((settle, fail) => {
      let isLive = !isGivenUp;
      const mine: Work = {
        endsAt: performance.now() + ANSWER_MAX_MS,
        end() {
          isLive = false;
          settle({ kind: 'held', pauseMs: 0 });
        },
      };
      if (isGivenUp) mine.end();
      underWay.add(mine);
      const lease = { topic, partition: 0, live: () => isLive, heartbeat: async () => {} };
      const finish = () => {
        underWay.delete(mine);
        release();
      };
      work(lease).then(
        taken => {
          finish();
          settle(taken);
        },
        error => {
          finish();
          fail(error);
        },
      );
    });
  }

  function later(why: string): Answer {
    onRefused?.();
    delays.add(why, { why });
    return unavailable(`${why}; send the same again`);
  }

  function refuse(why: string): Answer {
    complaints.add(why, { why });
    return unavailable(why);
  }

  function giveUp(): void {
    isGivenUp = true;
    for (const work of underWay) work.end();
  }

  return {
    take,
    refuse,
    isGivenUp: () => isGivenUp,
    giveUp,
    close() {
      clearInterval(timer);
      complaints.flush();
      delays.flush();
    },
  };
}

function unavailable(text: string): Answer {
  return { status: 503, text, headers: { 'retry-after': String(RETRY_AFTER_S) } };
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
