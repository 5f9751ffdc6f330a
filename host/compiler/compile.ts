// Rules → ruleset bytes: the way of a rules file through the compiler, in order.
import { createHash } from 'node:crypto';
import * as layout from '../../assembly/layout.ts';
import type { Dfa } from './dfa.ts';
import { isUniversal, toDfa } from './dfa.ts';
import type { Report } from '../error.ts';
import { UserError } from '../error.ts';
import type { ByteString } from './literals.ts';
import { bestWindow, fold, requiredLiterals, selectivity, utf8, windowsOf } from './literals.ts';
import { firstCharacter, toProgram } from './nfa.ts';
import type { Pattern } from './pattern.ts';
import { literal } from './pattern.ts';
import type {
  Condition,
  FieldPath,
  Limits,
  Rule,
  RuleFile,
  Scalar,
  Template,
  TemplatePart,
} from './model.ts';
import type {
  Atom,
  Compiled,
  CompiledPart,
  CompiledPattern,
  CompiledRule,
  CompiledStep,
  CompiledTemplate,
  Decision,
  EncodedRuleset,
  IndexSummary,
} from './ruleset.ts';
import { dfaSize, encodeRuleset } from './ruleset.ts';

/** States that an automaton may have before it is made small: beyond it the program runs instead. */
const DFA_STATE_COUNT_MAX = 2_000;
/** Bytes that one automaton may take. */
const DFA_SIZE_MAX = 64 * 1024;
/** Automata fill a ruleset up to this many bytes: with the core a module then stays under 900 KB, for a ConfigMap holds 1 MiB. */
const RULESET_SIZE_GOAL = 800_000;
/** Rows that an automaton of 1 byte a state can have: dead and matched are the other two. */
const NARROW_ROWS_MAX = 254;
/** What automata get in any case: patterns that run on every record need theirs. */
const DFA_SIZE_TOTAL_MIN = 64 * 1024;
/** Values that one step may have as its gate, and pairs of a value and a needle: beyond it the gate is left out. */
const GATE_COUNT_MAX = 256;
const PAIR_COUNT_MAX = 1_024;
/** Bytes of a ruleset: what the core's u32 offsets and a node's memory bear without thinking. */
const RULESET_SIZE_MAX = 16 * 1024 * 1024;

export interface PatternSummary {
  source: string;
  fields: FieldPath[];
  stateCount: number | null;
  instructionCount: number;
  size: number;
}

export interface RuleSummary {
  alert: string;
  /** True when a literal must be found before the rule's patterns are run. */
  hasNeedle: boolean;
  hasGate: boolean;
}

/** What `build` tells of a ruleset, and what `explain` needs to read it. */
export interface CompiledRuleset {
  bytes: Uint8Array;
  /** 16 hexadecimal digits that name the rules. */
  hash: string;
  compiled: Compiled;
  indexes: IndexSummary[];
  patterns: PatternSummary[];
  rules: RuleSummary[];
}

/** Compiles rules that `parseRules` accepted. Mistakes that only show here are reported; then the result is null. */
export function compileRules(file: RuleFile, report: Report): CompiledRuleset | null {
  let failed = false;
  const compiler = new Compiler(file.limits, problem => {
    failed ||= problem.severity === 'error';
    report(problem);
  });
  for (const rule of file.rules) compiler.addRule(rule);
  const compiled = compiler.finish();
  if (failed) return null;
  const { bytes, indexes, hash } = encode(compiled);
  return {
    bytes,
    hash: hash.toString(16).padStart(16, '0'),
    compiled,
    indexes,
    patterns: compiler.summarizePatterns(),
    rules: compiled.steps.map(step => ({
      alert: compiled.rules[step.rule]!.alert,
      hasNeedle: step.needles !== null,
      hasGate: step.gates.length > 0,
    })),
  };
}

/** The hash names the ruleset's content: it is taken over the bytes with a hash of 0. */
function encode(compiled: Compiled): EncodedRuleset & { hash: bigint } {
  const draft = encodeRuleset(compiled, 0n).bytes;
  if (draft.length > RULESET_SIZE_MAX) {
    throw new UserError(
      `the rules compile to ${draft.length} bytes, ${RULESET_SIZE_MAX} are allowed; split the file into several modules`,
    );
  }
  const hash = createHash('sha256').update(draft).digest().readBigUInt64BE();
  return { ...encodeRuleset(compiled, hash), hash };
}

