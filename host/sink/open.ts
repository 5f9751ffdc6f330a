// Opens the sink that the options name; only that one is loaded.

import type { HoldOf } from './hold.ts';
import type { Sink, SinkOptions } from './sink.ts';

export async function openSink(options: SinkOptions, holdOf: HoldOf): Promise<Sink> {
  switch (options.sink) {
    case 'notification-manager':
      return (await import('./notification-manager.ts')).notificationManager(options);
    case 'alertmanager':
      return (await import('./alertmanager.ts')).alertmanager(options, holdOf);
    case 'stdout':
      return (await import('./stdout.ts')).stdout();
  }
}
