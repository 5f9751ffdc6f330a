// The pipeline as resources of Fluent Operator, once for each value of its `configFileFormat`: a customPlugin cannot
// serve both. In a YAML configuration the operator writes nothing for `config`; in a classic one it writes a section
// without a name for `yamlConfig`, and Fluent Bit refuses the whole file. Every section is a customPlugin, because the
// operator's own fields lack some properties, and in YAML their values come out without quotes.
import { stringify } from 'yaml';
import { classicProperties, commented } from './format.ts';
import { forkForm, yamlForm } from './pipeline.ts';
import type { PipelineOptions, Section, Target } from './pipeline.ts';

const NAMESPACE = 'kubesphere-logging-system';
const MODULE_FOLDER = '/fluent-bit/earshot';
const STORAGE_FOLDER = '/fluent-bit/storage';

/** Where receivers are in KubeSphere, and Kafka and the function in ours. */
const ADDRESSES: Record<Target, string> = {
  kafka: 'logs-kafka-bootstrap.earshot.svc:9092',
  function: 'earshot-door.earshot.svc:8080',
  alertmanager: 'alertmanager-main.kubesphere-monitoring-system.svc:9093',
  'notification-manager': 'notification-manager-svc.kubesphere-monitoring-system.svc:19093',
};

export interface OperatorOptions {
  pipeline: Pick<PipelineOptions, 'prefilter' | 'needsClock' | 'match' | 'receiver' | 'address'>;
  /** The module's file, in the folder of the others: its name is the key in the ConfigMap. */
  moduleName: string;
  /** The comment at the top of each file. */
  introduction: string;
  /** What each pipeline promises, and what in the user's configuration matters to it: paragraphs. */
  promises: { classic: string[]; yaml: string[] };
}

export function operatorFiles({
  pipeline,
  moduleName,
  introduction,
  promises,
}: OperatorOptions): Array<{ path: string; content: string }> {
  const options: PipelineOptions = {
    ...pipeline,
    address: pipeline.address ?? ADDRESSES[pipeline.receiver.target],
    modulePath: `${MODULE_FOLDER}/${moduleName}`,
    emitterStorage: 'filesystem',
  };
  const yaml = yamlForm(options);
  const isFork = yaml.some(({ role }) => role === 'fork');
  const file = (path: string, paragraphs: string[], content: string) => ({
    path,
    content: `${commented([introduction, ...paragraphs].join('\n\n'))}\n${content}`,
  });
  return [
    file('kustomization.yaml', [howToApply(moduleName)], kustomization(moduleName)),
    file('kubernetes/fluent-bit.yaml', [FOR_FLUENT_BIT], FLUENT_BIT),
    file('kubernetes/config.yaml', [FOR_CONFIG], CONFIG),
    file(
      'kubernetes/pipeline-classic.yaml',
      [FOR_CLASSIC, ...promises.classic],
      resources(forkForm(options), moduleName, classicPlugin),
    ),
    file(
      'kubernetes/pipeline-yaml.yaml',
      [FOR_YAML, ...promises.yaml, ...(isFork ? [] : [ON_DISK])],
      resources(yaml, moduleName, yamlPlugin),
    ),
  ];
}

function kustomization(moduleName: string): string {
  return `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - kubernetes/fluent-bit.yaml
  - kubernetes/config.yaml
configMapGenerator:
  - name: earshot
    namespace: ${NAMESPACE}
    files:
      - ${moduleName}
generatorOptions:
  # FluentBit's volume names it; kustomize does not look there.
  disableNameSuffixHash: true
`;
}

