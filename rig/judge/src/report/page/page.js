'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const { verdict, scene, steps, histograms, breaches } = data;
const COLOURS = { SHUTDOWN: '#8a63c9', CPU_INSTALL: '#2f7ed8', CPU_INIT: '#1aa179', RUN_UPDATE: '#e0982f', DONE: '#98a2b3' };
const $ = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/* ---- times ---- */

const [FIRST, LAST] = scene.span_ns;

function duration(ns) {
  if (!scene.guest_time) return `${Math.round(ns / 1000)} events`;
  const [unit, size] = ns < 1e3 ? ['ns', 1] : ns < 1e6 ? ['µs', 1e3] : ns < 1e9 ? ['ms', 1e6] : ['s', 1e9];
  const value = ns / size;
  return `${value >= 100 || unit === 'ns' ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)} ${unit}`;
}

/* Enough digits to tell neighbouring marks apart. */
function instant(ns, step_ns) {
  if (!scene.guest_time) return `event ${Math.round(ns / 1000)}`;
  const digits = Math.max(0, Math.min(9, Math.ceil(9 - Math.log10(Math.max(1, step_ns)))));
  return `${(ns / 1e9).toFixed(digits)} s`;
}

/* ---- header and tables ---- */

function showHeader() {
  const { word, what } = data.headline;
  $('verdict').textContent = word;
  $('verdict').className = verdict.verdict;
  $('title').textContent = verdict.scenario ? `${verdict.scenario}: ${what}` : what;
  $('reason').textContent = verdict.remedy ? `Remedy: ${verdict.remedy}` : '';
  document.title = `${word}: ${verdict.scenario || 'TDX module update'}`;
  const times = verdict.timing_ms;
  const seconds = (ms) => (ms ? [`${(ms / 1000).toFixed(2)} s`] : []);
  const facts = data.facts.concat([
    [verdict.start.from === 'snapshot' ? 'restore' : 'boot', seconds(times.boot)],
    ['all updates', seconds(times.update)],
    ['total', seconds(times.total)],
    ['events', [verdict.events.toLocaleString('en')]],
  ]);
  for (const [name, lines] of facts.filter(([, lines]) => lines.length)) {
    const values = lines.map((line) => element('div', { textContent: line }));
    $('facts').append(element('div', {}, element('dt', { textContent: name }), element('dd', {}, ...values)));
  }
}

function showInvariants() {
  const signs = { held: '✓', broken: '✗', 'not-applicable': '–' };
  for (const [name, standing] of Object.entries(verdict.invariants)) {
    const shown = data.expected.includes(name) ? 'expected' : standing;
    const note = standing === 'not-applicable' ? `not judged: ${data.notes[name]}` : data.notes[name];
    const row = element('tr', { className: standing },
      element('td', { className: `sign ${shown}`, textContent: signs[standing] }),
      element('td', { textContent: name }),
      element('td', { textContent: note }));
    row.dataset.invariant = name;
    $('invariants').tBodies[0].append(row);
  }
  $('ended').textContent = data.ended || '';
}

function showBreaches() {
  for (const breach of verdict.breaches) {
    const cpus = breach.lps.length ? `CPU ${breach.lps.join(', ')}` : '';
    const where = [cpus, breach.step && `step ${breach.step}`, breach.update && `update ${breach.update}`].filter(Boolean).join(', ');
    const events = element('table', { className: 'events' }, element('tbody', {}, ...breach.events.map(cited)));
    const box = element('div', { className: 'breach' },
      element('p', {}, element('strong', { textContent: `${breach.invariant} is broken` }), where && ` (${where})`,
        data.expected.includes(breach.invariant) ? ', as the scenario expects' : ''),
      element('p', { textContent: `Seen: ${breach.seen}` }),
      element('p', { textContent: `Expected: ${breach.expected}` }),
      events);
    box.dataset.invariant = breach.invariant;
    $('breaches').append(box);
  }
}

