/* The timeline of all jobs and how long each model takes, drawn on uPlot. */
let timeline = null;
let lines = [];
let lanes = 0;
const SINGLE = 48;
const PARTS = [['queued', 'planned', 'in the queue'], ['rendering', 'rendering', 'rendering'], ['unseen', 'unseen', 'ready at some moment here, then seen'], ['download', 'saved', 'downloading'], ['failed', 'failed', 'failed']];

const axis = (more = {}) => ({ stroke: colour('soft'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line'), width: 1 }, font: '12px system-ui, sans-serif', ...more });

function partsOf(job, now) {
  const wait = Math.min(queued(job), job.took ?? Infinity), end = job.took !== undefined ? job.submitted + job.took : now;
  const lastPoll = job.took !== undefined && job.last ? Math.min(end, job.submitted + Math.max(job.last, wait)) : end;
  const parts = [];
  if (wait) parts.push([0, job.submitted, job.submitted + wait]);
  parts.push([1, job.submitted + wait, lastPoll]);
  if (lastPoll < end) parts.push([2, lastPoll, end]);
  if (job.saved && job.completed) parts.push([3, job.completed, job.saved]);
  if (job.stage === 'failed') parts.push([4, end, end]);
  return parts;
}

/* A page from disk does not know what became of the open ones since: their lines end with the last news of the run. */
function lastHeard() {
  let last = 0;
  for (const job of jobs.values()) last = Math.max(last, job.saved || job.completed || job.submitted || 0);
  return last;
}

const endOf = (job, now) => job.saved || job.completed || (job.stage === 'rendering' ? now : job.submitted);

/* A few jobs have a row each; many share rows, each in the first that is free. Return how many rows there are. */
function intoLanes(now) {
  const free = [], single = lines.length <= SINGLE;
  lines.forEach((job, at) => {
    let lane = single ? at : free.findIndex((moment) => moment <= job.submitted);
    if (lane < 0) lane = free.length;
    free[lane] = endOf(job, now);
    job.lane = lane;
  });
  return free.length;
}

function drawTimeline() {
  const box = $('timeline');
  if ($('panel-timeline').hidden || !box.clientWidth) return;
  const now = run.live ? Date.now() / 1000 : lastHeard();
  lines = [...jobs.values()].filter((job) => job.submitted).sort((a, b) => a.submitted - b.submitted);
  lanes = intoLanes(now);
  $('timeline-note').textContent = (lanes === lines.length ? 'One row for each job' : `${comma(lanes)} rows, as many as were outstanding at once: each job is in the first that was free`)
    + ', in the order in which they were sent. Drag to look closer, double-click for all, click a job for its clip.';
  $('timeline-key').replaceChildren(...PARTS.map(([, paint, words]) => make('span', {}, make('i', { class: 'key', style: `background:var(--${paint})` }), words)));
  timeline?.destroy();
  if (!lines.length) { box.replaceChildren(make('p', { class: 'nothing' }, 'Nothing was sent yet.')); timeline = null; return; }
  box.replaceChildren();
  const from = lines[0].submitted, to = lines.reduce((last, job) => Math.max(last, endOf(job, now)), from + 1);
  const height = Math.round(Math.min(Math.max(lanes * 16, 160), 560));
  timeline = new uPlot({
    width: box.clientWidth - 20, height: height + 60, padding: [8, 16, 0, 8], legend: { show: false },
    scales: { x: { time: true, min: from, max: to }, y: { dir: -1, range: [0, lanes] } },
    axes: [axis(), axis({ show: false })],
    series: [{}, { show: true, points: { show: false }, paths: () => null }],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
    hooks: { draw: [(chart) => drawLines(chart, now)], setCursor: [pointAt] },
  }, [[from, to], [null, null]], box);
  timeline.root.querySelector('canvas').setAttribute('role', 'img');
  timeline.root.querySelector('canvas').setAttribute('aria-label', `Timeline of ${plural(lines.length, 'job')} over ${span(to - from)}`);
  timeline.over.addEventListener('mouseleave', () => { $('tip').hidden = true; });
  let pressed = 0;
  timeline.over.addEventListener('mousedown', (event) => { pressed = event.clientX; });
  timeline.over.addEventListener('click', (event) => {
    const job = Math.abs(event.clientX - pressed) < 4 && jobAt(timeline);
    if (job) { $('tip').hidden = true; view(job.id, lines.map((one) => one.id)); }
  });
}

function drawLines(chart, now) {
  const { ctx, bbox } = chart, paints = PARTS.map(([, name]) => colour(name));
  const step = bbox.height / lanes, thick = Math.max(1, Math.min(step * 0.72, 12 * devicePixelRatio));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (let part = 0; part < PARTS.length; part++) {
    ctx.fillStyle = paints[part];
    lines.forEach((job) => {
      const y = bbox.top + job.lane * step + (step - thick) / 2;
      for (const [which, start, end] of partsOf(job, now)) {
        if (which !== part) continue;
        const x = chart.valToPos(start, 'x', true), width = chart.valToPos(end, 'x', true) - x;
        if (which === 4) ctx.fillRect(x - devicePixelRatio, y, 3 * devicePixelRatio, thick);
        else ctx.fillRect(x, y, Math.max(width, 1), thick);
      }
    });
  }
  ctx.restore();
}

function jobAt(chart) {
  const lane = Math.floor(chart.posToVal(chart.cursor.top, 'y')), moment = chart.posToVal(chart.cursor.left, 'x');
  if (lines.length <= SINGLE) return lines[lane];
  return lines.findLast((job) => job.lane === lane && job.submitted <= moment);
}
function pointAt(chart) {
  const job = chart.cursor.top >= 0 ? jobAt(chart) : undefined;
  $('tip').hidden = !job;
  if (!job) return;
  const box = chart.over.getBoundingClientRect();
  $('tip').textContent = `${job.id}\n${job.model}\n${WORDS[job.stage]}${job.took !== undefined ? ' · ready after ' + span(job.took) : ''} · ${plural(job.polls || 0, 'poll')}`;
  const left = box.left + chart.cursor.left + 14, tip = $('tip');
  tip.style.left = Math.max(4, Math.min(left, innerWidth - tip.offsetWidth - 8)) + 'px';
  tip.style.top = Math.min(box.top + chart.cursor.top + 14, innerHeight - tip.offsetHeight - 8) + 'px';
}

const MOST_CHARTS = 40;

function drawTimes() {
  if ($('panel-times').hidden) return;
  const models = new Map();
  for (const job of jobs.values()) {
    if (job.took === undefined || job.stage === 'failed') continue;
    if (!models.has(job.model)) models.set(job.model, []);
    models.get(job.model).push(job);
  }
  const boxes = [...models].sort((a, b) => b[1].length - a[1].length).slice(0, MOST_CHARTS).map(([model, ended]) => [model, ended, make('div')]);
  $('times').replaceChildren(...boxes.map(([, , box]) => box), models.size > MOST_CHARTS ? make('p', { class: 'muted' }, `and ${plural(models.size - MOST_CHARTS, 'more model')} with fewer clips`) : '');
  if (!boxes.length) $('times').replaceChildren(make('p', { class: 'nothing' }, 'No clip is ready yet.'));
  for (const [model, ended, box] of boxes) drawModel(model, ended, box);
}

function drawModel(model, ended, box) {
  const took = ended.map((job) => job.took).sort((a, b) => a - b);
  const p50 = quantile(took, 0.5), p90 = quantile(took, 0.9), longest = Math.max(took[took.length - 1], 1e-3);
  const bins = Math.max(8, Math.min(48, Math.ceil(2 * Math.sqrt(took.length)))), width = longest * 1.02 / bins;
  const counts = new Array(bins).fill(0);
  for (const seconds of took) counts[Math.min(bins - 1, Math.floor(seconds / width))]++;
  const most = counts.reduce((a, b) => Math.max(a, b), 1), polled = ended.flatMap((job) => [...(job.poll_ages || []).map(Math.abs), job.took]);
  const polls = ended.reduce((sum, job) => sum + (job.polls || 0), 0) / ended.length;
  box.append(make('h2', {}, model), make('p', { class: 'muted small' }, `${plural(took.length, 'clip')} · half within ${span(p50)}, nine of ten within ${span(p90)} · ${polls.toFixed(1)} polls each`));
  const chart = new uPlot({
    width: box.clientWidth - 20, height: 200, padding: [10, 14, 0, 4], legend: { show: false },
    scales: { x: { time: false, range: [0, longest * 1.04] }, y: { range: [-0.16 * most, 1.1 * most] } },
    axes: [axis({ values: (_, values) => values.map((value) => value + ' s') }), axis({ size: 38, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], values: (_, values) => values.map((value) => (value < 0 ? '' : comma(value))) })],
    series: [{}, { fill: colour('rendering'), stroke: colour('rendering'), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.92, 100], align: 1 }) }],
    cursor: { show: false }, hooks: { draw: [(drawn) => drawPolls(drawn, polled, [p50, p90])] },
  }, [counts.map((_, at) => at * width), counts], box);
  const canvas = chart.root.querySelector('canvas');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `Processing times of ${model}: half within ${span(p50)}, nine of ten within ${span(p90)}`);
}

/* A tick for each poll along the foot of the chart, and the two quantiles as dashed lines. */
function drawPolls(chart, polled, quantiles) {
  const { ctx, bbox } = chart, tall = 12 * devicePixelRatio, foot = bbox.top + bbox.height;
  ctx.save();
  ctx.fillStyle = colour('in_doubt');
  ctx.globalAlpha = Math.max(0.04, Math.min(0.9, 60 / polled.length));
  for (const look of polled) ctx.fillRect(chart.valToPos(look, 'x', true), foot - tall, 1.4 * devicePixelRatio, tall);
  ctx.globalAlpha = 0.8;
  ctx.strokeStyle = colour('ink');
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const value of quantiles) {
    const x = chart.valToPos(value, 'x', true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, foot);
    ctx.stroke();
  }
  ctx.restore();
}