type TestCondition = Extract<Condition, { kind: 'test' }>;

/** What every alert says of matches that were held back; empty, and so left out, when there were none. */
const HELD_BACK: CompiledTemplate[] = [
  { name: 'suppressed', parts: [{ kind: layout.PART_SUPPRESSED }], requires: null },
  { name: 'suppressed_others', parts: [{ kind: layout.PART_OTHERS }], requires: null },
];

/** The alert that tells of matches held back when no other alert comes to tell of them; a tick sends it. */
const NOTICE: CompiledRule = {
  alert: 'EarshotAlertsHeldBack',
  labels: [
    { name: 'alertname', parts: [{ kind: layout.PART_TEXT, text: 'EarshotAlertsHeldBack' }], requires: null },
  ],
  annotations: sortByName([
    ...HELD_BACK,
    {
      name: 'message',
      parts: [
        { kind: layout.PART_OTHERS },
        { kind: layout.PART_TEXT, text: ' more alerts were held back by the rate cap' },
      ],
      requires: null,
    },
  ]),
  kind: layout.KIND_EACH,
  count: 1,
  realertMs: 60_000,
  windowMs: 0,
  byMask: 0n,
  distinctField: null,
};

/** Where the captures of a rule are kept: each name has a slot for every step that defines it. */
interface Slots {
  byName: Map<string, number[]>;
  count: number;
}

class Compiler {
  private readonly limits: Limits;
  private readonly report: Report;
  private readonly fields = new Map<string, number>();
  private readonly paths: FieldPath[] = [];
  private readonly atoms = new Map<string, number>();
  private readonly atomList: Atom[] = [];
  private readonly patterns = new Map<string, number>();
  private readonly patternList: CompiledPattern[] = [];
  private readonly patternSources: string[] = [];
  private readonly patternFields: Array<Set<number>> = [];
  private readonly steps: CompiledStep[] = [];
  private readonly stepLiterals: Array<{ field: number; literals: ByteString[] } | null> = [];
  private readonly rules: CompiledRule[] = [];
  private lookBackMs = 0;

  constructor(limits: Limits, report: Report) {
    this.limits = limits;
    this.report = report;
  }

  addRule(rule: Rule): void {
    const index = this.rules.length;
    const slots: Slots = { byName: new Map(), count: 0 };
    const used = usedCaptures(rule);
    // A sequence's last step comes first: a record that meets two steps must not be both in one go.
    const steps = rule.steps.map((condition, ordinal) => ({ condition, ordinal })).reverse();
    for (const { condition, ordinal } of steps) {
      const gates = this.gatesOf(condition) ?? [];
      const literals = this.literalsOf(condition);
      const tooMany = gates.length * (literals?.literals.length ?? 1) > PAIR_COUNT_MAX;
      this.stepLiterals.push(literals);
      this.steps.push({
        rule: index,
        ordinal,
        code: this.decisions(condition),
        extracts: this.extracts(condition, used, slots),
        gates: tooMany ? [] : gates,
        needles: null,
      });
    }
    this.checkAbsence(rule);
    const labels = this.labels(rule, slots);
    const by = rule.threshold?.by ?? rule.sequence?.by ?? rule.absence?.by ?? [];
    const windowMs = rule.threshold?.withinMs ?? rule.sequence?.withinMs ?? rule.absence?.forMs ?? 0;
    this.lookBackMs = Math.max(this.lookBackMs, rule.realertMs, windowMs);
    this.rules.push({
      alert: rule.alert,
      labels,
      annotations: this.annotations(rule, labels, slots),
      kind: kindOf(rule),
      count: rule.threshold?.count ?? rule.steps.length,
      realertMs: rule.realertMs,
      windowMs,
      byMask: labels.reduce((mask, { name }, i) => (by.includes(name) ? mask | (1n << BigInt(i)) : mask), 0n),
      distinctField: rule.threshold?.distinct ? this.field(rule.threshold.distinct) : null,
    });
  }

  finish(): Compiled {
    this.chooseWindows();
    this.preferCaptures();
    const compiled = this.assemble();
    const bare = { ...compiled, patterns: compiled.patterns.map(pattern => ({ ...pattern, dfa: null })) };
    this.keepDfas(Math.max(DFA_SIZE_TOTAL_MIN, RULESET_SIZE_GOAL - encodeRuleset(bare, 0n).bytes.length));
    return compiled;
  }