function showDiagnosis() {
  const found = verdict.diagnosis;
  if (!found) return;
  const rows = found.cpus.map((cpu) => element('tr', {},
    element('td', { textContent: `CPU ${cpu.lp}` }),
    element('td', {}, cpu.position, element('div', { className: 'stack', textContent: cpu.stack.join('\n') }))));
  const tasks = (found.tasks ?? []).map((task) => element('tr', {},
    element('td', { textContent: `task ${task.id}` }),
    element('td', {}, `${task.name} is blocked`, element('div', { className: 'stack', textContent: task.stack.join('\n') }))));
  const box = element('div', { className: 'diagnosis' },
    element('h2', { textContent: 'Where it hangs' }),
    element('p', { textContent: found.summary }),
    element('table', {}, element('tbody', {}, ...rows, ...tasks)),
    element('div', { className: 'stack', textContent: `firmware: ${found.firmware.trim()}` }));
  $('breaches').append(box);
}

function cited(event) {
  const at_ns = scene.guest_time ? event.guest_ns : event.seq * 1000;
  const row = element('tr', { title: 'show it in the timeline' },
    element('td', { className: 'n', textContent: `#${event.seq}` }),
    element('td', { className: 'n', textContent: instant(at_ns, 1e3) }),
    element('td', { textContent: event.lp === null ? '' : `CPU ${event.lp}` }),
    element('td', { textContent: event.what }));
  row.addEventListener('click', () => lookAt(at_ns));
  return row;
}

function showWaits() {
  const slowest = Math.max(1, ...verdict.statistics.steps.map((s) => s.waited_ns));
  const shown = verdict.statistics.steps.slice(0, 200);
  const add = (update, name, took_ns, ...cells) => $('waits').tBodies[0].append(element('tr', {},
    element('td', { textContent: update }),
    element('td', { textContent: name }),
    element('td', { className: 'n', textContent: duration(took_ns) }), ...cells));
  let update = 0;
  for (const step of shown) {
    const figures = step.update !== update && verdict.statistics.updates.find((u) => u.update === step.update);
    if (figures && figures.gathering) {
      add(step.update, 'gathering (stop_machine)', figures.gathering.took_ns, element('td'), element('td', { textContent: 'until the first CPU enters the update' }));
    }
    update = step.update;
    const meter = element('span', { className: 'meter' });
    meter.style.width = `${(160 * step.waited_ns) / slowest}px`;
    meter.style.background = COLOURS[step.step];
    add(step.update, step.step, step.took_ns,
      element('td', { textContent: `CPU ${step.slowest_lp}` }),
      element('td', {}, meter, duration(step.waited_ns)));
  }
  if (!shown.length) $('waits').tBodies[0].append(element('tr', {}, element('td', { colSpan: 5, textContent: 'no step was timed' })));
}

