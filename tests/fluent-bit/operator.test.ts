// The resources of Fluent Operator: they say what the configuration says, in the order in which it has to arrive, and an
// API server that has the operator's CRDs takes them.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments, parse as parseYaml } from 'yaml';
import { splitAddress } from '../../host/fluent-bit/pipeline.ts';
import type { Target } from '../../host/fluent-bit/pipeline.ts';
import type { SetupFile } from '../../host/fluent-bit/setup.ts';
import type { Kubectl } from './kubernetes.ts';
import { startApiServer, skip as withoutServer } from './kubernetes.ts';
import { setupOf } from './module.ts';

const RULES = `\
- {alert: Failed, match: {field: log, regex: "payment (?:failed|declined): [a-z]+"}}
- {alert: Off, match: {field: 'kubernetes.labels["app/name"]', eq: "on: #1"}}
- {alert: Silent, match: {field: log, contains: beat}, absence: {for: 1m}}`;
const TARGETS: Target[] = ['kafka', 'function', 'alertmanager', 'notification-manager'];
const FORMATS = ['classic', 'yaml'] as const;

type Format = (typeof FORMATS)[number];

const filesOf = (target: Target, address?: string, rules = RULES) =>
  setupOf(rules, '/fluent-bit/earshot', { target, address, emitterStorage: 'filesystem' }).files;
const textOf = (files: SetupFile[], path: string) => String(files.find(file => file.path === path)!.content);
const resourcesOf = (files: SetupFile[], format: Format) =>
  parseAllDocuments(textOf(files, `kubernetes/pipeline-${format}.yaml`), { version: '1.1' }).map(document =>
    document.toJS(),
  );
const pluginOf = ({ kind, spec }: any) => (kind === 'ClusterFilter' ? spec.filters[0] : spec).customPlugin;