  private assemble(): Compiled {
    return {
      fields: this.paths,
      timestampField: this.field(['@timestamp']),
      patterns: this.patternList,
      atoms: this.atomList,
      steps: this.steps,
      rules: this.rules,
      lookBackMs: this.lookBackMs,
      keyCount: this.needsState() ? this.limits.keyCount : 0,
      rateCount: this.limits.alertsPerSecond,
      notice: this.needsState() ? NOTICE : null,
    };
  }

  private needsState(): boolean {
    return this.rules.some(rule => rule.realertMs > 0 || rule.kind !== layout.KIND_EACH);
  }

  /** When an absence fires, no record is there: only labels, kept from when the key was seen, can be told. */
  private checkAbsence(rule: Rule): void {
    if (!rule.absence) return;
    for (const { name, parts, span } of rule.annotations) {
      const part = parts.find(({ kind }) => kind === 'record' || kind === 'capture');
      if (part === undefined) continue;
      this.report({
        severity: 'error',
        message: `annotation "${name}" refers to a ${part.kind}, and when an absence fires there is none`,
        hint: 'refer to a label: its value is kept from when the key was last seen',
        span,
      });
    }
  }

  summarizePatterns(): PatternSummary[] {
    return this.patternList.map(({ program, dfa }, i) => ({
      source: this.patternSources[i]!,
      fields: [...this.patternFields[i]!].map(field => this.paths[field]!),
      stateCount: dfa === null ? null : dfa.rows.length,
      instructionCount: program.instructions.length,
      size: (dfa === null ? 0 : dfaSize(dfa)) + program.instructions.length * layout.INSTRUCTION_SIZE,
    }));
  }

  private field(path: FieldPath): number {
    const key = JSON.stringify(path);
    if (!this.fields.has(key)) this.fields.set(key, this.paths.push(path) - 1);
    return this.fields.get(key)!;
  }

  private atom(atom: Atom): number {
    const key = JSON.stringify(atom);
    if (!this.atoms.has(key)) this.atoms.set(key, this.atomList.push(atom) - 1);
    return this.atoms.get(key)!;
  }

  // ── Patterns ──

  private pattern(
    source: string,
    tree: Pattern,
    captures: string[],
    field: number,
    test: TestCondition,
  ): number {
    const key = `${test.op} ${source}`; // a plain text is not the pattern that is written like it
    let index = this.patterns.get(key);
    if (index === undefined) {
      index = this.patternList.length;
      this.patterns.set(key, index);
      this.patternSources.push(source);
      this.patternFields.push(new Set());
      this.patternList.push(this.compilePattern(tree, captures, test));
    }
    this.patternFields[index]!.add(field);
    return index;
  }

  private compilePattern(tree: Pattern, captures: string[], test: TestCondition): CompiledPattern {
    try {
      const program = toProgram(tree, captures);
      const dfa = toDfa(program, DFA_STATE_COUNT_MAX);
      if (dfa !== null && isUniversal(dfa)) {
        this.report({
          severity: 'error',
          message: 'this pattern matches every text',
          hint: 'to ask only that the field is there, write `exists: true`',
          span: test.span,
        });
      }
      const small = dfa !== null && dfaSize(dfa) <= DFA_SIZE_MAX;
      return {
        program,
        dfa: small ? dfa : null,
        firstByte: program.anchored ? null : firstCharacter(tree),
        capturesFirst: false,
      };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.report({
        severity: 'error',
        message: error.message,
        hint: 'use fewer or smaller counted repetitions',
        span: test.span,
      });
      return {
        program: { instructions: [], sets: [], captures: [], anchored: false },
        dfa: null,
        firstByte: null,
        capturesFirst: false,
      };
    }
  }

  /** Automata that are small for what they save stay; patterns without a needle, which run often, come first. */
  private preferCaptures(): void {
    const patternsOf = (step: CompiledStep) =>
      step.code
        .map(({ atom }) => this.atomList[atom]!)
        .flatMap(test => (test.op === 'pattern' ? [test.pattern] : []));
    const withoutNeedle = new Set(this.steps.filter(step => step.needles === null).flatMap(patternsOf));
    for (const { extracts } of this.steps) {
      for (const { pattern } of extracts) {
        this.patternList[pattern]!.capturesFirst = !withoutNeedle.has(pattern);
      }
    }
  }

