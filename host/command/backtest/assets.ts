// The parts of the page of `earshot backtest --html`, each as text. The build replaces this file with one that has them in it
// (host/build.ts).
import { readFile } from 'node:fs/promises';

export interface Assets {
  /** uPlot, MIT: draws the time line. */
  chartScript: string;
  chartStyle: string;
  script: string;
  style: string;
}

/** Where each part is, from the root of the repository. */
export const ASSET_PATHS: Record<keyof Assets, string> = {
  chartScript: 'node_modules/uplot/dist/uPlot.iife.min.js',
  chartStyle: 'node_modules/uplot/dist/uPlot.min.css',
  script: 'host/command/backtest/page.client.js',
  style: 'host/command/backtest/page.css',
};

export async function readAssets(root = new URL('../../../', import.meta.url)): Promise<Assets> {
  const parts = Object.entries(ASSET_PATHS).map(async ([name, path]) => [
    name,
    await readFile(new URL(path, root), 'utf8'),
  ]);
  return Object.fromEntries(await Promise.all(parts)) as Assets;
}
