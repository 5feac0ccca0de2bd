/* The totals, the stacked bar of stages, the failures and the prices. */
const hasClip = (job) => job.stage === 'saved' || job.stage === 'ready';
function counted() {
  const stages = Object.fromEntries(STAGES.map((stage) => [stage, 0]));
  const sum = { stages, dollars: 0, units: 0, unknown: 0, took: [], polls: 0, seen: 0, gaps: [], first: Infinity, last: 0, clips: 0, bytes: 0 };
  for (const job of jobs.values()) {
    stages[job.stage]++;
    sum.dollars += (job.cost || 0) + (job.earlier || 0);
    sum.units += (job.units || 0) + (job.earlier_units || 0);
    sum.unknown += job.unsaid || 0;
    if (job.took !== undefined && job.stage !== 'failed') {
      sum.took.push(job.took);
      sum.seen++;
      sum.polls += job.polls || 0;
      sum.gaps.push(Math.max(0, job.took - job.last) / 2); // below 0 where this machine's clock was set back meanwhile
    }
    if (job.file) sum.clips += Math.max(1, (job.files || []).length);
    sum.bytes += job.bytes || 0;
    if (job.submitted) sum.first = Math.min(sum.first, job.submitted);
    sum.last = Math.max(sum.last, job.saved || job.completed || 0);
  }
  sum.took.sort((a, b) => a - b);
  sum.gaps.sort((a, b) => a - b);
  return sum;
}

/* What all clips cost, and what is to be said of it. */
function spent(sum, clips) {
  const more = [sum.dollars && sum.units ? `and ${units(sum.units)}` : '', sum.unknown ? `and ${comma(sum.unknown)} of unknown price` : ''].filter(Boolean);
  const each = clips && !more.length ? `${sum.units ? units(sum.units / clips) : money(sum.dollars / clips)} a clip` : '';
  return [sum.units && !sum.dollars ? units(sum.units) : money(sum.dollars), more.join(' ') || each];
}

function drawTotals() {
  const sum = counted(), all = jobs.size, clips = sum.stages.saved + sum.stages.ready;
  const tile = (title, value, more) => make('div', {}, make('dt', {}, title), make('dd', {}, value, more ? make('small', {}, more) : ''));
  const together = sum.last > sum.first ? sum.took.reduce((a, b) => a + b, 0) / (sum.last - sum.first) : 0;
  $('tiles').replaceChildren(
    tile('Clips saved', comma(sum.stages.saved), `of ${comma(all)}` + (sum.clips > sum.stages.saved ? ` · ${plural(sum.clips, 'clip')}` : '') + (sum.bytes ? ` · ${size(sum.bytes)}` : '')),
    tile('Spent', ...spent(sum, clips)),
    tile('A clip takes', span(quantile(sum.took, 0.5)), sum.took.length ? `nine of ten within ${span(quantile(sum.took, 0.9))}` : 'none is ready yet'),
    tile('The run took', sum.last > sum.first ? span(sum.last - sum.first) : '–', together >= 0.05 ? `${together.toFixed(1)} at a time` : ''),
    tile('Polls a clip', sum.seen ? (sum.polls / sum.seen).toFixed(1) : '–', sum.gaps.length ? `seen about ${span(quantile(sum.gaps, 0.5))} after it was ready` : ''),
  );
  const present = STAGES.filter((stage) => sum.stages[stage]);
  $('stagebar').replaceChildren(...present.map((stage) => make('i', { style: `flex:${sum.stages[stage]} 0 0;background:var(--${stage})` })));
  $('stagebar').setAttribute('aria-label', present.map((stage) => `${comma(sum.stages[stage])} ${WORDS[stage]}`).join(', ') || 'no jobs');
  const chosen = $('stage').value;
  $('legend').replaceChildren(...present.map((stage) => make('button', {
    class: 'chip', type: 'button', 'aria-pressed': String(chosen === stage), onclick: () => choose({ stage: $('stage').value === stage ? '' : stage }),
  }, make('span', { class: 'dot', style: `background:var(--${stage})` }), `${WORDS[stage]} ${comma(sum.stages[stage])}`)));
  $('count-clips').textContent = comma(all);
  $('count-failures').textContent = sum.stages.failed ? comma(sum.stages.failed) : '';
  $('count-failures').classList.toggle('bad', sum.stages.failed > 0);
  const began = sum.first < Infinity ? `begun ${clock(sum.first)} · ` : '';
  $('subtitle').textContent = `${plural(all, 'job')} · ${began}${run.live ? 'live' : 'page made ' + clock(run.made)}`;
}