function showHistograms() {
  const svg = (tag, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  for (const { kind, name, buckets } of histograms) {
    const place = (ns) => (ns < 2 ? 0 : 2 * Math.floor(Math.log2(ns)) + (ns >= 1.5 * 2 ** Math.floor(Math.log2(ns)) ? 1 : 0));
    const lowest = place(buckets[0][0]);
    const used = place(buckets.at(-1)[0]) - lowest + 1;
    const width = Math.max(16, used);
    const first = lowest - Math.floor((width - used) / 2);
    const most = Math.max(...buckets.map(([, n]) => n));
    const total = buckets.reduce((sum, [, n]) => sum + n, 0);
    const picture = svg('svg', { viewBox: `0 0 ${width * 10} 64`, preserveAspectRatio: 'none', role: 'img' });
    for (const [ns, n] of buckets) {
      const height = Math.max(1.5, (60 * n) / most);
      const bar = svg('rect', { x: (place(ns) - first) * 10 + 1, y: 64 - height, width: 8, height, fill: COLOURS[name] || '#5b7fa6' });
      const text = svg('title', {});
      text.textContent = `${n} took ${duration(ns)} or a little more`;
      bar.append(text);
      picture.append(bar);
    }
    const above = lowest + used;
    const top = 2 ** Math.floor(above / 2) * (above % 2 ? 1.5 : 1);
    const times = total === 1 ? 'once' : `${total.toLocaleString('en')} times`;
    const figure = element('figure', {},
      element('figcaption', {}, `${kind === 'step' ? 'step ' : ''}${name}`, element('span', { textContent: times })),
      picture,
      element('div', { className: 'axis' }, `${duration(buckets[0][0])} to ${duration(top)}`));
    figure.dataset[kind] = name;
    $('histograms').append(figure);
  }
}

function showConsole() {
  const matters = (line) => line.is_report || /tdx|seamldr|seamcall/i.test(line.text);
  for (const line of scene.console) {
    const item = element('li', { textContent: line.text, className: line.is_report ? 'report' : '' });
    item.classList.toggle('minor', !matters(line));
    item.addEventListener('click', () => lookAt(line.at_ns));
    $('console').append(item);
  }
  const some = scene.console.some(matters);
  $('console').classList.toggle('filtered', some);
  const button = element('button', { type: 'button' });
  const name = () => { button.textContent = $('console').classList.contains('filtered') ? 'show all lines' : 'show lines about TDX and warnings'; };
  button.addEventListener('click', () => { $('console').classList.toggle('filtered'); name(); markConsole(); });
  name();
  if (some) $('console-views').append(button);
  if (!scene.console.length) $('console').append(element('li', { textContent: 'no line was recorded' }));
}

/* ---- the lanes ---- */

const canvas = $('canvas');
const pen = canvas.getContext('2d');
const GUTTER = 58;
const AXIS = 24;
const count = scene.lanes.length;
const laneHeight = Math.max(5, Math.min(34, Math.floor(640 / Math.max(1, count))));
const view = { begin: FIRST, end: Math.max(LAST, FIRST + 1) };
let pointer = null;
let drawn = 0;

/* light-dark() is resolved by an element that uses it. */
const probe = element('span', { hidden: true });
document.body.append(probe);
function resolved(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  const height = AXIS + count * laneHeight + 6;
  const width = $('lanes').clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw();
}

const plotWidth = () => canvas.clientWidth - GUTTER;
const toX = (ns) => GUTTER + ((ns - view.begin) / (view.end - view.begin)) * plotWidth();
const toTime = (x) => view.begin + ((x - GUTTER) / plotWidth()) * (view.end - view.begin);
const laneTop = (lp) => AXIS + lp * laneHeight;

function draw() {
  const ink = { text: resolved('--ink'), faint: resolved('--faint'), line: resolved('--line'), bad: resolved('--bad'), panel: resolved('--panel') };
  drawn = 0;
  pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  pen.font = '11px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, 0, plotWidth(), canvas.clientHeight);
  pen.clip();
  drawAxis(ink);
  for (const lane of scene.lanes) drawLane(lane, ink);
  drawHandovers(ink);
  drawBreaches(ink);
  if (pointer && pointer.x > GUTTER) drawPointer(ink);
  pen.restore();
  drawGutter(ink);
  Object.assign(canvas.dataset, { slices: drawn, begin: Math.round(view.begin), end: Math.round(view.end) });
}

function drawAxis(ink) {
  const target = ((view.end - view.begin) / plotWidth()) * 110;
  const power = 10 ** Math.floor(Math.log10(target));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= target);
  pen.fillStyle = ink.faint;
  pen.strokeStyle = ink.line;
  pen.lineWidth = 1;
  for (let ns = Math.ceil(view.begin / step) * step; ns <= view.end; ns += step) {
    const x = Math.round(toX(ns)) + 0.5;
    pen.beginPath();
    pen.moveTo(x, AXIS - 4);
    pen.lineTo(x, canvas.clientHeight);
    pen.stroke();
    pen.fillText(instant(ns, step), x + 3, AXIS / 2);
  }
}

function drawGutter(ink) {
  pen.fillStyle = ink.text;
  pen.textAlign = 'right';
  const every = Math.max(1, 2 ** Math.ceil(Math.log2(13 / laneHeight)));
  for (const lane of scene.lanes) {
    if (lane.lp % every === 0) pen.fillText(`CPU ${lane.lp}`, GUTTER - 8, laneTop(lane.lp) + laneHeight / 2);
  }
  pen.textAlign = 'left';
}

/* Visible part of a slice, at least a pixel wide; none when it is outside. */
function extent(begin, end) {
  if (end < view.begin || begin > view.end) return null;
  const x = Math.max(GUTTER - 2, toX(begin));
  return [x, Math.max(1, Math.min(canvas.clientWidth + 2, toX(end)) - x)];
}

