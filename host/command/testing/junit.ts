// The outcomes as JUnit's XML, which CI systems show.
import type { Outcome } from './suite.ts';

export function junitXml(outcomes: Outcome[], mistakes: string[], seconds: number): string {
  const failures = outcomes.filter(({ failure }) => failure).length;
  const files = [...new Set(outcomes.map(({ file }) => file))];
  const suites = files.map(file => suiteXml(file, outcomes.filter(outcome => outcome.file === file))); // prettier-ignore
  const errors = mistakes.map(
    mistake =>
      `    <testcase name="usable" classname="earshot"><error message="${escape(mistake.split('\n')[0]!)}">${escape(mistake)}</error></testcase>\n`,
  );
  if (errors.length > 0)
    suites.push(`  <testsuite name="earshot" tests="${errors.length}" failures="0" errors="${errors.length}">\n${errors.join('')}  </testsuite>\n`); // prettier-ignore
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    `<testsuites name="earshot test" tests="${outcomes.length + mistakes.length}" failures="${failures}" errors="${mistakes.length}" time="${seconds.toFixed(3)}">\n` +
    `${suites.join('')}</testsuites>\n`
  );
}

function suiteXml(file: string, outcomes: Outcome[]): string {
  const failures = outcomes.filter(({ failure }) => failure).length;
  return (
    `  <testsuite name="${escape(file)}" tests="${outcomes.length}" failures="${failures}" errors="0">\n` +
    `${outcomes.map(caseXml).join('')}  </testsuite>\n`
  );
}

function caseXml({ file, line, name, failure }: Outcome): string {
  const head = `    <testcase name="${escape(name)}" classname="${escape(file)}" file="${escape(file)}" line="${line}"`;
  if (!failure) return `${head}/>\n`;
  const details = escape(failure.details.join('\n'));
  return `${head}><failure message="${escape(failure.message)}">${details}</failure></testcase>\n`;
}

/** XML 1.0 has no control characters, not even escaped. */
function escape(text: string): string {
  return text
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
