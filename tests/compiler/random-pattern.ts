// Random patterns and texts, and what RE2 says about them, for tests that compare with it.
//
// The patterns are well-formed RE2 syntax, small, and lean towards what is easily got wrong: empty
// alternatives, loops that match nothing, lazy repeats, assertions, case folding. The texts are over the
// same small alphabet, so that matches are common.

import fc from 'fast-check';
import { RE2JS } from 're2js';

/** Word and other characters, a line end, and letters whose case folding leaves ASCII: s ſ, k K (Kelvin), σ ς. */
const ALPHABET = [
  'a',
  'b',
  'A',
  'k',
  'K',
  '\u212a',
  's',
  '\u017f',
  '1',
  '_',
  ' ',
  '-',
  '\n',
  'é',
  'σ',
  'ς',
  'Σ',
  '😀',
];

export const textArbitrary: fc.Arbitrary<string> = fc.string({
  unit: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('a', 'b') },
    { weight: 2, arbitrary: fc.constantFrom(...ALPHABET) },
  ),
  maxLength: 12,
});

const characterArbitrary = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b') },
  { weight: 2, arbitrary: fc.constantFrom(...ALPHABET.filter(character => character !== '-')) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('\\-', ',', ':', '}', '\\.', '\\n', '\\x61', '\\x{1F600}', '\\141', '\\_'),
  },
);

const memberArbitrary = fc.oneof(
  { weight: 4, arbitrary: characterArbitrary },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'a-b',
      'A-Z',
      '0-9',
      'α-ω',
      'K-k',
      '\\x00-\\x20',
      ' -_',
      '\\n-a',
      'é-😀',
      '*',
      '(',
      '.',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '\\d',
      '\\W',
      '\\s',
      '[:alpha:]',
      '[:^upper:]',
      '[:space:]',
      '\\pL',
      '\\P{Lu}',
    ),
  },
);

const classArbitrary = fc
  .tuple(
    fc.constantFrom('[', '[', '[^', '[]', '[^]'),
    fc.array(memberArbitrary, { minLength: 1, maxLength: 3 }),
    fc.constantFrom(']', ']', '-]'),
  )
  .map(([opening, members, closing]) => `${opening}${members.join('')}${closing}`);

const atomArbitrary = fc.oneof(
  { weight: 8, arbitrary: characterArbitrary },
  { weight: 2, arbitrary: classArbitrary },
  { weight: 2, arbitrary: fc.constant('.') },
  { weight: 2, arbitrary: fc.constantFrom('^', '$', '\\b', '\\B', '\\A', '\\z', '(?m:^)', '(?m:$)') },
  { weight: 1, arbitrary: fc.constantFrom('\\d', '\\D', '\\w', '\\W', '\\s', '\\S') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('\\pL', '\\p{Greek}', '\\P{Lu}', '\\p{^Ll}', '\\PN', '(?i:\\p{Lu})'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('\\Qa.b\\E', '()', '(?:)', '(?s:.)', '(?i:k)', '(?i:[^s])'),
  },
);

const repeatArbitrary = fc
  .tuple(
    fc.constantFrom(
      '*',
      '*',
      '+',
      '+',
      '?',
      '?',
      '{0}',
      '{1}',
      '{2}',
      '{0,1}',
      '{0,}',
      '{1,}',
      '{2,}',
      '{1,3}',
    ),
    fc.constantFrom('', '', '?'),
  )
  .map(parts => parts.join(''));

const openingArbitrary = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('(?P<>', '(?<>') },
  { weight: 4, arbitrary: fc.constantFrom('(', '(?:') },
  { weight: 1, arbitrary: fc.constantFrom('(?i:', '(?s:', '(?m:', '(?U:', '(?i-s:', '(?ms-i:') },
);

const flagsArbitrary = fc.constantFrom('(?i)', '(?s)', '(?m)', '(?U)', '(?-i)', '(?is-U)');

const { pattern: unnamedArbitrary } = fc.letrec<
  Record<'pattern' | 'branch' | 'item' | 'group' | 'operand', string>
