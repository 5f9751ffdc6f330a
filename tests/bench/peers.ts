// What Earshot is measured beside, each written as its author would: functions from a record's bytes to
// the alert body, or null.
import type { BenchRule } from './records.ts';

interface KubeRecord {
  '@timestamp': number;
  log: string;
  kubernetes: { pod_name: string; namespace_name: string };
}

/** A good Node developer: patterns compiled once, parsed once a record, cheap tests first. */
export function parseAndTest(rules: BenchRule[]): (record: Buffer) => string | null {
  const compiled = rules.map(({ alert, namespace, pod, log }) => ({
    alert,
    namespace,
    pod: pod === null ? null : new RegExp(pod),
    log: new RegExp(log),
  }));
  return bytes => {
    const record = JSON.parse(bytes.toString('utf8')) as KubeRecord;
    const { namespace_name: namespace, pod_name: pod } = record.kubernetes;
    const alerts = [];
    for (const rule of compiled) {
      if (rule.namespace !== null && rule.namespace !== namespace) continue;
      if (rule.pod !== null && !rule.pod.test(pod)) continue;
      const match = rule.log.exec(record.log);
      if (match === null) continue;
      const { method, path } = match.groups!;
      alerts.push({
        status: 'firing',
        labels: { alertname: rule.alert, method, namespace, pod, severity: 'warning' },
        annotations: { message: `${method} ${path} in ${pod}` },
        startsAt: new Date(record['@timestamp'] * 1000).toISOString(),
        endsAt: '0001-01-01T00:00:00Z',
        generatorURL: '',
        fingerprint: '',
      });
    }
    if (alerts.length === 0) return null;
    return JSON.stringify({
      receiver: 'notification_manager',
      status: 'firing',
      alerts,
      groupLabels: { alertname: alerts[0]!.labels.alertname, namespace },
      commonLabels: alerts[0]!.labels,
      commonAnnotations: {},
      externalURL: '',
    });
  };
}

/** The blog's LogsHandler, carried over as it stands: three patterns compiled for each record, over the raw text. */
export function blogHandler(rules: BenchRule[]): (record: Buffer) => string | null {
  return bytes => {
    const content = bytes.toString('utf8');
    let body: string | null = null;
    for (const { alert, namespace, pod, log } of rules) {
      const matchCode = new RegExp(namespace === null ? log : ' 404 ').test(content);
      const matchNamespace = new RegExp(`namespace_name":"${namespace ?? ''}`).test(content);
      const matchPod = new RegExp(`(${pod === null ? 'pod_name' : pod.slice(1, -1)})`).exec(content);
      if (!matchCode || !matchNamespace || matchPod === null) continue;
      const match = new RegExp('([A-Z]+) (/\\S*) HTTP').exec(content) ?? ['', '', ''];
      body = JSON.stringify({
        receiver: 'notification_manager',
        status: 'firing',
        alerts: [
          {
            status: 'firing',
            labels: {
              alertname: alert,
              namespace,
              severity: 'warning',
              pod: matchPod[1],
              path: match[2],
              method: match[1],
            },
            annotations: {},
            startsAt: new Date().toISOString(),
            endsAt: '0001-01-01T00:00:00Z',
            generatorURL: '',
            fingerprint: '',
          },
        ],
        groupLabels: { alertname: alert, namespace },
        commonLabels: { alertname: alert, namespace, severity: 'warning' },
        commonAnnotations: {},
        externalURL: '',
      });
    }
    return body;
  };
}
