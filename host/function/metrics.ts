// The metrics of the host function, for Prometheus. Counters start at zero with the process.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof openMetrics>;

/** Called when Prometheus reads the metrics: the matchers themselves count the matches of each rule. */
export type CountMatches = () => { rule: string; count: number }[];

export function openMetrics() {
  const registers = [new Registry()];
  collectDefaultMetrics({ register: registers[0] });
  const counter = <T extends string = never>(name: string, help: string, ...labelNames: T[]) =>
    new Counter({ name: `earshot_${name}_total`, help, labelNames, registers });
  const gauge = <T extends string = never>(name: string, help: string, ...labelNames: T[]) =>
    new Gauge({ name: `earshot_${name}`, help, labelNames, registers });
  let countMatches: CountMatches = () => [];
  new Counter({
    name: 'earshot_matches_total',
    help: 'Records that matched a rule, whether their alert was suppressed or sent',
    labelNames: ['rule'],
    registers,
    collect() {
      this.reset();
      for (const { rule, count } of countMatches()) this.inc({ rule }, count);
    },
  });
  let bodyBytes = () => 0;
  const listenBytes = new Gauge({
    name: 'earshot_listen_body_bytes',
    help: 'Bytes of request bodies in memory',
    registers,
    collect() {
      this.set(bodyBytes());
    },
  });
  return {
    /** Asked when Prometheus reads the metrics: a request has two changes of it. */
    measureBodiesBy: (measure: () => number) => (bodyBytes = measure),
    countMatchesBy: (count: CountMatches) => (countMatches = count),
    registry: registers[0]!,
    records: counter('records', 'Records matched, repeated ones included', 'topic'),
    warmed: counter(
      'replayed_hits',
      'Hits read again in silence to rebuild the counters of a partition',
      'topic',
    ),
    hits: counter('hits', 'Hits produced to the hits topic, repeated ones included'),
    listenRequests: counter('listen_requests', 'Requests to the HTTP door', 'path', 'status'),
    listenBytes,
    listenHits: counter('listen_hits', 'Hits taken by the HTTP door, repeated ones included'),
    edgeUnreadable: counter(
      'edge_unreadable_records',
      'Records that the module in Fluent Bit could not read, as far as it has said so',
    ),
    unknownHits: counter('unknown_hits', 'Hits of rules that this module does not have, without Kafka'),
    duplicates: counter('duplicate_hits', 'Hits that were there before, and are not counted again'),
    capped: counter(
      'capped_alerts',
      'Alerts that the rate cap suppressed; the next alert of the rule reports them',
      'rule',
    ),
    matchingBehind: gauge(
      'matching_behind_seconds',
      'Seconds since the time until which all logs are matched: absences wait for it',
    ),
    alerts: counter('alerts', 'Alert bodies handed to the sink, repeated ones included'),
    sinkResults: counter('sink_results', 'Answers of the sink', 'result'),
    sinkSlow: counter('sink_slow', 'Alerts that the sink took so slowly that it may have dropped them'),
    sinkSeconds: new Histogram({
      name: 'earshot_sink_seconds',
      help: 'Time from handing a body to the sink to its answer, the wait for a connection included',
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    retries: counter('retries', 'Sends that failed and are tried again', 'misconfigured'),
    pauses: counter('pauses', 'Times a partition was paused because an alert could not be delivered'),
    deadLetters: counter('dead_letters', 'Records and alerts put in the dead-letter topic', 'reason'),
    traps: counter('traps', 'Records on which the matcher trapped'),
    generations: counter('generations', 'Assignments of partitions'),
    offsetResets: counter(
      'offset_resets',
      'Committed offsets that were gone: records were lost to retention',
      'topic',
      'partition',
    ),
    topicsRecreated: counter(
      'topics_recreated',
      'Topics that were deleted and created again while they were read',
      'topic',
    ),
    lag: gauge('lag_records', 'Records of the partition that are not acknowledged', 'topic', 'partition'),
    committedOffset: gauge('committed_offset', 'Offset last committed', 'topic', 'partition'),
    stateKeys: gauge('state_keys', 'Keys in the state of a partition', 'topic', 'partition'),
    evictedKeys: gauge(
      'state_evicted_keys',
      'Keys that were evicted from the full state of a partition',
      'topic',
      'partition',
    ),
    lastProgress: gauge('last_progress_timestamp_seconds', 'When a record was last acknowledged'),
    lastCommit: gauge('last_commit_timestamp_seconds', 'When Kafka last accepted a commit'),
    lastHeartbeat: gauge('last_heartbeat_timestamp_seconds', 'When Kafka last answered a heartbeat'),
  };
}
