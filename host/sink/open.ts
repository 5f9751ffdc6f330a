// The sink that the settings name; only that one is loaded.

import type { Settings } from '../function/settings.ts';
import type { Sink } from './sink.ts';

export async function openSink(settings: Settings): Promise<Sink> {
  switch (settings.sink) {
    case 'notification-manager':
      return (await import('./notification-manager.ts')).notificationManager(settings);
    case 'alertmanager':
      return (await import('./alertmanager.ts')).alertmanager(settings);
    case 'stdout':
      return (await import('./stdout.ts')).stdout();
  }
}