function howToApply(moduleName: string): string {
  return `\
For Fluent Operator 3.8.0 and later, which has every field of kubernetes/config.yaml, and brings Fluent Bit 5.0.
See what you have; if names or the namespace are other than in these files, write yours into them first:
    kubectl get clusterfluentbitconfigs -o custom-columns=NAME:.metadata.name,FORMAT:.spec.configFileFormat
    kubectl get fluentbits --all-namespaces

1. The module, and a place for what waits. They come first, because what step 2 applies names them, and Fluent Bit
   does not start without them. Server-side, because a module is too large for the annotation of the other way, and
   because it refuses what it would take away from others:
    kubectl apply --server-side --field-manager=${aliasOf(moduleName)} -k .
    kubectl -n ${NAMESPACE} rollout status daemonset/fluent-bit
2. What uses them. Which one? FORMAT above says it; <none> is classic:
    kubectl apply --server-side -f kubernetes/pipeline-classic.yaml
    kubectl apply --server-side -f kubernetes/pipeline-yaml.yaml

New rules: build again, and the same two steps. In between the new module has to reach the pods, which takes up to
two minutes; a change to the pods makes it come at once:
    kubectl -n ${NAMESPACE} annotate pods -l app.kubernetes.io/name=fluent-bit earshot=${aliasOf(moduleName)} --overwrite
The field manager is called as the module, so the old module stays beside it, for a pod that starts before step 2.
Remove it later, as all must fit into 1 MiB:
    kubectl -n ${NAMESPACE} patch configmap earshot --type json -p '[{"op":"remove","path":"/binaryData/OLD"}]'
Step 2 changes the configuration, because the module's name is new, and the watcher in each pod has it reloaded. A pod
that does not have the module yet goes on with the old rules, and does not try again (classic), or Fluent Bit ends, and
is started again until the module is there (yaml). So look after two minutes: the output to the receiver is called as
the module, and the metrics have its name. If it is the old one, restart the pods.
    for pod in $(kubectl -n ${NAMESPACE} get pods -l app.kubernetes.io/name=fluent-bit -o name); do
      kubectl get --raw /api/v1/namespaces/${NAMESPACE}/pods/\${pod#pod/}:2020/proxy/api/v1/metrics/prometheus |
        grep 'output_proc_records_total.*earshot-'
    done
    kubectl -n ${NAMESPACE} rollout restart daemonset/fluent-bit

To change the format or the receiver, or to be rid of it all, first delete what step 2 made. After a change of the
format restart the pods: they decide at their start which one they read.
    kubectl delete clusterinputs,clusterfilters,clusteroutputs -l app.kubernetes.io/part-of=earshot`;
}

const FOR_CLASSIC = `\
Where the ClusterFluentBitConfig says \`configFileFormat: classic\`, or nothing. Where it says \`yaml\` the operator would
leave all this out, without a word: there it is pipeline-yaml.yaml.`;

const FOR_YAML = `\
Where the ClusterFluentBitConfig says \`configFileFormat: yaml\`. Elsewhere Fluent Bit would refuse its whole
configuration: there it is pipeline-classic.yaml.`;

const ON_DISK = `\
Step 1 has made the service section's part of it. In KubeSphere the input of the logs is called tail:
    kubectl patch clusterinput tail --type merge -p '{"spec":{"tail":{"storageType":"filesystem"}}}'`;

/** Against the stream, so that nothing flows before the rest is there. */
function resources(
  sections: Section[],
  moduleName: string,
  pluginOf: (section: Section) => object,
): string {
  return sections
    .map(section => (section.role === 'notify' ? withAlias(section, moduleName) : section))
    .toReversed()
    .map(section => commented(commentOf(section)) + resource(section, pluginOf(section)))
    .join('---\n');
}

/** Fluent Bit's metrics have it, and so say which rules a pod has loaded: no log line does. */
function withAlias(section: Section, moduleName: string): Section {
  return { ...section, properties: { ...section.properties, alias: aliasOf(moduleName) } };
}

function aliasOf(moduleName: string): string {
  return moduleName.replace(/\.wasm$/, '');
}