  private keepDfas(sizeMax: number): void {
    const oftenRun = new Set<number>();
    this.steps.forEach(step => {
      if (step.needles !== null) return;
      for (const { atom } of step.code) {
        const test = this.atomList[atom]!;
        if (test.op === 'pattern') oftenRun.add(test.pattern);
      }
    });
    const withDfa = this.patternList.flatMap((pattern, index) => {
      const { dfa } = pattern;
      return dfa === null ? [] : [{ pattern, dfa, isOften: oftenRun.has(index) }];
    });
    const classMaps = new Set<string>();
    const sizeOf = (dfa: Dfa, width: number) => {
      const classes = dfa.classes.join();
      const isShared = classMaps.has(classes);
      classMaps.add(classes);
      return dfaSize(dfa, width) + (isShared ? 0 : dfa.classes.length);
    };
    if (withDfa.reduce((sum, { dfa }) => sum + sizeOf(dfa, 2), 0) <= sizeMax) return;
    for (const { dfa } of withDfa) if (dfa.rows.length <= NARROW_ROWS_MAX) dfa.width = 1;
    withDfa.sort((a, b) => Number(b.isOften) - Number(a.isOften) || dfaSize(a.dfa) - dfaSize(b.dfa));
    classMaps.clear();
    let total = 0;
    for (const { pattern, dfa } of withDfa) {
      total += sizeOf(dfa, dfa.width);
      if (total > sizeMax) pattern.dfa = null;
    }
  }

  // ── Conditions → atoms and a decision graph ──

  private decisions(condition: Condition): Decision[] {
    const reversed: Decision[] = []; // targets are indexes into it, until it is turned round
    const emit = (node: Condition, onTrue: number, onFalse: number): number => {
      switch (node.kind) {
        case 'all':
          return [...this.cheapestFirst(node.of)].reduceRight(
            (next, child) => emit(child, next, onFalse),
            onTrue,
          );
        case 'any':
          return [...this.cheapestFirst(node.of)].reduceRight(
            (next, child) => emit(child, onTrue, next),
            onFalse,
          );
        case 'not':
          return emit(node.of, onFalse, onTrue);
        case 'test':
          return this.emitTest(node, onTrue, onFalse, (atom, yes, no) => {
            return reversed.push({ atom: this.atom(atom), onTrue: yes, onFalse: no }) - 1;
          });
      }
    };
    emit(condition, layout.CODE_MATCH, layout.CODE_FAIL);
    if (reversed.length >= layout.CODE_FAIL) {
      this.report({
        severity: 'error',
        message: `the condition has ${reversed.length} tests, ${layout.CODE_FAIL - 1} are allowed`,
        span: condition.span,
      });
    }
    const turn = (target: number) => (target >= layout.CODE_FAIL ? target : reversed.length - 1 - target);
    return reversed
      .reverse()
      .map(({ atom, onTrue, onFalse }) => ({ atom, onTrue: turn(onTrue), onFalse: turn(onFalse) }));
  }

  private emitTest(
    test: TestCondition,
    onTrue: number,
    onFalse: number,
    emit: (atom: Atom, onTrue: number, onFalse: number) => number,
  ): number {
    const field = this.field(test.field);
    switch (test.op) {
      case 'exists':
        return emit({ op: 'exists', field }, test.value ? onTrue : onFalse, test.value ? onFalse : onTrue);
      case 'eq':
        return emit(this.equalTo(field, test.value), onTrue, onFalse);
      case 'in': {
        const strings = test.values.flatMap(value => (value.type === 'string' ? [value.value] : []));
        const atoms = test.values
          .filter(value => value.type !== 'string')
          .map(value => this.equalTo(field, value));
        if (strings.length > 0) atoms.push({ op: 'values', field, values: [...new Set(strings)].sort() });
        return atoms.reduceRight((next, atom) => emit(atom, onTrue, next), onFalse);
      }
      case 'startsWith':
        return emit({ op: 'starts', field, text: test.text }, onTrue, onFalse);
      case 'endsWith':
        return emit({ op: 'ends', field, text: test.text }, onTrue, onFalse);
      case 'contains':
        return emit(this.containing(field, test), onTrue, onFalse);
      case 'regex': {
        const pattern = this.pattern(test.source, test.pattern, test.captures, field, test);
        return emit({ op: 'pattern', field, pattern }, onTrue, onFalse);
      }
      case 'lt':
        return emit({ op: 'less', field, number: test.value }, onTrue, onFalse);
      case 'lte':
        return emit({ op: 'lessOrEqual', field, number: test.value }, onTrue, onFalse);
      case 'gt':
      case 'gte': {
        // Not less, and a number.
        const op = test.op === 'gt' ? 'lessOrEqual' : 'less';
        const isNumber = emit({ op: 'type', field, type: layout.TYPE_NUMBER }, onTrue, onFalse);
        return emit({ op, field, number: test.value }, onFalse, isNumber);
      }
    }
  }

