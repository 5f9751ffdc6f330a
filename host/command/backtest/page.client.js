// The page of a backtest, in the browser. What is chosen is in the address, so that a view can be shared.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const COLOURS = ['#0969da', '#cf222e', '#1a7f37', '#9a6700', '#8250df', '#bf3989', '#0e7490', '#6e7781'];
  const DRAWN_MAX = COLOURS.length - 1;
  const EXAMPLES_MAX = 200;
  const number = new Intl.NumberFormat('en');
  const page = document.getElementById('page');

  const element = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
      if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
      else if (value !== undefined && value !== false) node.setAttribute(key, value);
    node.append(...children.filter(child => child !== undefined));
    return node;
  };
  const timeText = timeMs => new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ');
  const labelsText = labels =>
    labels === null
      ? 'other labels'
      : Object.entries(labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(', ') || 'no labels';

  // ── What is chosen ────────────────────────────────────────────────────────────────────────────────
  const chosen = { rule: '', label: '', show: 'alerts' };
  const readAddress = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const name of Object.keys(chosen))
      chosen[name] = given.get(name) ?? (name === 'show' ? 'alerts' : '');
    if (chosen.show !== 'matches') chosen.show = 'alerts';
  };
  const choose = change => {
    Object.assign(chosen, change);
    const given = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value !== ''));
    history.replaceState(null, '', `#${given}`);
    draw();
  };

  /** The rules and their label sets that the filters leave. */
  const filtered = () =>
    data.rules
      .filter(({ alert }) => chosen.rule === '' || alert === chosen.rule)
      .map(rule => ({
        ...rule,
        series: rule.series.filter(
          ({ labels }) => chosen.label === '' || labelsText(labels).includes(chosen.label),
        ),
      }))
      .filter(({ series }) => series.length > 0);

  // ── The parts of the page ─────────────────────────────────────────────────────────────────────────
  const head = () => {
    const { recordCount, byteCount, unreadableCount } = data.reading;
    const range = data.range;
    return element(
      'header',
      {},
      element('h1', {}, `Backtest of ${data.rulesPath}`),
      element(
        'p',
        { class: 'soft', id: 'summary' },
        `${data.source}: ${number.format(recordCount)} records, ${number.format(byteCount)} bytes` +
          (unreadableCount > 0
            ? `, ${number.format(unreadableCount)} ${unreadableCount === 1 ? 'line is no record' : 'lines are no records'}`
            : '') +
          (range === null
            ? '; nothing matched'
            : `; matches from ${timeText(range.start * data.widthMs)} to ${timeText(range.end * data.widthMs)} UTC`),
      ),
    );
  };

  const filters = () => {
    const option = (value, text, isChosen) => element('option', { value, selected: isChosen }, text);
    return element(
      'form',
      { onsubmit: event => event.preventDefault() },
      element(
        'label',
        {},
        'Rule ',
        element(
          'select',
          { id: 'rule', onchange: event => choose({ rule: event.target.value }) },
          option('', 'all', chosen.rule === ''),
          ...data.rules.map(({ alert }) => option(alert, alert, chosen.rule === alert)),
        ),
      ),
      element(
        'label',
        {},
        'Label ',
        element('input', {
          id: 'label',
          placeholder: 'namespace=shop',
          value: chosen.label,
          onchange: event => choose({ label: event.target.value.trim() }),
        }),
      ),
      element(
        'label',
        {},
        'Show ',
        element(
          'select',
          { id: 'show', onchange: event => choose({ show: event.target.value }) },
          option('alerts', 'alerts', chosen.show === 'alerts'),
          option('matches', 'matches', chosen.show === 'matches'),
        ),
      ),
    );
  };

  const columnsOf = series => {
    const columns = new Array(data.range.end - data.range.start).fill(0);
    for (const one of series)
      for (const [column, count] of one[chosen.show]) columns[column - data.range.start] += count;
    return columns;
  };

  /** Stacked bars: each rule is drawn over the sum of those before it, the highest first. */
  const chart = rules => {
    const place = element('div', { id: 'chart', role: 'img', 'aria-label': `${chosen.show} over time` });
    if (data.range === null || rules.length === 0) return place;
    const counts = rules
      .map(rule => ({ name: rule.alert, columns: columnsOf(rule.series) }))
      .sort((a, b) => sum(b.columns) - sum(a.columns));
    const shown = counts.slice(0, DRAWN_MAX);
    const rest = counts.slice(DRAWN_MAX);
    if (rest.length > 0)
      shown.push({
        name: `${rest.length} more`,
        columns: rest[0].columns.map((_, index) => rest.reduce((all, one) => all + one.columns[index], 0)),
      });
    const times = shown[0].columns.map((_, index) => ((data.range.start + index) * data.widthMs) / 1000);
    const stacked = [];
    for (const { columns } of shown) {
      const below = stacked.at(-1);
      stacked.push(columns.map((count, index) => count + (below ? below[index] : 0)));
    }
    const series = shown.map(({ name, columns }, index) => ({
      label: name,
      fill: COLOURS[index],
      stroke: COLOURS[index],
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars({ size: [0.9, 60], align: 1 }),
      value: (_, __, ___, at) => (at === null || at === undefined ? '' : number.format(columns[at])),
    }));
    const axis = { stroke: getComputedStyle(document.body).color, grid: { stroke: '#8884' }, ticks: { stroke: '#8884' } }; // prettier-ignore
    requestAnimationFrame(() => {
      new uPlot(
        {
          width: Math.max(300, place.clientWidth),
          height: 260,
          tzDate: seconds => uPlot.tzDate(new Date(seconds * 1e3), 'UTC'),
          scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] } },
          series: [
            { value: (_, seconds) => (seconds === null ? '' : timeText(seconds * 1000)) },
            ...series.toReversed(),
          ],
          axes: [axis, axis],
        },
        [times, ...stacked.toReversed()],
        place,
      );
    });
    return place;
  };
  const sum = columns => columns.reduce((all, count) => all + count, 0);

  const table = rules =>
    element(
      'table',
      { id: 'rules' },
      element(
        'tr',
        {},
        ...['rule', 'matches', 'alerts', 'by the cool-down', 'by the rate cap', 'cost'].map(name =>
          element('th', {}, name),
        ),
      ),
      ...rules.map(({ alert, series, cooled, capped, cost }) =>
        element(
          'tr',
          { class: chosen.rule === alert && 'chosen' },
          element(
            'td',
            {},
            element(
              'button',
              { type: 'button', onclick: () => choose({ rule: chosen.rule === alert ? '' : alert }) },
              alert,
            ),
          ),
          ...[
            sum(series.map(one => one.matchCount)),
            sum(series.map(one => one.alertCount)),
            cooled,
            capped,
          ].map(count => element('td', {}, number.format(count))),
          element('td', {}, cost === null ? '' : `${Math.round(cost * 100)} %`),
        ),
      ),
    );

  const examples = rules => {
    const all = rules
      .flatMap(({ alert, series }) => series.map(one => ({ alert, ...one })))
      .sort((a, b) => b.matchCount - a.matchCount);
    return element(
      'table',
      { id: 'examples' },
      element(
        'tr',
        {},
        ...['rule', 'labels', 'matches', 'alerts', 'example'].map((name, index) =>
          element('th', { class: [1, 4].includes(index) && 'text' }, name),
        ),
      ),
      ...all
        .slice(0, EXAMPLES_MAX)
        .map(({ alert, labels, matchCount, alertCount, example }) =>
          element(
            'tr',
            {},
            element('td', {}, alert),
            element('td', { class: 'text' }, labelsText(labels)),
            element('td', {}, number.format(matchCount)),
            element('td', {}, number.format(alertCount)),
            element(
              'td',
              { class: 'text' },
              ...(example
                ? [
                    element('code', {}, example.text),
                    element('p', { class: 'soft' }, `${timeText(example.timeMs)} UTC, ${example.place}`),
                  ]
                : []),
            ),
          ),
        ),
    );
  };

  const never = () =>
    data.never.length === 0
      ? undefined
      : element(
          'section',
          {},
          element('h2', {}, 'Rules that never matched, and the test that failed last for most records'),
          element(
            'table',
            { id: 'never' },
            ...data.never.map(({ alert, test, failedCount, recordCount }) =>
              element(
                'tr',
                {},
                element('td', {}, alert),
                element('td', { class: 'text' }, element('code', {}, test)),
                element(
                  'td',
                  {},
                  recordCount > 0 ? `${Math.round((failedCount / recordCount) * 100)} %` : '',
                ),
              ),
            ),
          ),
        );

  const draw = () => {
    const rules = filtered();
    const focused = document.activeElement?.id;
    page.replaceChildren(
      head(),
      filters(),
      chart(rules),
      element('h2', {}, 'Rules'),
      table(rules),
      element('h2', {}, 'Label sets'),
      examples(rules),
      ...[never()].filter(Boolean),
    );
    if (focused) document.getElementById(focused)?.focus();
  };

  readAddress();
  addEventListener('hashchange', () => {
    readAddress();
    draw();
  });
  draw();
})();
