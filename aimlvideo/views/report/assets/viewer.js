/* One clip, large, with all that is known of it. */
let viewed = { ids: [], at: 0 };

function view(id, ids) {
  viewed = { ids, at: ids.indexOf(id) };
  drawViewer();
  if (!$('viewer').open) $('viewer').showModal();
}

function step(by) {
  const at = viewed.at + by;
  if (at < 0 || at >= viewed.ids.length) return;
  viewed.at = at;
  drawViewer();
}

function drawViewer() {
  const job = jobs.get(viewed.ids[viewed.at]);
  const arrow = (label, sign, by) => make('button', { class: 'quiet', type: 'button', 'aria-label': label, disabled: !viewed.ids[viewed.at + by], onclick: () => step(by) }, sign);
  $('viewer').replaceChildren(
    make('div', { class: 'titlebar' },
      make('span', { class: 'dot', style: `background:var(--${job.stage})` }), make('h2', { id: 'viewer-title', dir: 'auto' }, job.id),
      make('span', { class: 'muted small' }, `${comma(viewed.at + 1)} of ${comma(viewed.ids.length)}`),
      arrow('The one before', '‹', -1), arrow('The next one', '›', 1),
      make('button', { class: 'quiet', type: 'button', 'aria-label': 'Close', autofocus: true, onclick: () => $('viewer').close() }, '✕')),
    make('div', { class: 'split' }, make('div', { class: 'film' }, filmOf(job), clipsOf(job)), factsOf(job)));
}

/* The buttons that show one clip after the other, where a generation gave several. */
function clipsOf(job) {
  if ((job.files || []).length < 2) return '';
  const show = (file) => { const film = $('viewer').querySelector('video'); film.removeAttribute('poster'); film.src = run.clips + encodeURIComponent(file); };
  return make('div', { class: 'clips', role: 'group', 'aria-label': 'The clips of this generation' },
    ...job.files.map((file, at) => make('button', { class: 'quiet', type: 'button', title: file, onclick: () => show(file) }, `Clip ${at + 1}`)));
}

function filmOf(job) {
  if (!job.file) return make('div', { class: 'thumb blank ' + job.stage }, make('span', { class: 'blank ' + job.stage }, make('i'), WORDS[job.stage]));
  const film = make('video', { src: address(job), controls: true, loop: true, playsinline: '', preload: 'auto', poster: poster(job) || null, 'aria-label': `The clip ${job.id}` });
  film.autoplay = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  return film;
}

function factsOf(job) {
  const list = (pairs) => make('dl', {}, ...pairs.filter(([, value]) => value !== undefined && value !== '').flatMap(([name, value]) => [make('dt', {}, name), make('dd', { dir: 'auto' }, String(value))]));
  const wait = queued(job), seen = job.took !== undefined && job.last ? `${span(Math.max(0, job.took - job.last))} after the look before` : undefined;
  return make('div', { class: 'facts', tabindex: '0', role: 'group', 'aria-label': 'Facts' },
    job.error ? make('p', { class: 'reason', dir: 'auto' }, job.error, make('b', {}, job.advice || '')) : '',
    job.prompt ? make('p', { class: 'full', dir: 'auto' }, job.prompt) : '',
    list([['Model', job.model], ['Price', price(job, 'unknown')], ['Earlier tries', job.earlier || job.earlier_units ? amount(job.earlier || undefined, job.earlier_units || undefined) : undefined], ['Stage', WORDS[job.stage]]]),
    (job.params || []).length ? make('h3', {}, 'Parameters') : '', list(job.params || []),
    make('h3', {}, 'Times'),
    list([['Accepted', job.submitted ? clock(job.submitted) : 'not yet'], ['In the queue', wait ? 'about ' + span(wait) : undefined], ['Seen ready', job.took !== undefined ? `after ${span(job.took)}` : undefined],
      ['Seen', seen], ['Downloaded', job.saved && job.completed ? `in ${span(Math.max(0, job.saved - job.completed))}` : undefined], ['Polls', job.polls],
      ['The service said', job.status ? `${job.status} (${clock(job.heard)})` : undefined]]),
    make('h3', {}, 'Where'),
    list([['File', (job.files || []).join(', ') || job.file], ['Size', job.bytes ? size(job.bytes) : undefined], ['Generation', job.generation]]));
}

function viewerKeys(event) {
  if (event.target.tagName === 'VIDEO') return;
  if (event.key === 'ArrowRight') step(1);
  else if (event.key === 'ArrowLeft') step(-1);
  else return;
  event.preventDefault();
}
