/* The totals, the stacked bar of stages, the failures and the prices. */
function counted() {
  const stages = Object.fromEntries(STAGES.map((stage) => [stage, 0]));
  const sum = { stages, dollars: 0, units: 0, unknown: 0, took: [], polls: 0, seen: 0, gaps: [], first: Infinity, last: 0, bytes: 0 };
  for (const job of jobs.values()) {
    stages[job.stage]++;
    if (job.cost !== undefined) sum.dollars += job.cost;
    else if (job.units !== undefined) sum.units += job.units;
    else if (job.stage === 'saved' || job.stage === 'ready') sum.unknown++;
    if (job.took !== undefined && job.stage !== 'failed') {
      sum.took.push(job.took);
      sum.seen++;
      sum.polls += job.polls || 0;
      sum.gaps.push((job.took - job.last) / 2);
    }
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
  $('tiles').replaceChildren(
    tile('Clips saved', comma(sum.stages.saved), `of ${comma(all)}` + (sum.bytes ? ` · ${size(sum.bytes)}` : '')),
    tile('Spent', ...spent(sum, clips)),
    tile('A clip takes', span(quantile(sum.took, 0.5)), sum.took.length ? `nine of ten within ${span(quantile(sum.took, 0.9))}` : 'none is ready yet'),
    tile('The run took', sum.last > sum.first ? span(sum.last - sum.first) : '–', sum.last > sum.first && sum.seen ? `${(sum.took.reduce((a, b) => a + b, 0) / (sum.last - sum.first)).toFixed(1)} at a time` : ''),
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

function drawFailures() {
  const groups = new Map();
  for (const job of jobs.values()) {
    if (!job.error) continue;
    const key = job.refused ? 'content refused ' + job.refused : kind(job.error) + (job.advice || '');
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(job);
  }
  const ordered = [...groups.values()].sort((a, b) => b.length - a.length);
  $('failures').replaceChildren(...ordered.slice(0, 200).map(failureGroup));
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
    make('h3', { dir: 'auto' }, `${group.length > 1 ? comma(group.length) + ' × ' : ''}${group[0].error}`),
    make('p', { class: 'muted' }, group[0].refused ? make('strong', { class: 'bad' }, 'Content refused. ') : '', group[0].advice || ''), list);
}

function drawPrices() {
  const rows = new Map();
  for (const job of jobs.values()) {
    if (!rows.has(job.model)) rows.set(job.model, { clips: 0, failed: 0, unknown: 0, paid: [] });
    const row = rows.get(job.model);
    if (job.stage === 'saved' || job.stage === 'ready') row.clips++;
    if (job.stage === 'failed') row.failed++;
    if (job.cost !== undefined) row.paid.push(job.cost);
    else if (job.units === undefined && (job.stage === 'saved' || job.stage === 'ready')) row.unknown++;
  }
  const total = (row) => row.paid.reduce((a, b) => a + b, 0);
  const ordered = [...rows].sort((a, b) => total(b[1]) - total(a[1]) || b[1].clips - a[1].clips);
  const most = Math.max(...ordered.map(([, row]) => total(row)), 1e-9), count = (number) => number ? comma(number) : '–';
  const all = ordered.reduce((a, [, r]) => ({ clips: a.clips + r.clips, failed: a.failed + r.failed, unknown: a.unknown + r.unknown, sum: a.sum + total(r) }), { clips: 0, failed: 0, unknown: 0, sum: 0 });
  const prices = (row) => row.paid.length ? [total(row) / row.paid.length, row.paid.reduce((a, b) => Math.max(a, b), 0), total(row)].map(money) : ['–', '–', '–'];
  $('prices').replaceChildren(tableOf('Prices by model', ['Model', 'Clips', 'Failed', 'Price unknown', 'A clip', 'Dearest', 'Together'],
    ordered.map(([model, row]) => [[model, make('span', { class: 'share', style: `width:${100 * total(row) / most}%` })], comma(row.clips), count(row.failed), count(row.unknown), ...prices(row)]),
    ['All', comma(all.clips), comma(all.failed), comma(all.unknown), '', '', money(all.sum)]));
}
