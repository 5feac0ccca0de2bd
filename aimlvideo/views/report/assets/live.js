/* The board: news from the run as it comes. */
function listen() {
  const pulse = $('pulse'), news = new EventSource(`events?after=${run.seq}`);
  const say = (words, kind = '') => { pulse.hidden = false; pulse.className = 'pulse ' + kind; pulse.textContent = words; };
  say('connecting');
  news.addEventListener('open', () => say('live'));
  news.addEventListener('error', () => say('connection lost, trying again', 'lost'));
  news.addEventListener('jobs', (event) => {
    for (const job of JSON.parse(event.data)) takeIn(job);
    redraw();
  });
  news.addEventListener('outlook', (event) => {
    const { line } = JSON.parse(event.data);
    $('outlook').hidden = !line;
    $('outlook').textContent = line;
  });
  news.addEventListener('reload', () => location.reload());
  news.addEventListener('over', () => { news.close(); say('the run has ended: see report.html', 'over'); $('outlook').hidden = true; redraw(); });
}
if (run.live) listen();
