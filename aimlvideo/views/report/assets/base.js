'use strict';
/* The run, its jobs by id with what is worked out for each, and how things are said. */
const run = JSON.parse(document.getElementById('run').textContent);
const posters = JSON.parse(document.getElementById('posters').textContent);
const STAGES = ['saved', 'ready', 'rendering', 'in_doubt', 'submitting', 'failed', 'planned'];
/* A page from disk does not know whether anybody downloads. */
const WORDS = { saved: 'saved', ready: run.live ? 'downloading' : 'ready', rendering: 'rendering', in_doubt: 'in doubt', submitting: 'submitting', failed: 'failed', planned: 'planned' };
const jobs = new Map();

const $ = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

/* Make an element: texts only ever become text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== 'list' && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

/* Make a table of texts and elements. Every cell has its heading too: on a narrow screen each row is a block of pairs. */
function tableOf(caption, headings, rows, total) {
  const row = (cells) => make('tr', {}, ...cells.map((cell, at) => make('td', { 'data-heading': at ? headings[at] : null, dir: at ? null : 'auto' }, ...[cell].flat())));
  return make('table', {},
    make('caption', { class: 'hidden' }, caption),
    make('thead', {}, make('tr', {}, ...headings.map((name) => make('th', { scope: 'col' }, name)))),
    make('tbody', {}, ...rows.map(row)),
    total ? make('tfoot', {}, row(total)) : '');
}

function takeIn(job) {
  const before = jobs.get(job.id);
  // News of a job do not say again what its earlier submissions cost: a failed one that was charged is not free when it is tried again.
  const replaced = before && before.generation !== job.generation ? before : {};
  // What failed and is the job's again is no earlier one any more; it was free where nothing was charged before.
  const own = job.generation && job.generation === replaced.retry_of ? job : {};
  job.earlier ??= Math.max(0, (before?.earlier || 0) + (replaced.cost || 0) - (own.cost || 0));
  job.earlier_units ??= Math.max(0, (before?.earlier_units || 0) + (replaced.units || 0) - (own.units || 0));
  job.took = job.completed && job.submitted ? Math.max(0, job.completed - job.submitted) : undefined;
  job.last = job.poll_ages && job.poll_ages.length ? Math.abs(job.poll_ages[job.poll_ages.length - 1]) : 0;
  job.text = [job.id, job.prompt, job.model, job.error, job.generation, ...(job.params || []).flat()].join('\n').toLowerCase();
  jobs.set(job.id, job);
}
run.jobs.forEach(takeIn);

/* Seconds spent in the service's queue, as far as it was seen. */
function queued(job) {
  let last = 0, next;
  for (const look of job.poll_ages || []) {
    if (look < 0) last = -look;
    else if (last && next === undefined) next = look;
  }
  return last ? (last + (next ?? job.took ?? last)) / 2 : 0;
}

const comma = (number) => number.toLocaleString('en-US');
const money = (dollars) => '$' + dollars.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: dollars && dollars < 0.1 ? 4 : 2 });
/* What a job cost: in USD, else in the service's own units, else that nobody said. */
const units = (number) => `${number.toLocaleString('en-US', { maximumFractionDigits: 4 })} unit${number === 1 ? '' : 's'}`;
const price = (job, unknown) => job.cost !== undefined ? money(job.cost) : job.units !== undefined ? units(job.units) : job.unsaid ? unknown : undefined;
/* A time span in its two largest units, as the terminal says it. */
function span(seconds) {
  if (seconds === undefined || seconds === null) return '–';
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  const whole = Math.round(seconds);
  if (whole < 60) return whole + ' s';
  if (whole < 600) return Math.floor(whole / 60) + ' min' + (whole % 60 ? ` ${whole % 60} s` : '');
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60);
  if (minutes < 60) return minutes + ' min';
  return comma(hours) + ' h' + (minutes % 60 && hours < 24 ? ` ${minutes % 60} min` : '');
}
const clock = (moment) => moment ? new Date(moment * 1000).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' }) : '–';
const size = (bytes) => bytes >= 999.95e6 ? (bytes / 1e9).toFixed(1) + ' GB' : bytes >= 999.5e3 ? (bytes / 1e6).toFixed(1) + ' MB' : bytes >= 1e3 ? Math.round(bytes / 1e3) + ' kB' : plural(bytes, 'byte');
const plural = (count, thing) => comma(count) + ' ' + thing + (count === 1 ? '' : 's');
const address = (job) => run.clips + encodeURIComponent(job.file);
function quantile(sorted, share) {
  if (!sorted.length) return undefined;
  const at = (sorted.length - 1) * share, low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}
function poster(job) {
  const found = posters[job.file + ':' + (job.bytes || 0)];
  return found ? 'data:image/jpeg;base64,' + found : '';
}
/* Run something once per frame at most, however often it is asked for. */
function calmly(action) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; action(); });
  };
}
