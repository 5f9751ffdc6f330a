// `earshot function`: the Kafka function, with the settings of host/function/settings.ts.
import { settingsHelp } from '../function/settings.ts';
import type { Io } from './command.ts';

export function help(): string {
  return `Usage: earshot function earshot.wasm [OPTION…]

Reads records from Kafka topics, matches them, and sends the alerts, until it is stopped by SIGTERM.

With --listen it also takes the hits of Fluent Bit, by POST /hits, and records by POST to any other path: plain JSON,
CloudEvents, a binding of Dapr, OTLP at /v1/logs, Loki's at /loki/api/v1/push. With --brokers it answers 200 when their
hits are in the hits topic. Without --brokers this one process counts them, and answers 200 when the sink has their
alerts: counts, cool-downs and absences are in its memory, and a restart forgets them.

Each option can be set by an environment variable instead: --sink-url is EARSHOT_SINK_URL. A secret can also
be read from a file: EARSHOT_SINK_TOKEN_FILE names a file with the token.

It reads a fifth more records a second when Node has room for a whole fetch of them, as in the image:
node --max-semi-space-size=32 earshot.js function …

${settingsHelp()}`;
}

export async function run(args: string[], io: Io): Promise<number> {
  const { runCommand } = await import('../function/function.ts');
  return runCommand(args, io.env);
}
