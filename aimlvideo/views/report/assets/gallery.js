/* The gallery: filters, order, and a list of which only the rows in sight exist. */
const GAP = 16;
let shown = [];
const rows = { first: -1, last: -1, columns: 0, height: 0 };
const cards = new Map();

const keys = {
  sent: (job) => job.submitted, took: (job) => job.took, cost: (job) => job.cost ?? job.units,
  id: (job) => job.id, stage: (job) => STAGES.indexOf(job.stage),
};

function choose(wanted) {
  for (const [name, value] of Object.entries(wanted)) $(name).value = value;
  refilter();
  if ($('panel-clips').hidden) openTab('clips');
}

function refilter() {
  const words = $('word').value.toLowerCase().split(/\s+/).filter(Boolean);
  const model = $('model').value, stage = $('stage').value, order = $('order').value;
  const down = order.startsWith('-'), key = keys[order.replace('-', '')];
  shown = [...jobs.values()].filter((job) => (!model || job.model === model) && (!stage || job.stage === stage) && words.every((word) => job.text.includes(word)));
  const rank = (a, b) => {
    const x = key(a), y = key(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  };
  shown.sort(rank);
  $('shown').textContent = shown.length === jobs.size ? plural(jobs.size, 'job') : `${comma(shown.length)} of ${comma(jobs.size)}`;
  $('nothing').hidden = shown.length > 0;
  for (const chip of $('legend').children) chip.setAttribute('aria-pressed', String(stage !== '' && chip.textContent.startsWith(WORDS[stage] + ' ')));
  rows.first = -1;
  layout();
}

function layout() {
  const width = $('gallery').clientWidth;
  if (!width) return;
  const least = width < 560 ? 160 : 270;
  const columns = Math.max(width < 560 ? 1 : 2, Math.floor((width + GAP) / (least + GAP)));
  const across = Math.min(columns, Math.max(shown.length, width < 560 ? 1 : 3));
  const cell = (width - GAP * (across - 1)) / across;
  const thumb = Math.round(Math.min(cell * 0.5625, 420)), height = thumb + 118;
  if (columns !== rows.columns || height !== rows.height) rows.first = -1;
  Object.assign(rows, { columns: across, height });
  const list = $('cards');
  list.style.setProperty('--columns', across);
  list.style.setProperty('--row', height + 'px');
  list.style.setProperty('--thumb', thumb + 'px');
  $('gallery').style.height = Math.max(0, Math.ceil(shown.length / across) * (height + GAP) - GAP) + 'px';
  place();
}

/* Put the rows in sight, and a few around them, into the list; keep the cards that stay. */
function place() {
  if ($('panel-clips').hidden || document.body.classList.contains('printing')) return;
  const top = -$('gallery').getBoundingClientRect().top, step = rows.height + GAP;
  const first = Math.max(0, Math.floor(top / step) - 2);
  const last = Math.ceil((top + innerHeight) / step) + 2;
  if (first === rows.first && last === rows.last) return;
  Object.assign(rows, { first, last });
  fill(first * rows.columns, last * rows.columns);
  $('cards').style.transform = `translateY(${first * step}px)`;
}

function fill(from, to) {
  const wanted = shown.slice(from, to), focused = document.activeElement?.closest?.('.card')?.dataset.id;
  const staying = new Set(wanted.map((job) => job.id));
  for (const [id, card] of cards) if (!staying.has(id) || card.job !== jobs.get(id)) cards.delete(id);
  $('cards').replaceChildren(...wanted.map((job, at) => {
    if (!cards.has(job.id)) cards.set(job.id, cardOf(job));
    const card = cards.get(job.id);
    card.setAttribute('aria-posinset', from + at + 1);
    card.setAttribute('aria-setsize', shown.length);
    return card;
  }));
  if (focused) cards.get(focused)?.querySelector('.thumb').focus({ preventScroll: true });
}

function cardOf(job) {
  const thumb = make('button', { class: 'thumb', type: 'button', 'aria-label': `${job.file ? 'Play' : 'Show'} ${job.id}, ${WORDS[job.stage]}`, onclick: () => view(job.id, shown.map((one) => one.id)) }, ...pictureOf(job));
  if (job.file) {
    thumb.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') preview(thumb, job); });
    thumb.addEventListener('pointerleave', () => endPreview(thumb));
  }
  const facts = [job.took !== undefined ? span(job.took) : '', price(job, 'price unknown'), (job.files || []).length > 1 ? plural(job.files.length, 'clip') : '', job.status, job.model].filter(Boolean);
  const item = make('li', { class: 'card' }, thumb, make('div', { class: 'words' },
    make('header', {}, make('span', { class: 'dot', style: `background:var(--${job.stage})`, title: WORDS[job.stage] }), make('h2', { dir: 'auto', title: job.id }, job.id)),
    make('p', { class: 'prompt' + (job.error ? ' bad' : ''), dir: 'auto' }, job.error || (job.prompt || '').slice(0, 400)),
    make('p', { class: 'line', title: job.model }, facts.join(' · '))));
  item.dataset.id = job.id;
  item.job = job;
  return item;
}

/* A clip that was deleted or moved, or was saved into an object store: a black picture says nothing. */
const sayGone = (event) => event.target.replaceWith(make('span', { class: 'blank planned' }, make('i'), 'its file is not here'));

function pictureOf(job) {
  if (!job.file) return [make('span', { class: 'blank ' + job.stage }, make('i'), WORDS[job.stage])];
  const picture = poster(job), length = (job.params || []).find(([name]) => name === 'duration');
  const label = length ? make('span', { class: 'length' }, length[1] + ' s') : '';
  if (picture) return [make('img', { class: 'blur', src: picture, alt: '' }), make('img', { src: picture, alt: '', decoding: 'async' }), label];
  return [make('video', { src: address(job) + '#t=0.1', muted: true, preload: 'metadata', playsinline: '', tabindex: '-1', 'aria-hidden': 'true', onerror: sayGone }), label];
}

/* Under the mouse, a few frames of the clip, one after the other: what is in it, without playing nine of ten seconds. */
const FRAMES = 6, FRAME_TIME = 700;

function preview(thumb, job) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches || thumb.querySelector('video.frames')) return;
  const clip = make('video', { class: 'frames', src: address(job), preload: 'auto', playsinline: '', tabindex: '-1', 'aria-hidden': 'true' });
  clip.muted = true;
  let frame = 0;
  const show = () => {
    const length = Number.isFinite(clip.duration) ? clip.duration : 1;
    clip.currentTime = length * (frame + 0.5) / FRAMES;
    thumb.style.setProperty('--frame', frame);
    frame = (frame + 1) % FRAMES;
  };
  clip.addEventListener('loadedmetadata', show, { once: true });
  // The time of a frame begins when it is there: from a slow disk they come later, and none is left out.
  clip.addEventListener('seeked', () => { clip.timer = setTimeout(show, FRAME_TIME); });
  clip.addEventListener('error', () => endPreview(thumb));
  thumb.classList.add('stepping');
  thumb.append(clip);
}
function endPreview(thumb) {
  const clip = thumb.querySelector('video.frames');
  if (!clip) return;
  thumb.classList.remove('stepping');
  clearTimeout(clip.timer);
  clip.remove();
  clip.removeAttribute('src');
  clip.load();
}

/* Arrow keys walk over the cards, also to those that are not there yet. */
function walk(event) {
  const card = event.target.closest?.('.card');
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: rows.columns, ArrowUp: -rows.columns, Home: -Infinity, End: Infinity };
  if (!card || !(event.key in steps)) return;
  const at = shown.findIndex((job) => job.id === card.dataset.id);
  const to = Math.min(Math.max(at + steps[event.key], 0), shown.length - 1);
  event.preventDefault();
  const step = rows.height + GAP, y = Math.floor(to / rows.columns) * step;
  const top = $('gallery').getBoundingClientRect().top + scrollY + y;
  if (top < scrollY + 90) scrollTo({ top: top - 90 });
  else if (top + step > scrollY + innerHeight) scrollTo({ top: top + step - innerHeight });
  place();
  cards.get(shown[to].id)?.querySelector('.thumb').focus({ preventScroll: true });
}
