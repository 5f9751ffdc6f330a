// `npm run build`, after asc: bundles the host into one file, build/earshot.js, with the core's bytes in it,
// and writes the JSON Schema of the rules file next to it.
//
// One file and no splitting: esbuild turns `import('./command/check.ts')` into a call that evaluates the
// module on first use, so what a command does not need costs only its bytes.
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import { chmod, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { readAssets } from './command/backtest/assets.ts';
import { rulesSchema } from './compiler/schema.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Replaces host/core.ts, which reads the file. */
const embedCore: Plugin = {
  name: 'embed-core',
  setup({ onLoad }) {
    const contents = `
      import bytes from '../build/core.wasm';
      export const readCore = async () => bytes;`;
    onLoad({ filter: /\/host\/core\.ts$/ }, () => ({ contents, loader: 'js', resolveDir: `${root}host` }));
  },
};

/** Replaces host/command/backtest/assets.ts, which reads the files. */
const embedAssets: Plugin = {
  name: 'embed-assets',
  setup({ onLoad }) {
    onLoad({ filter: /\/host\/command\/backtest\/assets\.ts$/ }, async () => {
      const assets = JSON.stringify(await readAssets());
      return { contents: `export const readAssets = async () => (${assets});`, loader: 'js' };
    });
  },
};

await build({
  absWorkingDir: root,
  entryPoints: ['host/main.ts'],
  outfile: 'build/earshot.js',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  loader: { '.wasm': 'binary' },
  plugins: [embedCore, embedAssets],
  // Names stay, for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  // CommonJS packages ask for Node's own modules with `require`, which an ES module does not have.
  banner: {
    js: `#!/usr/bin/env node
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);`,
  },
  logLevel: 'warning',
});
await chmod(`${root}build/earshot.js`, 0o755);
await writeFile(`${root}build/earshot.schema.json`, `${JSON.stringify(rulesSchema(), null, 2)}\n`);
