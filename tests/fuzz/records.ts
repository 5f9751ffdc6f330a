// Random records that nearly match: a few rules are chosen, each of their tests gets a value that meets it or
// just misses it, and the whole is written with odd spaces and escapes, keys that are there twice, and bytes
// that are not UTF-8.
import type { Dice } from './dice.ts';
import type { Condition, Parse, Path, Rule, Subject, Test, Value } from './model.ts';
import type { Stock } from './rules.ts';

/** A value to be written. `raw` is JSON already. */
type Draft =
  | { kind: 'object'; members: Array<[key: string, value: Draft]> }
  | { kind: 'array'; items: Draft[] }
  | { kind: 'packed'; format: 'json' | 'logfmt'; of: Draft }
  | { kind: 'text'; start: string[]; middle: string[]; end: string[] }
  | { kind: 'raw'; text: string };

const TARGET_COUNT_MAX = 4;

export function makeRecord(dice: Dice, stock: Stock, rules: readonly Rule[]): Buffer {
  const record: Draft = { kind: 'object', members: [] };
  for (const rule of dice.times(dice.between(1, TARGET_COUNT_MAX), () => dice.pick(rules)))
    aim(dice, { ...stock, parse: rule.parse }, rule.match, !dice.chance(0.1), record);
  for (const path of dice.times(dice.below(4), () => dice.pick(stock.paths)))
    place(dice, record, path, anyValue(dice, stock), []);
  disorder(dice, stock, record);
  return write(dice, record);
}

/** The stock, and what the rule parses. */
type Aim = Stock & { parse: Parse[] };

// ── What a condition asks for ──

/** Gives the record values that make the condition true, or false. */
function aim(dice: Dice, stock: Aim, condition: Condition, truth: boolean, record: Draft): void {
  switch (condition.kind) {
    case 'not':
      return aim(dice, stock, condition.of, !truth, record);
    case 'test':
      return aimTest(dice, stock, condition.path, condition.test, truth, record);
    default: {
      const needsAll = (condition.kind === 'all') === truth;
      const chosen = dice.below(condition.of.length);
      condition.of.forEach((child, i) => {
        if (needsAll || i === chosen) aim(dice, stock, child, truth, record);
        else if (dice.chance(0.5)) aim(dice, stock, child, !truth, record);
      });
    }
  }
}

function aimTest(dice: Dice, stock: Aim, subject: Subject, test: Test, truth: boolean, record: Draft): void {
  const missing = test.op === 'exists' ? test.value !== truth : !truth && dice.chance(0.2);
  if (missing || (typeof subject === 'object' && 'capture' in subject)) return; // its pattern has its text
  const path = subject === 'anyField' ? dice.pick(stock.paths) : subject;
  place(dice, record, path, valueFor(dice, stock, test, truth), stock.parse);
}

function valueFor(dice: Dice, stock: Stock, test: Test, truth: boolean): Draft {
  switch (test.op) {
    case 'exists':
      return anyValue(dice, stock);
    case 'eq':
    case 'in': {
      const value = test.op === 'eq' ? test.value : dice.pick(test.values);
      if (value.kind !== 'string') return valueLike(dice, stock, value, truth);
      return valueLike(dice, stock, { ...value, text: recased(dice, value.text, test.ignoreCase) }, truth);
    }
    case 'regex': {
      const { source } = test;
      const bare = source.replace(/<(g\d)_\d+>/g, '<$1>');
      const pattern = stock.patterns.find(
        other => other.source === bare || withoutGroups(other.source) === source,
      );
      return textLike(dice, 'middle', pattern?.examples.length ? dice.pick(pattern.examples) : '', truth);
    }
    case 'contains':
      return textLike(dice, 'middle', recased(dice, dice.pick(test.texts), test.ignoreCase), truth);
    case 'containsAll': {
      const texts = test.texts.map(text => recased(dice, text, test.ignoreCase));
      return textLike(dice, 'middle', dice.shuffle(texts).join(dice.pick(['', ' '])), truth);
    }
    case 'startsWith':
      return textLike(dice, 'start', recased(dice, dice.pick(test.texts), test.ignoreCase), truth);
    case 'endsWith':
      return textLike(dice, 'end', recased(dice, dice.pick(test.texts), test.ignoreCase), truth);
    default: {
      const text = dice.chance(0.5) ? respell(dice, test.number) : nudge(dice, test.number);
      if (dice.chance(0.6)) return { kind: 'raw', text };
      return textLike(dice, 'whole', text, dice.chance(0.8)); // a string that is a number, or nearly
    }
  }
}

