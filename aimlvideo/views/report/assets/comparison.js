/* The comparison: the clips of one prompt in a row, side by side, played in step. */
const MOST_COLUMNS = 24, ROWS_AT_ONCE = 40, DRIFT = 0.12;
const unit = { cost: money, units, took: span, bytes: size };
const NAMES = { cost: 'Price', units: 'Price', took: 'Time', bytes: 'Size' };
let compared = null, drawnRows = ROWS_AT_ONCE, drawnFor = '';

/* Which parameters differ between jobs of one prompt: they, and the model, make the columns. */
function axesOf(rows) {
  const axes = new Set();
  for (const row of rows.values()) {
    const seen = new Map();
    for (const job of row) for (const [name, value] of [['model', job.model], ...(job.params || [])]) {
      if (seen.has(name) && seen.get(name) !== value) axes.add(name);
      else seen.set(name, value);
    }
  }
  return axes;
}

/* Return rows and columns with at most one job in each cell, or null where the run is no comparison. */
function comparison() {
  const rows = new Map();
  for (const job of jobs.values()) {
    const prompt = job.prompt || '';
    if (!rows.has(prompt)) rows.set(prompt, []);
    rows.get(prompt).push(job);
  }
  for (const [prompt, row] of rows) if (row.length < 2 && !run.matrix) rows.delete(prompt);
  const axes = axesOf(rows), found = [], columns = new Map();
  for (const [prompt, row] of rows) {
    const cells = new Map();
    for (const job of row) {
      const about = (job.params || []).filter(([name]) => axes.has(name)).map(([name, value]) => `${name} ${value}`);
      const label = [axes.has('model') ? job.model : '', ...about].filter(Boolean).join(' · ');
      if (cells.has(label)) return null;
      cells.set(label, job);
      columns.set(label, [...(columns.get(label) || []), job]);
      if (columns.size > MOST_COLUMNS) return null;
    }
    found.push({ title: prompt, cells });
  }
  if (columns.size === 1 && run.matrix && found.length > 1 && found.length <= MOST_COLUMNS) return turned(found);
  const filled = found.reduce((count, row) => count + row.cells.size, 0);
  if (columns.size < 2 || filled * 2 < found.length * columns.size) return null;
  return { rows: found, columns };
}

/* Prompts alone differ: one row of all of them. */
function turned(found) {
  const one = found.map((row) => [row.title, [...row.cells.values()][0]]);
  return { rows: [{ title: one[0][1].model, cells: new Map(one) }], columns: new Map(one.map(([name, job]) => [name, [job]])) };
}