/* A reason without what differs from job to job. */
const kind = (error) => error.replace(/[0-9a-f]{8}-[0-9a-f-]{27,}|\b[\w:-]*\d[\w:-]{7,}\b/gi, '…').replace(/'[^']{1,80}'/g, '…').replace(/\d+(\.\d+)?/g, '…');

const MOST_REASONS = 200;

function drawFailures() {
  const groups = new Map();
  for (const job of jobs.values()) {
    if (!job.error) continue;
    const key = job.refused ? 'content refused ' + job.refused : kind(job.error) + (job.advice || '');
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(job);
  }
  const ordered = [...groups.values()].sort((a, b) => b.length - a.length);
  $('failures').replaceChildren(...ordered.slice(0, MOST_REASONS).map(failureGroup),
    ordered.length > MOST_REASONS ? make('p', { class: 'muted' }, `and ${plural(ordered.length - MOST_REASONS, 'more reason')}: each is with its clip`) : '');
  if (!ordered.length) $('failures').replaceChildren(make('p', { class: 'nothing' }, 'No job has failed.'));
}

function failureGroup(group) {
  const list = make('ul');
  const fill = (most) => list.replaceChildren(
    ...group.slice(0, most).map((job) => make('li', {}, make('button', { class: 'chip', type: 'button', dir: 'auto', onclick: () => view(job.id, group.map((one) => one.id)) }, make('span', { class: 'dot', style: `background:var(--${job.stage})` }), job.id))),
    group.length > most ? make('li', {}, make('button', { class: 'chip', type: 'button', onclick: () => fill(most + 200) }, `and ${comma(group.length - most)} more`)) : '',
  );
  fill(12);
  return make('article', { class: 'group' },
    make('h2', { dir: 'auto' }, `${group.length > 1 ? comma(group.length) + ' × ' : ''}${group[0].error}`),
    make('p', { class: 'muted' }, group[0].refused ? make('strong', { class: 'bad' }, 'Content refused. ') : '', group[0].advice || ''), list);
}

/* An amount of USD, of the service's own units, or of both; a dash where nobody said any. */
const amount = (dollars, own) => [dollars === undefined ? '' : money(dollars), own === undefined ? '' : units(own)].filter(Boolean).join(' + ') || '–';

const plus = (a, b) => a === undefined ? b : a + (b || 0);

/* What jobs cost. Clips have a price; what failed, and was charged, is in the sum alone. */
function pricesOf(of) {
  const clips = of.filter(hasClip), earlier = (key) => sums(of, key) || undefined;
  const values = (key) => clips.map((job) => job[key]).filter((value) => value !== undefined);
  const mean = (key) => sums(clips, key) === undefined ? undefined : sums(clips, key) / values(key).length;
  const most = (key) => values(key).reduce((a, b) => a === undefined ? b : Math.max(a, b), undefined);
  return {
    clips: clips.length, failed: of.filter((job) => job.stage === 'failed').length, unknown: of.filter((job) => job.unsaid).length,
    mean: amount(mean('cost'), mean('units')), dearest: amount(most('cost'), most('units')),
    dollars: plus(sums(of, 'cost'), earlier('earlier')), units: plus(sums(of, 'units'), earlier('earlier_units')),
  };
}

function drawPrices() {
  const models = new Map();
  for (const job of jobs.values()) {
    if (!models.has(job.model)) models.set(job.model, []);
    models.get(job.model).push(job);
  }
  const rows = [...models].map(([model, of]) => [model, pricesOf(of)]), all = pricesOf([...jobs.values()]);
  rows.sort(([, a], [, b]) => (b.dollars || 0) - (a.dollars || 0) || (b.units || 0) - (a.units || 0) || b.clips - a.clips);
  const most = (key) => rows.reduce((a, [, row]) => Math.max(a, row[key] || 0), 1e-9), share = (row, key) => 100 * (row[key] || 0) / most(key);
  const count = (number) => number ? comma(number) : '–';
  $('prices').replaceChildren(tableOf('Prices by model', ['Model', 'Clips', 'Failed', 'Price unknown', 'A clip', 'Dearest', 'Together'],
    rows.map(([model, row]) => [[model, make('span', { class: 'share', style: `width:${Math.max(share(row, 'dollars'), share(row, 'units'))}%` })],
      comma(row.clips), count(row.failed), count(row.unknown), row.mean, row.dearest, amount(row.dollars, row.units)]),
    ['All', comma(all.clips), comma(all.failed), comma(all.unknown), '', '', amount(all.dollars, all.units)]));
}
