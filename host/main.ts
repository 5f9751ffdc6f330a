// The program `earshot`. It ends the process itself: a sink or a broker may hold a connection open.
import { cli } from './cli.ts';

// A reader that has seen enough (`| head`) is no mistake; the commands notice it and end. `2>&1 | head` too: what
// nobody reads of standard error is no reason to lose alerts.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

const exitCode = await cli(process.argv.slice(2), process);
process.stdout.write('', () => process.exit(exitCode));