  private equalTo(field: number, value: Scalar): Atom {
    switch (value.type) {
      case 'string':
        return { op: 'values', field, values: [value.value] };
      case 'number':
        return { op: 'equal', field, number: value.value };
      case 'boolean':
        return { op: 'type', field, type: value.value ? layout.TYPE_TRUE : layout.TYPE_FALSE };
      case 'null':
        return { op: 'type', field, type: layout.TYPE_NULL };
    }
  }

  private containing(
    field: number,
    test: TestCondition & { op: 'contains' | 'startsWith' | 'endsWith' },
  ): Atom {
    return { op: 'pattern', field, pattern: this.pattern(test.text, literal(test.text), [], field, test) };
  }

  private cheapestFirst(conditions: Condition[]): Condition[] {
    return conditions
      .map(condition => ({ condition, cost: cost(condition) }))
      .sort((a, b) => a.cost - b.cost)
      .map(({ condition }) => condition);
  }

  // ── What a record must have: a gate, a needle ──

  /** Values of which a record must have one, or null. */
  private gatesOf(condition: Condition): CompiledStep['gates'] | null {
    switch (condition.kind) {
      case 'not':
        return null;
      case 'all': {
        const gates = condition.of.map(child => this.gatesOf(child)).filter(gate => gate !== null);
        return gates.sort((a, b) => a.length - b.length)[0] ?? null;
      }
      case 'any': {
        const gates = condition.of.map(child => this.gatesOf(child));
        if (!gates.every(gate => gate !== null)) return null;
        const distinct = new Map(gates.flat().map(gate => [JSON.stringify(gate), gate]));
        return distinct.size <= GATE_COUNT_MAX ? [...distinct.values()] : null;
      }
      case 'test': {
        const values =
          condition.op === 'eq' ? [condition.value] : condition.op === 'in' ? condition.values : [];
        if (values.length === 0 || values.length > GATE_COUNT_MAX) return null;
        const field = this.field(condition.field);
        const gates = values.flatMap(value =>
          value.type === 'string' ? [{ field, value: value.value }] : [],
        );
        return gates.length === values.length ? gates : null;
      }
    }
  }

  /** Literals of which one must occur in a field, or null. */
  private literalsOf(condition: Condition): { field: number; literals: ByteString[] } | null {
    const best = (options: Array<{ field: number; literals: ByteString[] } | null>) =>
      options
        .filter(option => option !== null)
        .sort((a, b) => selectivity(b.literals) - selectivity(a.literals))[0] ?? null;
    switch (condition.kind) {
      case 'not':
        return null;
      case 'all':
        return best(condition.of.map(child => this.literalsOf(child)));
      case 'any': {
        const options = condition.of.map(child => this.literalsOf(child));
        const field = options[0]?.field;
        if (field === undefined || !options.every(option => option !== null && option.field === field))
          return null;
        return { field, literals: [...new Set(options.flatMap(option => option!.literals))] };
      }
      case 'test': {
        const literals =
          condition.op === 'regex'
            ? requiredLiterals(condition.pattern)
            : condition.op === 'contains' || condition.op === 'startsWith' || condition.op === 'endsWith'
              ? [fold(utf8(condition.text))].filter(text => text.length >= layout.GRAM_SIZE_SHORT)
              : [];
        return literals === null || literals.length === 0
          ? null
          : { field: this.field(condition.field), literals };
      }
    }
  }

  /** Chooses the part of each literal that fewest others have: one needle should wake one rule. */
  private chooseWindows(): void {
    const taken = new Map<string, number>();
    this.stepLiterals.forEach(entry => {
      if (entry === null) return;
      const seen = new Set<string>();
      for (const text of entry.literals)
        for (const { window } of windowsOf(text)) seen.add(`${entry.field} ${window}`);
      for (const key of seen) taken.set(key, (taken.get(key) ?? 0) + 1);
    });
    this.stepLiterals.forEach((entry, i) => {
      if (entry === null) return;
      const { field } = entry;
      const windows = entry.literals.map(text =>
        bestWindow(text, window => taken.get(`${field} ${window}`) ?? 0),
      );
      this.steps[i]!.needles = { field, windows: [...new Set(windows)] };
    });
  }

