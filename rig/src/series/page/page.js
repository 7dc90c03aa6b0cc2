'use strict';
const { report, summary, exit_code, rows } = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const COLOURS = { better: 'held', worse: 'broken', same: '' };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const line = (...cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, ...[cell].flat())));
const broken = (list) => list.map(([words, page]) => element('div', {}, page ? element('a', { href: page, textContent: words }) : words));

$('verdict').textContent = exit_code === 0 ? 'no patch is worse' : exit_code === 1 ? 'a patch is worse' : 'not all were judged';
$('verdict').className = exit_code === 0 ? 'passed' : exit_code === 1 ? 'failed' : 'skipped';
$('title').textContent = summary;
$('left-out').textContent = report.left_out.join(' ');

report.rows.forEach((row, at) => {
  const standing = element('span', { className: `sign ${COLOURS[row.standing] ?? 'expected'}`, textContent: rows[at].standing });
  const title = row.commit ? `${row.commit.slice(0, 12)} ${row.title}` : row.title;
  $('patches').append(line(String(row.number), title, standing, broken(rows[at].differences), row.reason ?? ''));
});

const states = [{ name: 'base', results: report.base_results }, ...report.rows.map((row) => ({ name: String(row.number), results: row.results }))];
$('columns').append(element('tr', {}, element('th', { textContent: 'scenario' }), ...states.map(({ name }) => element('th', { textContent: name }))));
for (const { scenario } of report.base_results) {
  const outcome = ({ results }) => results.find((one) => one.scenario === scenario)?.outcome ?? '–';
  $('scenarios').append(line(scenario, ...states.map(outcome)));
}
