// A sink takes the bodies of alerts and says what became of each.

export type Fate =
  /** The sink has it: 2xx. `slow` when the answer took so long that the sink must be near its limits. */
  | { kind: 'accepted'; slow?: boolean }
  /** May succeed later. `misconfigured` when a person has to do something first. */
  | { kind: 'retry'; error: string; retryAfterMs?: number; misconfigured?: boolean }
  /** Will never succeed as it is. */
  | { kind: 'refused'; error: string };

export interface Sink {
  /** Sends one body. Never rejects. */
  send(body: Uint8Array): Promise<Fate>;
  close(): Promise<void>;
}
