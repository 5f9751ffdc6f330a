// A sink takes the bodies of alerts and reports what became of each.

export type Fate =
  /** The sink has it: 2xx. `slow` when the answer took so long that the sink must be near its limits. */
  | { kind: 'accepted'; slow?: true }
  /** May succeed later. `misconfigured` when a person has to do something first. */
  | { kind: 'retry'; error: string; retryAfterMs?: number; misconfigured?: boolean }
  /** Will never succeed as it is. */
  | { kind: 'refused'; error: string };

/** Alerts of one post. Notification Manager takes the alerts of a post one by one, up to 3 s each when its queue is full. */
export const ALERTS_A_POST = 50;

/** An output binding of Dapr, which has the address of the receiver. */
export interface DaprOutput {
  /** Of Dapr. */
  url: URL;
  component: string;
  operation: string;
  token?: string;
}

/** Which sink, and how to reach it. */
export interface SinkOptions {
  sink: 'notification-manager' | 'alertmanager' | 'stdout';
  /** One of the two is set for every sink but stdout. */
  sinkUrl?: URL;
  dapr?: DaprOutput;
  /** Time to connect and to answer. The wait for a free connection is not part of it. */
  sinkTimeoutMs: number;
  sinkConnections: number;
  /** PEM. */
  sinkCaFile?: string;
  sinkUsername?: string;
  sinkPassword?: string;
  sinkToken?: string;
  /** Notification Manager: wait until the channel has the alert; the Receiver and the Config that it goes to. */
  strict: boolean;
  strictReceiverFile?: object;
  strictConfigFile?: object;
  /** Alertmanager: `endsAt` of every alert is now plus this; 0 leaves it to resolve_timeout. Undefined: hold.ts decides. */
  alertHoldMs?: number;
}

export interface Sink {
  /**
   * Sends one body. Never rejects. When `unwanted` is aborted, a body that still waits for a connection is not sent, and
   * its fate is `retry`; a post under way is finished.
   */
  send(body: Uint8Array, unwanted?: AbortSignal): Promise<Fate>;
  close(): Promise<void>;
}