function drawLane(lane, ink) {
  const top = laneTop(lane.lp) + 1;
  const height = laneHeight - (laneHeight > 8 ? 3 : 1);
  for (const slice of lane.steps) {
    const whole = extent(slice.begin_ns, slice.end_ns);
    if (!whole) continue;
    drawn += 1;
    pen.fillStyle = COLOURS[slice.step];
    pen.globalAlpha = 0.22;
    pen.fillRect(whole[0], top, whole[1], height);
    pen.globalAlpha = 0.6;
    const work = extent(slice.begin_ns, slice.acked_ns ?? slice.end_ns);
    if (work) pen.fillRect(work[0], top, work[1], height);
    pen.globalAlpha = 1;
    if (whole[1] > 86 && laneHeight > 14 && slice.step !== 'DONE') {
      pen.fillStyle = ink.text;
      pen.fillText(slice.step, Math.max(whole[0], GUTTER) + 4, top + height * 0.32);
    }
  }
  drawCalls(lane, top, height, ink);
}

function drawCalls(lane, top, height, ink) {
  const thick = Math.max(2, Math.round(height * 0.38));
  let last = -1;
  for (const call of lane.calls) {
    const at = extent(call.begin_ns, call.end_ns ?? LAST);
    if (!at || (at[0] + at[1] < last + 0.5 && !call.status)) continue;
    last = at[0] + at[1];
    pen.fillStyle = call.status || call.end_ns === null ? ink.bad : callColour(call.leaf);
    pen.fillRect(at[0], top + height - thick, at[1], thick);
    if (at[1] > 64 && thick > 10) {
      pen.fillStyle = '#fff';
      pen.fillText(call.leaf, Math.max(at[0], GUTTER) + 4, top + height - thick / 2);
    }
  }
}

function callColour(leaf) {
  const step = { 'SYS.SHUTDOWN': 'SHUTDOWN', INSTALL: 'CPU_INSTALL', 'SYS.INIT': 'CPU_INIT', 'SYS.LP.INIT': 'CPU_INIT', 'SYS.UPDATE': 'RUN_UPDATE' }[leaf];
  return step ? COLOURS[step] : '#6b7a90';
}

