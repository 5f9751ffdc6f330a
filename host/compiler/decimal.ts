// Numbers as decimal digits, as layout's NUMBER_… have them: exact, whatever their length.

/** Splits a JSON number into sign, digits and exponent, as layout's NUMBER_… has them. */
export function decimal(text: string): { negative: boolean; digits: string; exponent: number } {
  const [, sign, whole, fraction = '', written = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(
    text,
  )!;
  const all = whole + fraction;
  const digits = all.replace(/^0+/, '').replace(/0+$/, '');
  const leadingZeros = all.length - all.replace(/^0+/, '').length;
  return {
    negative: sign === '-' && digits !== '',
    digits,
    exponent: digits === '' ? 0 : whole!.length - leadingZeros + Number(written),
  };
}