const sums = (of, key) => of.reduce((sum, job) => job[key] === undefined ? sum : (sum ?? 0) + job[key], undefined);
function ordered(things, jobsIn, order) {
  if (!order) return things;
  const down = order.startsWith('-') ? -1 : 1, key = order.replace('-', '');
  const known = (thing) => sums(jobsIn(thing), key) ?? (key === 'cost' ? sums(jobsIn(thing), 'units') : undefined);
  return [...things].sort((a, b) => {
    const x = known(a), y = known(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return (x - y) * down;
  });
}

function offerComparison() {
  compared = comparison();
  $('tab-comparison').hidden = !compared;
  if (!compared && opened === 'comparison') openTab('clips');
}

function drawComparison() {
  compared = comparison();
  if (!compared) return;
  const state = [$('row-order').value, $('column-order').value, drawnRows, ...[...jobs.values()].map((job) => job.id + job.stage)].join('\n');
  if (state === drawnFor) return;
  drawnFor = state;
  const columns = ordered([...compared.columns], ([, of]) => of, $('column-order').value);
  const rows = ordered(compared.rows, (row) => [...row.cells.values()], $('row-order').value);
  $('comparison-totals').replaceChildren(totalsOf(columns));
  $('comparison').replaceChildren(...rows.slice(0, drawnRows).map((row) => rowOf(row, columns.map(([label]) => label))),
    rows.length > drawnRows ? make('button', { class: 'chip', type: 'button', onclick: () => { drawnRows += ROWS_AT_ONCE; drawComparison(); } }, `Show ${comma(Math.min(ROWS_AT_ONCE, rows.length - drawnRows))} more of ${comma(rows.length)}`) : '');
}

function totalsOf(columns) {
  const middle = (of, key) => quantile(of.map((job) => job[key]).filter((value) => value !== undefined).sort((a, b) => a - b), 0.5);
  const said = (key, value) => value === undefined ? '–' : unit[key](value);
  return tableOf('What is compared', ['Compared', 'Clips', 'Total price', 'Median time', 'Total size'], columns.map(([label, of]) => [
    label.slice(0, 160), comma(of.filter((job) => job.file).length),
    amount(sums(of, 'cost'), sums(of, 'units')), said('took', middle(of, 'took')), said('bytes', sums(of, 'bytes')),
  ]));
}

function rowOf(row, labels) {
  const shownIn = labels.map((label) => row.cells.get(label)), present = shownIn.filter(Boolean), ids = present.map((job) => job.id);
  const best = {};
  for (const key of Object.keys(unit)) {
    const values = present.map((job) => job[key]).filter((value) => value !== undefined);
    const least = unit[key](Math.min(...values));
    best[key] = values.length > 1 && values.some((value) => unit[key](value) !== least) ? least : undefined;
  }
  const strip = make('div', { class: 'strip', tabindex: '0', role: 'group', 'aria-label': 'Side by side: ' + (row.title || 'no prompt').slice(0, 80) },
    ...shownIn.map((job, at) => job ? cellOf(job, labels[at], best, ids) : make('figure', { class: 'cell' }, make('figcaption', { class: 'muted' }, labels[at].slice(0, 160), make('span', {}, 'no clip')))));
  const title = make('p', { class: 'prompt-of-row', dir: 'auto' }, row.title || 'No prompt');
  return make('article', { class: 'compared' }, title, strip, controlsOf(strip));
}

function cellOf(job, label, best, ids) {
  const facts = Object.keys(unit).filter((key) => job[key] !== undefined).map((key) => {
    const text = unit[key](job[key]), least = text === best[key];
    return make('span', { class: least ? 'best' : '', title: NAMES[key] + (least ? ': the lowest of this row' : '') }, text);
  });
  const picture = job.file
    ? make('video', { src: address(job), muted: true, playsinline: '', preload: poster(job) ? 'none' : 'metadata', poster: poster(job) || null, tabindex: '-1', 'aria-hidden': 'true' })
    : make('span', { class: 'blank ' + job.stage }, make('i'), WORDS[job.stage]);
  return make('figure', { class: 'cell' },
    make('button', { class: 'thumb', type: 'button', 'aria-label': `Show ${job.id}, ${WORDS[job.stage]}`, onclick: () => view(job.id, ids) }, picture),
    make('figcaption', { dir: 'auto', title: label }, make('b', {}, label.slice(0, 160)), make('span', { class: 'figures' }, ...facts, job.error ? make('span', { class: 'bad' }, job.error.slice(0, 90)) : '')));
}

/* One button and one slider for all clips of a row. The longest leads; the others follow it, and wait at their end. */
function controlsOf(strip) {
  const films = [...strip.querySelectorAll('video')];
  if (!films.length) return '';
  const longest = () => films.reduce((a, b) => (b.duration || 0) > (a.duration || 0) ? b : a);
  const follow = (moment) => { for (const film of films) if (Math.abs(film.currentTime - Math.min(moment, film.duration || 0)) > DRIFT) film.currentTime = Math.min(moment, film.duration || 0); };
  const ready = () => Promise.all(films.map((film) => film.readyState >= 1 || film.error ? null : new Promise((done) => {
    film.addEventListener('loadedmetadata', done, { once: true });
    film.addEventListener('error', done, { once: true });
    film.preload = 'auto';
    film.load();
  })));
  let playing = false;
  const slider = make('input', { type: 'range', min: '0', max: '1000', value: '0', 'aria-label': 'Place in all clips of this row' });
  const button = make('button', { class: 'chip', type: 'button', onclick: () => (playing ? stop() : start()) }, '▶ Play in step');
  const start = async () => {
    playing = true;
    button.textContent = '❚❚ Pause';
    await ready();
    if (longest().ended) follow(0);
    for (const film of films) if (playing && !film.ended) film.play().catch(() => {});
  };
  const stop = () => { playing = false; button.textContent = '▶ Play in step'; films.forEach((film) => film.pause()); };
  for (const film of films) {
    film.addEventListener('timeupdate', () => {
      if (film !== longest() || !film.duration) return;
      if (document.activeElement !== slider || playing) slider.value = String(Math.round(1000 * film.currentTime / film.duration));
      if (playing) for (const other of films) if (other !== film && !other.ended && Math.abs(other.currentTime - film.currentTime) > DRIFT) other.currentTime = Math.min(film.currentTime, other.duration || 0);
    });
    film.addEventListener('ended', () => {
      if (film !== longest() || !playing) return;
      for (const other of films) { other.currentTime = 0; other.play().catch(() => {}); }
    });
  }
  slider.addEventListener('input', async () => { stop(); await ready(); follow(slider.value / 1000 * (longest().duration || 0)); });
  return make('div', { class: 'in-step' }, button, slider);
}
