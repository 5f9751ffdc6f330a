// One body per line on standard output.

import type { Fate, Sink } from './sink.ts';

export function stdout(stream: NodeJS.WritableStream = process.stdout): Sink {
  // Without a listener a closed pipe would end the process; every write reports it anyway.
  stream.on('error', () => {});
  return {
    send(body) {
      return new Promise<Fate>(done =>
        stream.write(Buffer.concat([body, Buffer.from('\n')]), error =>
          done(error ? { kind: 'retry', error: error.message, misconfigured: true } : { kind: 'accepted' }),
        ),
      );
    },
    async close() {},
  };
}
