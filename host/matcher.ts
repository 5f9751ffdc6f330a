// The loaded module: record bytes in, alert bytes out. The only file that knows the doors of the core.

/** What `Matcher.match` found. */
export const NO_ALERT = 0; // nothing to send: no rule matched, or the match is counted and held back
export const ALERT = 1; // `alert()` has the body
export const MALFORMED = 2; // not a JSON object: the record is poison, the state is untouched
export const TOO_LARGE = 3; // more than RECORD_SIZE_MAX bytes, or memory is exhausted

/** What a module says about the rules inside it. */
export interface RulesetInfo {
  /** 16 hex digits; the same rules give the same hash. */
  hash: string;
  version: number;
  /** Bytes of the ruleset. */
  size: number;
  /** Alert names, one a rule, in the order of the rules file. */
  alerts: string[];
  /** Milliseconds of event time that the state looks back: the longest window, cool-down or absence. */
  lookBackMs: number;
}

/** One instance is one stream of records, with the state (cool-downs, windows) of that stream. */
export interface Matcher {
  readonly info: RulesetInfo;
  /**
   * Matches one record (a JSON object, UTF-8) and updates the state. `sec` and `nsec` are the event
   * time to use when the record has no readable `@timestamp`.
   */
  match(record: Uint8Array, sec: number, nsec: number): number;
  /** The body of the alert after ALERT, as UTF-8: a view that is valid until the next call. */
  alert(): Uint8Array;
  /** Updates the state as `match` does and never fires: for the silent replay of the last window. */
  warm(record: Uint8Array, sec: number, nsec: number): number;
  /** Tells the time, for absence; ALERT when something fell due. Call until it answers NO_ALERT. */
  tick(sec: number, nsec: number): number;
  /** A copy of the state region; `restore` takes it back, also in another instance of the same module. */
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): void;
  /** Matches of each rule since the start, held back or sent, by index into `info.alerts`. */
  matches(): number[];
}

/** A compiled module, from which any number of matchers are instantiated. */
export interface MatcherModule {
  readonly info: RulesetInfo;
  instantiate(): Promise<Matcher>;
}

export declare function loadModule(bytes: Uint8Array): Promise<MatcherModule>;