  // ── Templates ──

  private extracts(condition: Condition, used: Set<string>, slots: Slots): CompiledStep['extracts'] {
    const extracts: CompiledStep['extracts'] = [];
    for (const test of regexesOf(condition)) {
      if (!test.captures.some(name => used.has(name))) continue;
      const field = this.field(test.field);
      const pattern = this.pattern(test.source, test.pattern, test.captures, field, test);
      extracts.push({ pattern, field, slot: slots.count });
      test.captures.forEach((name, i) => {
        slots.byName.set(name, [...(slots.byName.get(name) ?? []), slots.count + i * 2]);
      });
      slots.count += test.captures.length * 2;
    }
    return extracts;
  }

  private labels(rule: Rule, slots: Slots): CompiledTemplate[] {
    const templates: Array<Pick<Template, 'name' | 'parts'>> = [
      ...rule.labels,
      { name: 'alertname', parts: [{ kind: 'alert' }] },
    ];
    const names = templates.map(({ name }) => name);
    // Notification Manager routes an alert to a namespace's tenants only with this label beside `namespace`.
    if (names.includes('namespace'))
      templates.push({ name: 'rule_level', parts: [{ kind: 'text', text: 'namespace' }] });
    const sorted = sortByName(templates);
    return sorted.map(({ name, parts }) => ({
      name,
      parts: this.parts(rule, parts, slots, []),
      requires: name === 'rule_level' ? sorted.findIndex(label => label.name === 'namespace') : null,
    }));
  }

  private annotations(rule: Rule, labels: CompiledTemplate[], slots: Slots): CompiledTemplate[] {
    const written = rule.annotations.map(({ name, parts }) => ({
      name,
      parts: this.parts(rule, parts, slots, labels),
      requires: null,
    }));
    return sortByName([...written, ...HELD_BACK]);
  }

  private parts(rule: Rule, parts: TemplatePart[], slots: Slots, labels: CompiledTemplate[]): CompiledPart[] {
    return parts.flatMap((part): CompiledPart | CompiledPart[] => {
      switch (part.kind) {
        case 'text':
          return { kind: layout.PART_TEXT, text: part.text };
        case 'alert':
          return { kind: layout.PART_TEXT, text: rule.alert };
        case 'record':
          return { kind: layout.PART_RECORD, index: this.field(part.field) };
        case 'capture':
          // The steps of a sequence each have slots of their own: those of other steps are empty.
          return slots.byName.get(part.name)!.map(index => ({ kind: layout.PART_CAPTURE, index }));
        case 'label':
          return { kind: layout.PART_LABEL, index: labels.findIndex(label => label.name === part.name) };
        case 'value':
          return { kind: layout.PART_VALUE };
      }
    });
  }
}

function kindOf(rule: Rule): number {
  if (rule.threshold) return layout.KIND_THRESHOLD;
  if (rule.sequence) return layout.KIND_SEQUENCE;
  return rule.absence ? layout.KIND_ABSENCE : layout.KIND_EACH;
}

/** Rough steps that a test costs; what settles a rule for less is asked first. */
function cost(condition: Condition): number {
  switch (condition.kind) {
    case 'not':
      return cost(condition.of);
    case 'all':
    case 'any':
      return condition.of.reduce((sum, child) => sum + cost(child), 0);
    case 'test':
      switch (condition.op) {
        case 'exists':
          return 1;
        case 'eq':
        case 'in':
          return 2;
        case 'startsWith':
        case 'endsWith':
          return 5;
        case 'contains':
          return 20;
        case 'regex':
          return 30;
        default:
          return 4;
      }
  }
}

function usedCaptures(rule: Rule): Set<string> {
  const parts = [...rule.labels, ...rule.annotations].flatMap(template => template.parts);
  return new Set(parts.flatMap(part => (part.kind === 'capture' ? [part.name] : [])));
}

/** The regexes whose captures a template may name: those not under `not`. */
function regexesOf(condition: Condition): Array<TestCondition & { op: 'regex' }> {
  switch (condition.kind) {
    case 'not':
      return [];
    case 'all':
    case 'any':
      return condition.of.flatMap(regexesOf);
    case 'test':
      return condition.op === 'regex' ? [condition] : [];
  }
}

function sortByName<T extends Pick<Template, 'name'>>(templates: T[]): T[] {
  return [...templates].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}