for (const target of TARGETS) {
  const address = '10.0.0.1:19999';
  const files = filesOf(target, address);
  const moduleName = files[0]!.path;
  const alias = moduleName.replace('.wasm', '');

  test(`${target}: with configFileFormat yaml the resources are earshot.yaml, against the stream`, () => {
    const { inputs = [], filters = [], outputs } = parseYaml(textOf(files, 'earshot.yaml')).pipeline;
    const sections = [...inputs, ...filters, ...outputs].reverse();
    sections[0].alias = alias;
    assert.deepEqual(
      resourcesOf(files, 'yaml').map(resource => textValues(pluginOf(resource).yamlConfig)),
      sections.map(textValues),
    );
  });

  test(`${target}: with configFileFormat classic the resources are earshot.conf, against the stream`, () => {
    const sections = linesOf(
      textOf(files, 'earshot.conf')
        .split(/^\[\w+\]$/m)
        .slice(1),
    );
    assert.deepEqual(
      linesOf(
        resourcesOf(files, 'classic').map(resource => pluginOf(resource).config.replace(/^/gm, '    ')),
      ),
      sections.reverse().map(lines => lines.map(line => line.replace(/^alias .*/, `alias ${alias}`))),
    );
  });

  for (const format of FORMATS) {
    test(`${target}, ${format}: the operator selects, orders and writes what the resources say`, () => {
      const resources = resourcesOf(files, format);
      const filters = resources.filter(({ kind }) => kind === 'ClusterFilter');
      const ordinals = filters.map(({ spec }) => spec.ordinal);
      assert.deepEqual(ordinals, ordinals.toSorted().reverse());
      for (const resource of resources) {
        const { apiVersion, metadata, spec } = resource;
        assert.equal(apiVersion, 'fluentbit.fluent.io/v1alpha2');
        assert.match(metadata.name, /^earshot-[a-z]+$/);
        assert.equal(metadata.labels['fluentbit.fluent.io/enabled'], 'true');
        // In YAML the operator would write it before the list's dash.
        assert.equal(spec.match, undefined);
        const plugin = pluginOf(resource);
        assert.deepEqual(Object.keys(plugin), [format === 'yaml' ? 'yamlConfig' : 'config']);
        if (format === 'classic') {
          // The operator takes these for the beginning of a section or a command, and refuses all.
          assert.doesNotMatch(plugin.config, /^\s*[[@]/m);
        } else {
          // It sorts the keys, and then swaps the line of `name` with the first one.
          const [first] = Object.keys(plugin.yamlConfig).sort();
          assert.match(plugin.yamlConfig[first!], /^.*$/);
          for (const value of leavesOf(plugin.yamlConfig)) assert.equal(typeof value, 'string');
        }
      }
    });
  }

  test(`${target}: what the pipeline names is in the pod`, () => {
    const { volumes, volumesMounts } = parseYaml(textOf(files, 'kubernetes/fluent-bit.yaml')).spec;
    const volumeAt = (path: string) => {
      const mount = volumesMounts.find(({ mountPath }: { mountPath: string }) => mountPath === path);
      return volumes.find(({ name }: { name: string }) => name === mount.name);
    };
    const kustomization = parseYaml(textOf(files, 'kustomization.yaml'));
    const [generator] = kustomization.configMapGenerator;
    assert.deepEqual(generator.files, [moduleName]);
    for (const format of FORMATS) {
      const text = textOf(files, `kubernetes/pipeline-${format}.yaml`);
      const [, folder, name] = /wasm_path:? +(.*)\/(.*)/.exec(text)!;
      assert.equal(name, moduleName);
      assert.equal(volumeAt(folder!).configMap.name, generator.name);
    }
    const { service } = parseYaml(textOf(files, 'kubernetes/config.yaml')).spec;
    assert.ok(volumeAt(service.storage.path).hostPath);
    for (const path of kustomization.resources) assert.ok(files.some(file => file.path === path));
  });
}

test('without an address it is the receiver’s in the cluster', () => {
  for (const target of TARGETS) {
    const files = filesOf(target);
    for (const format of FORMATS) {
      const text = textOf(files, `kubernetes/pipeline-${format}.yaml`);
      const address = /(?:host|brokers):? +(\S+)/.exec(text)![1]!;
      assert.match(splitAddress(`${address}:1`).host, /\.svc\b/);
    }
  }
});

const crds = process.env.EARSHOT_TEST_OPERATOR_CRDS;
const withoutCrds =
  (crds === undefined || !existsSync(crds)) && 'EARSHOT_TEST_OPERATOR_CRDS names no folder of CRDs';

test(
  'an API server with the operator’s CRDs takes them all',
  { skip: withoutServer || withoutCrds },
  async context => {
    const kubectl = await startApiServer(context);
    const done = (...args: string[]) => {
      const { ok, text } = kubectl(...args);
      assert.ok(ok, `kubectl ${args.join(' ')}\n${text}`);
      return text;
    };
    const apply = (...args: string[]) => done('apply', '--server-side', ...args);
    apply('-f', crds!);
    const kinds = readdirSync(crds!).length;
    assert.ok(kinds > 0);
    done('wait', '--for=condition=Established', 'crds', '--all', '--timeout=60s');
    done('create', 'namespace', 'kubesphere-logging-system');
    const folder = mkdtempSync(join(tmpdir(), 'earshot-operator-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));

    for (const target of TARGETS) {
      await context.test(target, () => {
        const files = filesOf(target);
        const at = write(join(folder, target), files);
        const name = files[0]!.path;
        apply(`--field-manager=${name.replace('.wasm', '')}`, '-k', at);
        assert.deepEqual(modulesIn(kubectl), [name]);
        for (const format of FORMATS) {
          const applied = apply('-f', join(at, `kubernetes/pipeline-${format}.yaml`));
          assert.equal(applied.match(/serverside-applied/g)!.length, resourcesOf(files, format).length);
          for (const resource of resourcesOf(files, format)) {
            const stored = JSON.parse(done('get', resource.kind, resource.metadata.name, '-o', 'json'));
            assert.deepEqual(stored.spec, resource.spec); // nothing was pruned
          }
          done(
            'delete',
            'clusterinputs,clusterfilters,clusteroutputs',
            '-l',
            'app.kubernetes.io/part-of=earshot',
          );
        }
      });
    }

    await context.test('the module of new rules comes beside the old one', () => {
      const old = modulesIn(kubectl);
      const files = filesOf('kafka', undefined, '- {alert: New, match: {field: log, contains: new}}');
      const at = write(join(folder, 'new'), files);
      const name = files[0]!.path;
      apply(`--field-manager=${name.replace('.wasm', '')}`, '-k', at);
      assert.deepEqual(modulesIn(kubectl), [...old, name].sort());
    });

    await context.test('what others have set is not taken away', () => {
      const theirs = { volumes: [{ name: 'theirs', emptyDir: {} }] };
      const fluentBit = { apiVersion: 'fluentbit.fluent.io/v1alpha2', kind: 'FluentBit', spec: theirs };
      const metadata = { name: 'fluent-bit', namespace: 'kubesphere-logging-system' };
      done('-n', metadata.namespace, 'delete', 'fluentbit', metadata.name);
      writeFileSync(join(folder, 'theirs.json'), JSON.stringify({ ...fluentBit, metadata }));
      apply('--field-manager=helm', '-f', join(folder, 'theirs.json'));
      const { ok, text } = kubectl('apply', '--server-side', '-k', join(folder, 'kafka'));
      assert.ok(!ok);
      assert.match(text, /conflict with "helm": \.spec\.volumes/);
    });
  },
);

function write(folder: string, files: SetupFile[]): string {
  for (const { path, content } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

function modulesIn(kubectl: Kubectl): string[] {
  const { text } = kubectl('-n', 'kubesphere-logging-system', 'get', 'configmap', 'earshot', '-o', 'json');
  return Object.keys(JSON.parse(text).binaryData).sort();
}

/** Properties as `name value`, without what separates them. */
function linesOf(sections: string[]): string[][] {
  return sections.map(section =>
    section
      .split('\n')
      .filter(line => /^ {4}\S/.test(line))
      .map(line => line.trim().replace(/ +/, ' ')),
  );
}

/** YAML has numbers where resources have strings; a block scalar ends with a line break or without one. */
function textValues(value: any): any {
  if (Array.isArray(value)) return value.map(textValues);
  if (typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, textValues(item)]));
  return String(value).trimEnd();
}

function leavesOf(value: any): unknown[] {
  return typeof value === 'object' ? Object.values(value).flatMap(leavesOf) : [value];
}