/* From the last acknowledgement to each CPU's next step. */
function drawHandovers(ink) {
  pen.strokeStyle = ink.text;
  pen.lineWidth = 1;
  for (const handover of scene.handovers) {
    const x = toX(handover.from_ns);
    if (x < GUTTER || x > canvas.clientWidth || (view.end - view.begin) > 200 * handoverSpread(handover)) continue;
    const y = laneTop(handover.from_lp) + laneHeight / 2;
    pen.globalAlpha = count > 32 ? 0.12 : 0.3;
    for (const [lp, ns] of handover.to) {
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(toX(ns), laneTop(lp) + laneHeight / 2);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.fillStyle = ink.text;
    pen.beginPath();
    pen.arc(x, y, Math.min(4, laneHeight / 2), 0, 7);
    pen.fill();
  }
}

function handoverSpread(handover) {
  return Math.max(1, ...handover.to.map(([, ns]) => ns - handover.from_ns));
}

function drawBreaches(ink) {
  pen.fillStyle = ink.bad;
  pen.strokeStyle = ink.bad;
  for (const mark of breaches) {
    const x = toX(mark.at_ns);
    if (x < GUTTER || x > canvas.clientWidth) continue;
    pen.lineWidth = 1;
    pen.globalAlpha = 0.45;
    pen.beginPath();
    pen.moveTo(x, AXIS - 6);
    pen.lineTo(x, canvas.clientHeight);
    pen.stroke();
    pen.globalAlpha = 1;
    const y = mark.lp === null ? AXIS - 6 : laneTop(mark.lp) + laneHeight / 2;
    pen.beginPath();
    pen.moveTo(x, y - 7);
    pen.lineTo(x + 7, y);
    pen.lineTo(x, y + 7);
    pen.lineTo(x - 7, y);
    pen.fill();
  }
}

function drawPointer(ink) {
  pen.strokeStyle = ink.faint;
  pen.beginPath();
  pen.moveTo(pointer.x + 0.5, AXIS - 4);
  pen.lineTo(pointer.x + 0.5, canvas.clientHeight);
  pen.stroke();
}

function markConsole() {
  const list = $('console');
  scene.console.forEach((line, i) => list.children[i].classList.toggle('in', line.at_ns >= view.begin && line.at_ns <= view.end));
  const filtered = list.classList.contains('filtered');
  const shown = [...list.children].filter((item) => !filtered || !item.classList.contains('minor'));
  const next = shown.find((item) => scene.console.length && scene.console[[...list.children].indexOf(item)].at_ns >= view.begin) || shown.at(-1);
  if (next) list.scrollTop = next.offsetTop - list.offsetTop - list.clientHeight / 3;
}

/* ---- moving about ---- */

function show(begin, end) {
  const least = scene.guest_time ? 200 : 2000;
  const length = Math.max(least, Math.min(end - begin, LAST - FIRST || 1));
  const margin = (LAST - FIRST) * 0.02;
  view.begin = Math.max(FIRST - margin, Math.min(begin, LAST + margin - length));
  view.end = view.begin + length;
  draw();
  markConsole();
}

function showAll() {
  show(FIRST, LAST);
}

function lookAt(ns) {
  const half = Math.min(view.end - view.begin, (LAST - FIRST) / 20) / 2;
  show(ns - half, ns + half);
  canvas.scrollIntoView({ block: 'nearest' });
}

function zoom(factor, at) {
  show(at - (at - view.begin) * factor, at + (view.end - at) * factor);
}

function showViews() {
  const button = (text, action) => {
    const made = element('button', { type: 'button', textContent: text });
    made.addEventListener('click', action);
    $('views').append(made);
  };
  button('everything', showAll);
  for (const span of scene.updates.slice(0, 12)) button(`update ${span.update}`, () => showUpdate(span));
  for (const name of new Set(breaches.map((b) => b.invariant))) button(`breach: ${name}`, () => showBreach(name));
  for (const step of steps) {
    const patch = element('i');
    patch.style.background = COLOURS[step];
    $('legend').append(element('span', {}, patch, step));
  }
  const legend = [
    ['wait', 'pale: waits for the others'],
    ['call', 'bar: SEAMCALL'],
    ['call bad', 'failed, or never returned'],
    ['dot', 'the last CPU acknowledges, and the state advances'],
    ['line', 'to the CPU that sees it'],
    ['diamond', 'event of a breach'],
  ];
  for (const [kind, text] of legend) $('legend').append(element('span', {}, element('i', { className: kind }), text));
  if (scene.calls_left_out) $('left-out').textContent = `${scene.calls_left_out.toLocaleString('en')} SEAMCALLs outside updates are not drawn.`;
}

function showUpdate(span) {
  const margin = (span.end_ns - span.begin_ns) * 0.03;
  show(span.begin_ns - margin, span.end_ns + margin);
}

/* The update in which a moment lies, else the last one before it. */
function updateAt(ns) {
  return scene.updates.findLast((u) => u.begin_ns <= ns) || scene.updates[0] || { begin_ns: FIRST, end_ns: LAST };
}

/* The events that show a breach, near enough to tell them apart; what led to them takes up more room than what follows. */
function showBreach(invariant) {
  const times = breaches.filter((b) => b.invariant === invariant).map((b) => b.at_ns);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const update = updateAt(first);
  const least = scene.guest_time ? 5000 : 20000;
  const length = Math.max(least, Math.min(5 * (last - first), 1.06 * (update.end_ns - update.begin_ns)));
  const middle = (first + last) / 2;
  show(middle - length * 0.6, middle + length * 0.4);
}

/* A hang: from the update's begin until the last CPU did something, without the long time in which none did. */
function showStandstill() {
  const update = scene.updates.at(-1);
  const within = (ns) => ns !== null && ns >= update.begin_ns;
  const moments = scene.lanes.flatMap((lane) => [
    ...lane.steps.flatMap((s) => [s.begin_ns, s.acked_ns]), ...lane.calls.flatMap((c) => [c.begin_ns, c.end_ns])]);
  const last = moments.filter(within).reduce((a, b) => Math.max(a, b), update.begin_ns);
  const length = Math.max(1000, last - update.begin_ns);
  show(update.begin_ns - length * 0.03, last + length * 0.15);
}

function showFirst() {
  const isHung = verdict.diagnosis || [verdict.verdict, verdict.came_to].includes('hung');
  const told = breaches.find((b) => b.invariant !== 'progress') || breaches[0];
  if (isHung && scene.updates.length && (!told || told.invariant === 'progress')) showStandstill();
  else if (told) showBreach(told.invariant);
  else if (scene.updates.length) showUpdate(scene.updates.at(firstFailed()));
}

/* The place of the first update that did not succeed, else of the first one. */
function firstFailed() {
  const failed = verdict.statistics.updates.findIndex((u) => u.failed_call);
  return failed >= 0 && failed < scene.updates.length ? failed : 0;
}

function listen() {
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoom(1.0015 ** event.deltaY, toTime(event.offsetX));
  }, { passive: false });
  let drag = null;
  canvas.addEventListener('pointerdown', (event) => {
    drag = { x: event.offsetX, begin: view.begin, end: view.end };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointerup', () => { drag = null; });
  canvas.addEventListener('pointermove', (event) => {
    pointer = { x: event.offsetX, y: event.offsetY };
    if (drag) {
      const by = ((drag.x - event.offsetX) / plotWidth()) * (drag.end - drag.begin);
      show(drag.begin + by, drag.end + by);
    } else {
      draw();
    }
    tell(event);
  });
  canvas.addEventListener('pointerleave', () => { pointer = null; $('tip').hidden = true; draw(); });
  canvas.addEventListener('dblclick', showAll);
  canvas.addEventListener('keydown', (event) => {
    const length = view.end - view.begin;
    const middle = view.begin + length / 2;
    const keys = {
      '+': () => zoom(0.7, middle), '=': () => zoom(0.7, middle), '-': () => zoom(1.4, middle),
      ArrowLeft: () => show(view.begin - length / 8, view.end - length / 8),
      ArrowRight: () => show(view.begin + length / 8, view.end + length / 8),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  window.addEventListener('resize', resize);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

/* What is under the pointer, in words. */
function under(x, y) {
  const ns = toTime(x);
  const slack = ((view.end - view.begin) / plotWidth()) * 2;
  const near = breaches.filter((b) => Math.abs(toX(b.at_ns) - x) < 7 && (b.lp === null || Math.abs(laneTop(b.lp) + laneHeight / 2 - y) < Math.max(8, laneHeight)));
  const lane = scene.lanes[Math.floor((y - AXIS) / laneHeight)];
  const lines = near.map((b) => b.what);
  if (lane) {
    lines.push(`CPU ${lane.lp}, ${instant(ns, view.end - view.begin)}`);
    const step = lane.steps.findLast((s) => s.begin_ns <= ns && s.end_ns >= ns);
    if (step) {
      lines.push(`update ${step.update}, step ${step.step}: ${duration(step.end_ns - step.begin_ns)}`);
      if (step.acked_ns !== null) lines.push(`acknowledged after ${duration(step.acked_ns - step.begin_ns)}, then waits ${duration(step.end_ns - step.acked_ns)}`);
    }
    const call = lane.calls.findLast((c) => c.begin_ns <= ns + slack && (c.end_ns ?? LAST) >= ns - slack);
    if (call) {
      const took = call.end_ns === null ? 'never returned' : duration(call.end_ns - call.begin_ns);
      lines.push(`${call.leaf}: ${took}${call.status ? `, ${call.status}` : ''}${call.interrupts ? ', interrupts enabled' : ''}`);
    }
    const moment = scene.moments.filter((m) => (m.lp === null || m.lp === lane.lp) && Math.abs(toX(m.at_ns) - x) < 4);
    lines.push(...moment.slice(0, 4).map((m) => m.what));
  }
  return lines.join('\n');
}

function tell(event) {
  const text = under(event.offsetX, event.offsetY);
  const tip = $('tip');
  tip.hidden = !text || event.offsetX < GUTTER;
  tip.textContent = text;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8)}px`;
}

showHeader();
showInvariants();
showBreaches();
showDiagnosis();
showWaits();
showHistograms();
showConsole();
showViews();
listen();
resize();
showFirst();
document.body.dataset.ready = 'yes';
