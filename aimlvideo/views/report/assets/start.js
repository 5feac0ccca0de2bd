/* Tabs, theme, print, and the first drawing. */
const PANELS = { clips: () => layout(), comparison: drawComparison, failures: drawFailures, timeline: drawTimeline, times: drawTimes, prices: drawPrices };
let opened = 'clips';

function openTab(name) {
  opened = name;
  for (const panel of Object.keys(PANELS)) {
    $('panel-' + panel).hidden = panel !== name;
    $('tab-' + panel).setAttribute('aria-selected', String(panel === name));
    $('tab-' + panel).tabIndex = panel === name ? 0 : -1;
  }
  PANELS[name]();
}

function tabKeys(event) {
  const names = Object.keys(PANELS).filter((name) => !$('tab-' + name).hidden), by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const next = names[(names.indexOf(opened) + by + names.length) % names.length];
  openTab(next);
  $('tab-' + next).focus();
}

const THEMES = ['system', 'light', 'dark'], SIGNS = { system: '◐', light: '☀', dark: '☾' };
let theme = 'system';
try { theme = localStorage.getItem('aimlvideo-theme') || 'system'; } catch { /* a page from disk may have no storage */ }
const dark = matchMedia('(prefers-color-scheme: dark)');
function paint() {
  const chosen = theme === 'system' ? (dark.matches ? 'dark' : 'light') : theme;
  document.documentElement.dataset.theme = chosen;
  $('theme').textContent = SIGNS[theme];
  $('theme').setAttribute('aria-label', theme === 'system' ? 'Theme: as the system' : `Theme: ${theme}`);
  if (opened === 'timeline' || opened === 'times') PANELS[opened]();
}

function models() {
  const names = [...new Set([...jobs.values()].map((job) => job.model))].sort(), chosen = $('model').value;
  if (names.length === $('model').options.length - 1) return;
  $('model').replaceChildren(make('option', { value: '' }, 'All models'), ...names.map((name) => make('option', { value: name }, name)));
  $('model').value = chosen;
}

/* Draw again what has changed; the list of filters too. */
const redraw = calmly(() => { models(); drawTotals(); refilter(); offerComparison(); if (opened !== 'clips') PANELS[opened](); });

for (const name of Object.keys(PANELS)) $('tab-' + name).addEventListener('click', () => openTab(name));
document.querySelector('.tabs').addEventListener('keydown', tabKeys);
$('stage').append(...STAGES.map((stage) => make('option', { value: stage }, WORDS[stage])));
$('filters').addEventListener('submit', (event) => event.preventDefault());
$('filters').addEventListener('input', calmly(refilter));
for (const name of ['row-order', 'column-order']) $(name).addEventListener('input', drawComparison);
$('clear').addEventListener('click', () => choose({ word: '', model: '', stage: '' }));
$('cards').addEventListener('keydown', walk);
$('viewer').addEventListener('keydown', viewerKeys);
$('viewer').addEventListener('close', () => $('viewer').replaceChildren());
$('viewer').addEventListener('click', (event) => { if (event.target === $('viewer')) $('viewer').close(); });
$('theme').addEventListener('click', () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % 3];
  try { localStorage.setItem('aimlvideo-theme', theme); } catch { /* as above */ }
  paint();
});
dark.addEventListener('change', paint);
addEventListener('scroll', calmly(place), { passive: true });
addEventListener('resize', calmly(() => PANELS[opened]()));
addEventListener('beforeprint', () => {
  document.documentElement.dataset.theme = 'light';
  document.body.classList.add('printing');
  for (const panel of Object.keys(PANELS)) $('panel-' + panel).hidden = $('tab-' + panel).hidden;
  fill(0, 200);
  for (const draw of [drawComparison, drawFailures, drawTimeline, drawTimes, drawPrices]) draw();
});
addEventListener('afterprint', () => { document.body.classList.remove('printing'); rows.first = -1; paint(); openTab(opened); });

paint();
models();
drawTotals();
refilter();
offerComparison();