function withoutGroups(source: string): string {
  return source.replace(/\(\?P?<g\d>/g, '(');
}

function valueLike(dice: Dice, stock: Stock, value: Value, truth: boolean): Draft {
  if (!truth && dice.chance(0.3)) return otherType(value);
  if (value.kind === 'string') return textLike(dice, 'whole', value.text, truth);
  if (value.kind === 'word') return truth ? { kind: 'raw', text: value.text } : anyValue(dice, stock);
  return { kind: 'raw', text: truth ? respell(dice, value.text) : nudge(dice, value.text) };
}

/** The same characters as another type: 404 and "404". */
function otherType(value: Value): Draft {
  if (value.kind !== 'string') return { kind: 'text', start: [], middle: [value.text], end: [] };
  return { kind: 'raw', text: /^(?:0|[1-9]\d*|true|false|null)$/.test(value.text) ? value.text : '[]' };
}

function textLike(
  dice: Dice,
  place: 'start' | 'middle' | 'end' | 'whole',
  text: string,
  truth: boolean,
): Draft {
  const own = truth ? text : nearMiss(dice, text);
  const draft = { kind: 'text' as const, start: [] as string[], middle: [] as string[], end: [] as string[] };
  if (place === 'whole') return { ...draft, middle: [own] };
  draft[place].push(own);
  if (dice.chance(0.5)) draft.middle.push(dice.pick([' ', 'x', 'filler text ', '\n', 'é', dice.pick(ODD)]));
  if (dice.chance(0.02)) draft.middle.push(dice.pick(['-', 'a', 'é ']).repeat(dice.between(500, 5000)));
  return draft;
}

/** Some letters in another form, where that does not count. */
function recased(dice: Dice, text: string, ignoreCase: boolean): string {
  if (!ignoreCase) return text;
  const forms: Array<(letter: string) => string> = [
    letter => letter,
    letter => letter.toUpperCase(),
    letter => letter.toLowerCase(),
    letter => ({ s: 'ſ', S: 'ſ', k: '\u212a', K: '\u212a', σ: 'ς' })[letter] ?? letter,
  ];
  return Array.from(text, letter => dice.pick(forms)(letter)).join('');
}

/** One character less, more, or another; folded; twice. */
function nearMiss(dice: Dice, text: string): string {
  const characters = [...text];
  const at = dice.below(characters.length + 1);
  switch (dice.below(6)) {
    case 0:
      return characters.toSpliced(at, 1).join('');
    case 1:
      return characters.toSpliced(at, 0, dice.pick(['x', ' ', '\0', 'é', dice.pick(ODD)])).join('');
    case 2:
      return characters.toSpliced(at, 1, 'q').join('');
    case 3:
      return text.toUpperCase();
    case 4:
      return text.replaceAll('s', 'ſ').replaceAll(/k/gi, '\u212a');
    default:
      return characters.slice(0, -1).join('').repeat(2);
  }
}

function anyValue(dice: Dice, stock: Stock): Draft {
  switch (dice.below(6)) {
    case 0:
      return {
        kind: 'raw',
        text: dice.pick(['true', 'false', 'null', '{}', '[]', '""', '0', '-0.0e0', '[[]]', '{"a":{}}']),
      };
    case 1:
      return { kind: 'raw', text: respell(dice, dice.pick(stock.numbers)) };
    case 2:
      return { kind: 'object', members: [[keyOf(dice, stock), { kind: 'raw', text: '1' }]] };
    case 3:
      return {
        kind: 'array',
        items: dice.times(dice.below(4), () => ({ kind: 'raw' as const, text: '"x"' })),
      };
    default:
      return {
        kind: 'text',
        start: [],
        middle: dice.times(dice.below(5), () => dice.pick(stock.words)),
        end: [],
      };
  }
}

// ── Numbers ──

/** Another spelling of the same number, as JSON. */
function respell(dice: Dice, number: string): string {
  const { sign, digits, exponent } = scientific(number);
  if (exponent === 0) return sign + digits + dice.pick(['', '', '.0', '.000', 'e0', 'E+00']);
  if (exponent < 0 && exponent > -30 && dice.chance(0.6)) {
    const padded = digits.padStart(1 - exponent, '0');
    return `${sign}${padded.slice(0, exponent)}.${padded.slice(exponent)}${dice.pick(['', '0', 'e0'])}`;
  }
  if (exponent > 0 && exponent < 30 && dice.chance(0.6)) return sign + digits + '0'.repeat(exponent);
  return `${sign}${digits}${dice.pick(['e', 'E'])}${exponent < 0 ? '' : dice.pick(['', '+'])}${exponent}`;
}

/** A number close by. */
function nudge(dice: Dice, number: string): string {
  const { sign, digits, exponent } = scientific(number);
  switch (dice.below(4)) {
    case 0:
      return `${sign === '' ? '-' : ''}${digits}e${exponent}`;
    case 1:
      return `${sign}${digits}${dice.pick(['1', '00000000000000001', '9'])}e${exponent - 1}`;
    case 2:
      return `${sign}${BigInt(digits) + 1n}e${exponent}`;
    default:
      return `${sign}${digits}e${exponent + dice.pick([-1, 1])}`;
  }
}

/** digits × 10^exponent; digits without zeros in front. */
function scientific(number: string): { sign: string; digits: string; exponent: number } {
  const [, sign, whole, fraction = '', written = '0'] = /^([-+]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(
    number,
  )!;
  const digits = (whole! + fraction).replace(/^0+(?=\d)/, '');
  return { sign: sign === '-' ? '-' : '', digits, exponent: Number(written) - fraction.length };
}

// ── Where values go ──

/** Texts for one path are put together; of other values the last stays. */
function place(dice: Dice, record: Draft, path: Path, value: Draft, parse: Parse[]): void {
  let at = record;
  const steps = path.map(step => step ?? dice.below(3));
  steps.forEach((step, i) => {
    const isLast = i === path.length - 1;
    const own = parse.find(one => JSON.stringify(one.path) === JSON.stringify(path.slice(0, i + 1)));
    const holder: Draft =
      typeof steps[i + 1] === 'number' ? { kind: 'array', items: [] } : { kind: 'object', members: [] };
    const isPacked = own !== undefined && !dice.chance(0.1);
    const below: Draft = isLast
      ? value
      : isPacked
        ? { kind: 'packed', format: own.format, of: holder }
        : holder;
    const slot = slotOf(dice, at, step);
    if (slot === null) return;
    const before = slot.get();
    if (before === undefined || (before.kind !== below.kind && (!isLast || dice.chance(0.7))))
      slot.set(below);
    else if (isLast) slot.set(together(before, value));
    at = slot.get()!;
    if (at.kind === 'packed') at = at.of;
  });
}

interface Slot {
  get(): Draft | undefined;
  set(value: Draft): void;
}

function slotOf(dice: Dice, at: Draft, step: string | number): Slot | null {
  if (typeof step === 'number') {
    if (at.kind !== 'array') return null;
    while (at.items.length < step)
      at.items.push({ kind: 'raw', text: dice.pick(['0', 'null', '{}', '"x"']) });
    return { get: () => at.items[step], set: value => (at.items[step] = value) };
  }
  if (at.kind !== 'object') return null;
  const member = at.members.find(([key]) => key === step);
  return {
    get: () => at.members.find(([key]) => key === step)?.[1],
    set: value => {
      if (member === undefined) at.members.push([step, value]);
      else member[1] = value;
    },
  };
}

function together(before: Draft, value: Draft): Draft {
  if (before.kind !== 'text' || value.kind !== 'text') return value;
  return {
    kind: 'text',
    start: [...value.start, ...before.start],
    middle: [...before.middle, ...value.middle],
    end: [...before.end, ...value.end],
  };
}

/** Keys that are there twice, keys that are like others, another order. */
function disorder(dice: Dice, stock: Stock, draft: Draft): void {
  if (draft.kind === 'packed') return disorder(dice, stock, draft.of);
  if (draft.kind === 'array') draft.items.forEach(item => disorder(dice, stock, item));
  if (draft.kind !== 'object') return;
  for (const [, value] of draft.members) disorder(dice, stock, value);
  if (draft.members.length > 0 && dice.chance(0.15)) {
    const [key] = dice.pick(draft.members);
    const twin: [string, Draft] = [
      key,
      dice.chance(0.5) ? anyValue(dice, stock) : dice.pick(draft.members)[1],
    ];
    draft.members.splice(dice.below(draft.members.length + 1), 0, twin);
  }
  if (dice.chance(0.3)) draft.members.push([keyOf(dice, stock), anyValue(dice, stock)]);
  if (dice.chance(0.5)) draft.members = dice.shuffle(draft.members);
}

/** A key that a rule names, or nearly. */
function keyOf(dice: Dice, stock: Stock): string {
  const key = String(dice.pick(dice.pick(stock.paths)) ?? 0);
  return dice.pick([key, key, `${key} `, key.slice(0, -1), `${key}s`, key.toUpperCase(), '']);
}

// ── Writing ──

/** Stands for a byte from 0x80 on that belongs to no sequence: U+F780 is 0x80, … U+F7FF is 0xFF. */
const BYTE_MARK = 0xf700;
/** What no well-formed text holds: half a pair, bytes that are not UTF-8. */
const ODD = [
  '\ud800',
  '\udc00',
  '\uf780',
  '\uf7ff',
  '\uf7e2\uf782',
  '\uf7ed\uf7a0\uf780',
  '\uf7f0\uf79f\uf798',
];

function write(dice: Dice, record: Draft): Buffer {
  const style = { dice, space: dice.pick([0, 0, 0.3]), escape: dice.pick([0, 0, 0.05, 0.5]) };
  const text = writeDraft(style, record);
  const pieces = text.split(/([\uf780-\uf7ff])/);
  return Buffer.concat(
    pieces.map((piece, i) => (i % 2 === 0 ? Buffer.from(piece) : Buffer.of(piece.charCodeAt(0) - BYTE_MARK))),
  );
}

interface Style {
  dice: Dice;
  /** The chances of a space between two tokens, and of an escape that need not be. */
  space: number;
  escape: number;
}

function writeDraft(style: Style, draft: Draft): string {
  const space = () => (style.dice.chance(style.space) ? style.dice.pick([' ', '\n', '\t', '\r', '  ']) : '');
  const item = (text: string) => `${space()}${text}${space()}`;
  switch (draft.kind) {
    case 'object': {
      const members = draft.members.map(([key, value]) =>
        [item(writeString(style, key)), item(writeDraft(style, value))].join(':'),
      );
      return item(`{${members.join(',')}}`);
    }
    case 'array':
      return item(`[${draft.items.map(value => item(writeDraft(style, value))).join(',')}]`);
    case 'text':
      return writeString(style, [...draft.start, ...draft.middle, ...draft.end].join(''));
    case 'packed':
      return writeString(style, writeText(style, draft) + style.dice.pick(['', '', '\n', ' ', ' x']));
    case 'raw':
      return draft.text;
  }
}

/** The text of fields in a text. */
function writeText(style: Style, { format, of }: Draft & { kind: 'packed' }): string {
  if (format === 'json' || of.kind !== 'object') return writeDraft(style, of);
  const pairs = of.members.map(([key, value]) => {
    const written = writeDraft(style, value);
    const isBare = value.kind === 'text' && style.dice.chance(0.5);
    return style.dice.chance(0.1) ? key : `${key}=${isBare ? written.slice(1, -1) : written}`;
  });
  return pairs.join(style.dice.pick([' ', '  ', '\t']));
}

function writeString({ dice, escape }: Style, text: string): string {
  let result = '"';
  for (const character of text) {
    const point = character.codePointAt(0)!;
    const must =
      point < 0x20 ? !dice.chance(0.1) : '"\\'.includes(character) || (point >= 0xd800 && point < 0xe000);
    const isByte = point >= BYTE_MARK + 0x80 && point < BYTE_MARK + 0x100;
    result += must || (!isByte && dice.chance(escape)) ? writeEscape(dice, character) : character;
  }
  return `${result}"`;
}

function writeEscape(dice: Dice, character: string): string {
  const short = character === '/' ? '\\/' : JSON.stringify(character).slice(1, -1);
  if (short.length === 2 && short.startsWith('\\') && dice.chance(0.5)) return short;
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i).toString(16));
  return units.map(unit => `\\u${(dice.chance(0.5) ? unit : unit.toUpperCase()).padStart(4, '0')}`).join('');
}
