// Which file may import which: no cycles, and no way from the compile side to the run side or back. A rule that is
// only written down is broken sooner or later; this test keeps it.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const ROOT = resolve(import.meta.dirname, '..');

/** What each file under assembly/ and host/ imports, types too. A lazy import begins with `import(`. */
const graph = new Map<string, { eager: string[]; lazy: string[] }>();
for (const folder of ['assembly', 'host']) {
  for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name);
    if (!path.endsWith('.ts') || path.endsWith('.d.ts')) continue;
    const source = readFileSync(join(ROOT, path), 'utf8');
    const targets = (pattern: RegExp) =>
      [...source.matchAll(pattern)]
        .map(([, specifier]) => target(path, specifier!))
        .filter(found => found !== '');
    graph.set(path, {
      eager: targets(/^(?:import|export)\b[^;]*? from '(\.[^']*)'/gm),
      lazy: targets(/\bimport\('(\.[^']*)'\)/g),
    });
  }
}

function target(from: string, specifier: string): string {
  const path = relative(ROOT, resolve(ROOT, from, '..', specifier));
  return path.endsWith('.json') ? '' : path.endsWith('.ts') ? path : `${path}.ts`;
}

/** These files, and all that they import, directly or not. */
function reached(roots: string[], withLazy = true): Set<string> {
  const found = new Set(roots);
  for (const path of found) {
    const { eager, lazy } = graph.get(path) ?? assert.fail(`${path} is imported, and there is no such file`);
    for (const next of withLazy ? [...eager, ...lazy] : eager) found.add(next);
  }
  return found;
}

const COMPILE_SIDE = [
  'host/compiler/rules.ts',
  'host/compiler/firing.ts',
  'host/compiler/compile.ts',
  'host/compiler/bake.ts',
  'host/fluent-bit/setup.ts',
  'host/fluent-bit/folder.ts',
  'host/fluent-bit/aot.ts',
];
const RUN_SIDE = [
  'host/matcher.ts',
  'host/function/function.ts',
  'host/notify.ts',
  'host/source/file.ts',
  'host/source/range.ts',
];
/** What both sides may use: errors, and the layout of the bytes that go from one to the other. */
const SHARED = ['assembly/layout.ts', 'host/error.ts'];

test('the compile side and the run side share only the layout and the errors', () => {
  const compileSide = reached(COMPILE_SIDE);
  const both = [...reached(RUN_SIDE)].filter(path => compileSide.has(path));
  assert.deepEqual(both.sort(), SHARED);
});

test('every file of the host is on one side, or belongs to the command line', () => {
  const sides = new Set([...reached(COMPILE_SIDE), ...reached(RUN_SIDE)]);
  const others = [...graph.keys()].filter(path => path.startsWith('host/') && !sides.has(path));
  const tools = /^host\/(?:main|cli|core|build|command\/.*)\.ts$/;
  assert.deepEqual(
    others.filter(path => !tools.test(path)),
    [],
  );
});

test('nothing but the command line imports the command line', () => {
  const sides = [...reached([...COMPILE_SIDE, ...RUN_SIDE])];
  assert.deepEqual(
    sides.filter(path => /^host\/(?:main|cli|build|command\/)/.test(path)),
    [],
  );
});

test('a command is loaded when it is called, and the function without the compiler', () => {
  const start = [...reached(['host/main.ts'], false)].filter(path => path !== 'host/command/command.ts');
  assert.deepEqual(start.sort(), ['host/cli.ts', 'host/error.ts', 'host/main.ts']);
  assert.ok(!reached(['host/command/function.ts']).has('host/compiler/rules.ts'));
  assert.ok(!reached(['host/command/run.ts'], false).has('host/compiler/rules.ts'));
});

test('the core imports nothing of the host, and the host only the layout of the core', () => {
  for (const [path, { eager }] of graph) {
    for (const imported of eager) {
      const crosses = path.split('/')[0] !== imported.split('/')[0];
      assert.ok(
        !crosses || (path.startsWith('host/') && imported === 'assembly/layout.ts'),
        `${path} → ${imported}`,
      );
    }
  }
});

/** A room is a folder of host/, a file beside these folders, or assembly/. */
const room = (path: string) => /^(?:assembly|host\/[^/]+)(?=\/|$)/.exec(path)![0];

test('folders do not import each other in a cycle', () => {
  const rooms = new Map<string, Set<string>>();
  for (const [path, { eager, lazy }] of graph) {
    const targets = rooms.get(room(path)) ?? new Set();
    for (const imported of [...eager, ...lazy])
      if (room(imported) !== room(path)) targets.add(room(imported));
    rooms.set(room(path), targets);
  }
  assertNoCycle(rooms);
});

test('files do not import each other in a cycle', () => {
  assertNoCycle(new Map([...graph].map(([path, { eager, lazy }]) => [path, [...eager, ...lazy]])));
});

test('compiler and run side do not know each other', () => {
  for (const [path, { eager, lazy }] of graph) {
    const crosses = (from: string, to: string) =>
      path.startsWith(from) && [...eager, ...lazy].some(imported => imported.startsWith(to));
    for (const runSide of [
      'host/function/',
      'host/source/',
      'host/sink/',
      'host/matcher.ts',
      'host/notify.ts',
    ]) {
      assert.ok(!crosses('host/compiler/', runSide), `${path} imports ${runSide}`);
      assert.ok(!crosses(runSide, 'host/compiler/'), `${path} imports the compiler`);
    }
    for (const leaf of ['host/source/', 'host/sink/'])
      assert.ok(!crosses(leaf, 'host/function/'), `${path} imports the function`);
  }
});

function assertNoCycle(arrows: Map<string, Iterable<string>>): void {
  const done = new Set<string>();
  const visit = (path: string, way: string[]) => {
    assert.ok(!way.includes(path), [...way.slice(way.indexOf(path)), path].join(' → '));
    if (done.has(path)) return;
    const targets = arrows.get(path) ?? assert.fail(`${path} is imported, and there is no such file`);
    for (const next of targets) visit(next, [...way, path]);
    done.add(path);
  };
  for (const path of arrows.keys()) visit(path, []);
}
