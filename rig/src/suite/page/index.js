'use strict';
const { suite, summary, pages, exit_code } = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const COLOURS = { passed: 'held', xfail: 'expected', skipped: '', unjudged: '' };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const line = (...cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell)));

$('verdict').textContent = exit_code === 0 ? 'passed' : exit_code === 1 ? 'failed' : 'not all was judged';
$('verdict').className = exit_code === 0 ? 'passed' : exit_code === 1 ? 'failed' : 'skipped';
$('title').textContent = summary;
$('not-run').textContent = suite.not_run.length ? `not run: ${suite.not_run.join(', ')}` : '';

suite.scenarios.forEach((ran, at) => {
  const outcome = element('span', { className: `sign ${COLOURS[ran.verdict] ?? 'broken'}`, textContent: ran.verdict });
  const name = pages[at] ? element('a', { href: pages[at], textContent: ran.scenario }) : ran.scenario;
  $('runs').append(line(outcome, name, `${(ran.time_ms / 1000).toFixed(1)} s`, ran.reason ?? ''));
});
