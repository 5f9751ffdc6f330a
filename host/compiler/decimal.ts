// Numbers as decimal digits: exact, whatever their length. No floating point is involved, so 64-bit ids
// and long decimals keep their value.

/** (-1)^negative × 0.d₁d₂d₃… × 10^exponent, with d₁ not 0; zero has no digits. */
export interface Decimal {
  negative: boolean;
  digits: string;
  exponent: number;
}

/** Exponents that a rule may have: with what a record's 32 MiB of digits add, the core still counts them exactly. */
export const EXPONENT_MAX = 1_000_000_000;

// YAML's form, which includes JSON's: `+1`, `.5` and `5.` are numbers too.
const FORM = /^([-+]?)(?=\.?\d)(\d*)(?:\.(\d*))?(?:[eE]([-+]?\d+))?$/;

/** Splits a number into its parts; null when the text is not a decimal number. */
export function parseDecimal(text: string): Decimal | null {
  const [match, sign, whole = '', fraction = '', written = '0'] = FORM.exec(text) ?? [];
  if (match === undefined) return null;
  const all = whole + fraction;
  const significant = all.replace(/^0+/, '');
  const digits = significant.slice(0, endOfDigits(significant));
  if (digits === '') return { negative: false, digits, exponent: 0 };
  const leadingZeros = all.length - significant.length;
  return { negative: sign === '-', digits, exponent: whole.length - leadingZeros + Number(written) };
}

/** Where the zeros at the end begin. (A regular expression for them takes quadratic time.) */
function endOfDigits(text: string): number {
  let end = text.length;
  while (end > 0 && text[end - 1] === '0') end--;
  return end;
}

// Digits before the point, and zeros after it, up to which a number is written without an exponent.
const WHOLE_DIGITS_MAX = 21;
const ZEROS_MAX = 5;

/** The one JSON text of a number; in the form in which JavaScript writes its own. */
export function formatDecimal({ negative, digits, exponent }: Decimal): string {
  const sign = negative ? '-' : '';
  if (digits === '') return '0';
  if (exponent > 0 && exponent <= WHOLE_DIGITS_MAX) {
    const whole = digits.slice(0, exponent).padEnd(exponent, '0');
    const fraction = digits.slice(exponent);
    return `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}`;
  }
  if (exponent <= 0 && exponent >= -ZEROS_MAX) return `${sign}0.${'0'.repeat(-exponent)}${digits}`;
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
  return `${sign}${digits[0]}${fraction}e${exponent > 0 ? '+' : ''}${exponent - 1}`;
}

/** Below 0, 0 or above 0, as in a sort. */
export function compareDecimals(left: Decimal, right: Decimal): number {
  if (left.negative !== right.negative) return left.negative ? -1 : 1;
  const order = left.negative ? -1 : 1;
  if (left.digits === '' || right.digits === '') return order * (left.digits.length - right.digits.length);
  if (left.exponent !== right.exponent) return order * (left.exponent - right.exponent);
  return left.digits === right.digits ? 0 : left.digits < right.digits ? -order : order;
}