function commentOf({ comment, processors = [] }: Section): string {
  return [comment, ...processors.map(({ comment, properties }) => `${properties.name}: ${comment}`)].join('\n');
}

const KINDS = { inputs: 'ClusterInput', filters: 'ClusterFilter', outputs: 'ClusterOutput' } as const;

/** After what makes the records: filters have none, which is 0, or small ones. */
const ORDINALS: Partial<Record<Section['role'], number>> = {
  fork: 1000,
  module: 1001,
  parts: 1002,
  split: 1003,
};

/** `match` is not here but among the plugin's properties: the operator would write it before the name, and so outside. */
function resource({ kind, role }: Section, customPlugin: object): string {
  const spec =
    kind === 'filters' ? { ordinal: ORDINALS[role], filters: [{ customPlugin }] } : { customPlugin };
  const labels = {
    'fluentbit.fluent.io/enabled': 'true',
    'fluentbit.fluent.io/component': 'logging',
    'app.kubernetes.io/part-of': 'earshot',
  };
  const object = {
    apiVersion: 'fluentbit.fluent.io/v1alpha2',
    kind: KINDS[kind],
    metadata: { name: `earshot-${role}`, labels },
    spec,
  };
  // Kubernetes reads YAML 1.1, in which `off` is no string.
  return stringify(object, { version: '1.1', lineWidth: 0, singleQuote: true });
}

function classicPlugin({ properties }: Section): object {
  return { config: classicProperties(properties).replace(/^ +/gm, '') };
}

function yamlPlugin({ properties, processors }: Section): object {
  const yamlConfig = { ...properties };
  if (processors === undefined) return { yamlConfig };
  return { yamlConfig: { ...yamlConfig, processors: { logs: processors.map(({ properties }) => properties) } } };
}

const FOR_FLUENT_BIT = `\
The module and a place for what waits, in the pods of Fluent Bit. A FluentBit that has \`args\`, \`volumes\` or
\`volumesMounts\` already is a conflict: write them in here, too, and apply with --force-conflicts.
- args: the operator's watcher looks for a new configuration every 5 seconds. By itself it signals as soon as a file
  appears, which can be before the new ones are in place (seen: 4 of 18 times): Fluent Bit then reads the old ones,
  refuses the signals that follow ("reloading in progress, aborting"), and goes on with the old rules.`;

const FOR_CONFIG = `\
What the chunks that wait need of Fluent Bit's service section. A \`storage.path\` of yours is a conflict: take it out
here, if it is in a volume that outlasts the pod.
- hotReloadEnsureThreadSafety (Fluent Operator 3.8.0): a reload would wait until nothing waits for a receiver any
  more, and with one that is away it would hold all inputs, and so the logs, until it is back. Without it a reload is
  like a restart: chunks that wait go to all outputs again.
- schedulerBase, schedulerCap (3.6.0): a retry at least every 5 minutes, not every half hour.`;

const FLUENT_BIT = `\
apiVersion: fluentbit.fluent.io/v1alpha2
kind: FluentBit
metadata:
  name: fluent-bit
  namespace: ${NAMESPACE}
spec:
  args: ['-poll', '-poll-interval=5s']
  volumes:
    - name: earshot
      configMap:
        name: earshot
    - name: earshot-storage
      hostPath:
        path: /var/lib/fluent-bit/earshot
        type: DirectoryOrCreate
  volumesMounts:
    - name: earshot
      mountPath: ${MODULE_FOLDER}
      readOnly: true
    - name: earshot-storage
      mountPath: ${STORAGE_FOLDER}
`;

const CONFIG = `\
apiVersion: fluentbit.fluent.io/v1alpha2
kind: ClusterFluentBitConfig
metadata:
  name: fluent-bit-config
spec:
  service:
    hotReloadEnsureThreadSafety: false
    schedulerBase: 2
    schedulerCap: 300
    storage:
      path: ${STORAGE_FOLDER}
      maxChunksUp: 2000
`;