>(tie => ({
  pattern: fc
    .array(tie('branch'), { minLength: 1, maxLength: 3, size: 'max' })
    .map(branches => branches.join('|')),
  branch: fc.array(tie('item'), { maxLength: 4, size: 'max' }).map(items => items.join('')),
  item: fc.oneof(
    { weight: 12, arbitrary: tie('operand') },
    { weight: 8, arbitrary: fc.tuple(tie('operand'), repeatArbitrary).map(parts => parts.join('')) },
    { weight: 1, arbitrary: flagsArbitrary },
  ),
  operand: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    { weight: 3, arbitrary: atomArbitrary },
    { weight: 2, arbitrary: tie('group') },
  ),
  group: fc.tuple(openingArbitrary, tie('pattern')).map(([opening, inner]) => `${opening}${inner})`),
}));

const MAX_GROUPS = 12; // named ones; well below what a pattern may have

/** A well-formed pattern. Its named groups are g1, g2, … in the order of their opening. */
export const patternArbitrary: fc.Arbitrary<string> = unnamedArbitrary.map(pattern => {
  let groupCount = 0;
  return pattern.replace(/(\(\?P?<)>/g, (_, opening) => {
    groupCount++;
    return groupCount <= MAX_GROUPS ? `${opening}g${groupCount}>` : '(';
  });
});

const fragmentArbitrary = fc.oneof(
  fc.constantFrom(..."()[]{}|*+?^$.\\-,:<>=!#&'ismUxPpQEbBAzZCkKdDwWshR0128aé\n"),
  fc.constantFrom(
    '(?',
    '(?P<',
    '(?<',
    '(?=',
    '(?<!',
    '(?P<g1>',
    '(?i-',
    '[[:',
    ':]',
    '[:alpha:]',
    '[:x:]',
    '[^',
  ),
  fc.constantFrom(
    '\\p{',
    '\\pL',
    '\\P{^Greek}',
    '\\p{X}',
    '\\x',
    '\\x{',
    '\\x{110000}',
    '\\x4',
    '\\18',
    '\\08',
    '\\Q',
    '\\E',
  ),
  fc.constantFrom(
    '{2}',
    '{2,1}',
    '{,2}',
    '{02}',
    '{1001}',
    '{1000}',
    '{600}',
    '{2',
    '**',
    '*?',
    '*??',
    '(?i)*',
    '\\Q\\E+',
  ),
);

/** A pattern that is mostly broken: a well-formed one in which up to three pieces are replaced by others. */
export const brokenPatternArbitrary: fc.Arbitrary<string> = fc
  .tuple(
    patternArbitrary,
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 3 }), fragmentArbitrary), {
      minLength: 1,
      maxLength: 3,
    }),
  )
  .map(([pattern, edits]) => edits.reduce(replacePiece, pattern));

function replacePiece(pattern: string, [place, length, fragment]: [number, number, string]): string {
  const characters = Array.from(pattern);
  characters.splice(place % (characters.length + 1), length, fragment);
  return characters.join('');
}

export interface Match {
  /** Offsets in UTF-8 bytes, as the matcher counts. */
  start: number;
  end: number;
  /** The text of each named group; undefined for a group that took no part in the match. */
  captures: Record<string, string | undefined>;
}

/** The leftmost-first match of the pattern in the text, according to RE2. */
export function oracle(pattern: string, text: string): Match | null {
  const compiled = RE2JS.compile(pattern);
  const matcher = compiled.matcher(text);
  if (!matcher.find()) return null;
  const captures: Record<string, string | undefined> = {};
  for (const name of Object.keys(compiled.namedGroups())) captures[name] = matcher.group(name) ?? undefined;
  return { start: utf8Offset(text, matcher.start()), end: utf8Offset(text, matcher.end()), captures };
}

/** The offset in UTF-8 bytes of an offset in UTF-16 units. */
export function utf8Offset(text: string, offset: number): number {
  return Buffer.byteLength(text.slice(0, offset));
}
