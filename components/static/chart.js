// Line chart over steps, tokens or time, rendered as SVG from `props.value`.
//
// value: {title, series: [{name, color, dashed, points: [[step, tokens, seconds, value], ...]}], zoomed, empty}
// zoomed: whether the points are those of a zoom only, which another chart of the same steps may have set.
// Events: zoomed {low, high} in steps (null: all), picked {step}.
// The view (axes, smoothing, zoom, hidden curves) stays when new points arrive.

const NS = 'http://www.w3.org/2000/svg';
const AXES = {step: 0, tokens: 1, seconds: 2};
const view = {axis: 'step', logX: false, logY: false, smooth: 0, zoom: null, hidden: new Set(), cursor: null};
const at = selector => element.querySelector(selector);
const isZoomed = () => Boolean(view.zoom || (props.value || {}).zoomed);
const createSvg = (name, attributes, text) => {
  const created = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  if (text !== undefined) created.textContent = text;
  return created;
};

// A tick's number with all digits that it has, which are few because ticks are round.
function formatNumber(value) {
  const size = Math.abs(value), digits = v => +v.toPrecision(12);
  if (size >= 1e6) return digits(value / 1e6) + 'M';
  if (size >= 1e4) return digits(value / 1e3) + 'k';
  return size >= 0.01 || value === 0 ? String(digits(value)) : digits(value).toExponential();
}

// A duration in its largest unit; with more digits, also in the smaller ones.
function formatDuration(seconds, more = 0) {
  const s = more ? +seconds.toFixed(more - 1) : Math.round(seconds);
  const hours = Math.floor(s / 3600), minutes = Math.floor(s % 3600 / 60), rest = +(s % 60).toFixed(Math.max(0, more - 1));
  if (s < 60) return rest + ' s';
  const text = hours ? `${hours} h ${String(minutes).padStart(2, '0')}` : `${minutes} min`;
  return more ? `${text}${hours ? ' min' : ''} ${rest} s` : text;
}

// Labels of ticks: as short as they can be while no two are the same.
function labels(values, format) {
  for (let more = 0; more < 12; more++) {
    const texts = values.map(value => format(value, more));
    if (new Set(texts).size === texts.length) return texts;
  }
  return values.map(String);
}

// Exponential moving average, divided by the sum of its weights: without that division the first values would be
// pulled toward zero.
function smooth(points, weight) {
  let sum = 0, mass = 0;
  return points.map(([x, y, step]) => {
    sum = weight * sum + (1 - weight) * y;
    mass = weight * mass + (1 - weight);
    return [x, sum / mass, step];
  });
}

// Positions of ticks, about `most` or fewer, at round numbers: 1, 2 or 5 times a power of ten.
// whole: whether there is nothing between two whole numbers, as between steps.
function ticks(low, high, log, most, whole = false) {
  if (log) {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of [1, 2, 5]) { const v = m * 10 ** e; if (v >= low && v <= high) found.push(v); }
    const kept = whole ? found.filter(v => v >= 1).map(Math.round) : found.map(v => +v.toPrecision(12));
    // Over many decades only the powers of ten fit beside each other.
    if (kept.length > most) return kept.filter(v => /^1/.test(v.toExponential()));
    // Within a decade there may be hardly any.
    if (kept.length > 1) return kept;
  }
  const raw = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(whole ? 1 : 0, [1, 2, 5, 10].map(m => m * power).find(s => s >= raw));
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(+v.toPrecision(12));
  return found;
}

// The series as points [x, y, step] on the chosen axis. A logarithmic axis has no place for values up to zero.
function curves() {
  const column = AXES[view.axis], data = props.value || {};
  return (data.series || []).map(series => {
    const points = series.points.map(p => [p[column], p[3], p[0]])
      .filter(p => (!view.logX || p[0] > 0) && (!view.logY || p[1] > 0));
    return {...series, points, shown: !view.hidden.has(series.name)};
  });
}

function plot() {
  const box = at('.ch-plot'), data = props.value || {};
  if (!box) return;
  const all = curves().filter(series => series.points.length);
  at('.ch').classList.toggle('ch-none', !all.length);
  box.dataset.empty = data.empty || '';
  at('.ch-title').textContent = data.title || '';
  legend(all);
  box.replaceChildren();
  if (!all.length) return;
  const width = Math.max(260, box.clientWidth || 600), height = +at('.ch').dataset.height;
  const right = 10, top = 8, bottom = 22;
  const shown = all.filter(series => series.shown);
  const xs = all.flatMap(series => series.points.map(p => p[0]));
  let [x0, x1] = view.zoom && view.zoom.axis === view.axis ? view.zoom.range : [Math.min(...xs), Math.max(...xs)];
  if (x0 === x1) { x0 -= 0.5; x1 += 0.5; }
  const inside = shown.flatMap(series => series.points.filter(p => p[0] >= x0 && p[0] <= x1).map(p => p[1]));
  // The vertical axis covers what is visible only, so that a zoom shows details.
  let y0 = Math.min(...inside), y1 = Math.max(...inside);
  if (!inside.length) { y0 = view.logY ? 0.1 : 0; y1 = 1; }
  // Curves keep a distance from the frame, except on a logarithmic axis, where it could pass zero.
  const margin = view.logY ? 0 : (y1 - y0 || Math.abs(y1) || 1) * 0.06;
  y0 -= margin; y1 += margin;
  if (y0 === y1) { y0 *= 0.9; y1 *= 1.1; }
  const yTicks = ticks(y0, y1, view.logY, 5), yLabels = labels(yTicks, formatNumber);
  // As wide as the longest label; a figure of the font is about 7 pixels wide.
  const left = Math.max(46, 14 + 7 * Math.max(...yLabels.map(label => label.length)));
  const scale = (log, a, b, from, to) => log
    ? v => from + (Math.log(v) - Math.log(a)) / (Math.log(b) - Math.log(a)) * (to - from)
    : v => from + (v - a) / (b - a) * (to - from);
  const X = scale(view.logX, x0, x1, left, width - right), Y = scale(view.logY, y0, y1, height - bottom, top);
  const svg = createSvg('svg', {viewBox: `0 0 ${width} ${height}`, width: '100%', height, tabindex: 0, role: 'img',
    'aria-label': `${data.title}: ${shown.map(s => s.name).join(', ')}`});
  // Two charts of one page must not share the id of a clip path.
  const name = 'clip' + Math.random().toString(36).slice(2);
  const clip = createSvg('clipPath', {id: name});
  clip.append(createSvg('rect', {x: left - 4, y: 0, width: width - left - right + 8, height: height - bottom + 3}));
  svg.append(clip);
  yTicks.forEach((v, i) => {
    svg.append(createSvg('line', {x1: left, x2: width - right, y1: Y(v), y2: Y(v), class: 'grid'}));
    svg.append(createSvg('text', {x: left - 6, y: Y(v) + 4, 'text-anchor': 'end'}, yLabels[i]));
  });
  const isTime = view.axis === 'seconds';
  const xTicks = ticks(x0, x1, view.logX, Math.max(3, Math.floor(width / 110)), !isTime);
  const xLabels = labels(xTicks, isTime ? formatDuration : formatNumber);
  xTicks.forEach((v, i) => svg.append(createSvg('text', {x: X(v), y: height - 6, 'text-anchor': 'middle'}, xLabels[i])));
  const lines = createSvg('g', {'clip-path': `url(#${name})`});
  const path = points => points.map((p, i) => `${i ? 'L' : 'M'}${X(p[0]).toFixed(1)} ${Y(p[1]).toFixed(1)}`).join('');
  for (const series of shown) {
    const isSmoothed = view.smooth > 0 && !series.dashed;
    const stroke = {stroke: series.color, fill: 'none', class: 'curve'};
    if (series.dashed) stroke['stroke-dasharray'] = '5 4';
    lines.append(createSvg('path', {...stroke, d: path(series.points), ...(isSmoothed ? {opacity: 0.28} : {})}));
    if (isSmoothed) lines.append(createSvg('path', {...stroke, d: path(smooth(series.points, view.smooth))}));
    // Single points are marked only as long as they stay apart.
    const visible = series.points.filter(p => p[0] >= x0 && p[0] <= x1);
    if (visible.length <= 40)
      for (const p of visible) lines.append(createSvg('circle', {cx: X(p[0]), cy: Y(p[1]), r: 2.6, fill: series.color}));
  }
  svg.append(lines, createSvg('rect', {class: 'ch-drag', y: top, height: height - top - bottom, width: 0, x: 0}),
    createSvg('line', {class: 'ch-cursor', y1: top, y2: height - bottom, x1: -9, x2: -9}));
  box.append(svg, Object.assign(document.createElement('div'), {className: 'ch-tip'}));
  addInteraction(svg, shown, {X, x0, x1, left, right, width});
}

function legend(all) {
  const box = at('.ch-legend');
  box.replaceChildren(...all.map(series => {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = series.shown ? '' : 'off';
    button.title = series.shown ? 'Hide this curve' : 'Show this curve';
    button.setAttribute('aria-pressed', series.shown);
    // The line as it is in the plot.
    const mark = document.createElement('i');
    mark.style.borderColor = series.color;
    if (series.dashed) mark.className = 'dashed';
    button.append(mark, series.name);
    button.onclick = () => {
      view.hidden.has(series.name) ? view.hidden.delete(series.name) : view.hidden.add(series.name);
      plot();
    };
    return button;
  }));
  at('.ch-reset').hidden = !isZoomed();
}

// Connect hovering, dragging (zoom), clicking (pick) and the keyboard.
function addInteraction(svg, shown, frame) {
  const tip = at('.ch-tip'), cursor = svg.querySelector('.ch-cursor'), dragged = svg.querySelector('.ch-drag');
  // From a position in the SVG back to a value of the horizontal axis.
  const inverse = px => {
    const share = (px - frame.left) / (frame.width - frame.right - frame.left);
    return view.logX ? frame.x0 * (frame.x1 / frame.x0) ** share : frame.x0 + share * (frame.x1 - frame.x0);
  };
  const position = event => (event.clientX - svg.getBoundingClientRect().left) / svg.clientWidth * frame.width;
  const nearest = x => shown.map(series => {
    let best = null;
    for (const p of series.points) if (!best || Math.abs(p[0] - x) < Math.abs(best[0] - x)) best = p;
    return best && {series, point: best};
  }).filter(Boolean);
  // Move the cursor and the tooltip to the point nearest to x, and return it.
  const point = x => {
    const found = nearest(x);
    if (!found.length) return;
    const main = found.reduce((a, b) => Math.abs(b.point[0] - x) < Math.abs(a.point[0] - x) ? b : a).point;
    view.cursor = main[2];
    cursor.setAttribute('x1', frame.X(main[0])); cursor.setAttribute('x2', frame.X(main[0]));
    tip.replaceChildren(Object.assign(document.createElement('b'), {textContent: `step ${main[2]}`}),
      ...found.filter(f => f.point[2] === main[2]).map(f => Object.assign(document.createElement('div'),
        {textContent: `${f.series.name} ${+f.point[1].toPrecision(5)}`})));
    const px = frame.X(main[0]) / frame.width * svg.clientWidth;
    tip.style.display = 'block';
    tip.style.left = Math.min(px + 12, svg.clientWidth - tip.offsetWidth - 4) + 'px';
    return main;
  };
  let from = null;
  svg.onpointerdown = event => { from = position(event); svg.setPointerCapture(event.pointerId); };
  svg.onpointermove = event => {
    point(inverse(position(event)));
    if (from === null) return;
    dragged.setAttribute('x', Math.min(from, position(event)));
    dragged.setAttribute('width', Math.abs(position(event) - from));
  };
  svg.onpointerup = event => {
    const to = position(event), start = from;
    from = null;
    if (start === null) return;
    // A movement of a few pixels is a click.
    if (Math.abs(to - start) > 8) zoom([inverse(Math.min(start, to)), inverse(Math.max(start, to))], shown);
    else if (point(inverse(to))) trigger('picked', {step: view.cursor});
  };
  svg.onpointerleave = () => { tip.style.display = 'none'; cursor.setAttribute('x1', -9); cursor.setAttribute('x2', -9); };
  svg.ondblclick = () => zoom(null, shown);
  svg.onkeydown = event => {
    const steps = shown.length ? shown[0].points : [];
    const here = steps.findIndex(p => p[2] === view.cursor);
    const next = {ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: steps.length - 1}[event.key];
    if (next !== undefined && steps[next]) { event.preventDefault(); point(steps[next][0]); }
    if (event.key === 'Enter' && view.cursor !== null) trigger('picked', {step: view.cursor});
    if (event.key === 'Escape') zoom(null, shown);
  };
}

// Show a range of the horizontal axis (null: all), and send it to the server in steps.
function zoom(range, shown) {
  view.zoom = range && {axis: view.axis, range};
  let steps = null;
  if (range) {
    const inside = shown.flatMap(s => s.points.filter(p => p[0] >= range[0] && p[0] <= range[1]).map(p => p[2]));
    if (inside.length) steps = [Math.min(...inside), Math.max(...inside)];
  }
  trigger('zoomed', {low: steps && steps[0], high: steps && steps[1]});
  plot();
}

// Download the plot as PNG: the SVG is rendered into a canvas, at twice its size for sharp text.
function downloadPng() {
  const svg = at('.ch-plot svg');
  if (!svg) return;
  const copy = svg.cloneNode(true), computed = getComputedStyle(element);
  copy.setAttribute('xmlns', NS);
  // The page's style sheet does not apply inside an image.
  const style = document.createElementNS(NS, 'style');
  style.textContent = `text{font:11px sans-serif;fill:${computed.color}} .grid{stroke:#8884} .curve{stroke-width:1.8}`;
  copy.prepend(style);
  copy.setAttribute('width', svg.viewBox.baseVal.width);
  const image = new Image(), canvas = document.createElement('canvas');
  image.onload = () => {
    canvas.width = image.width * 2; canvas.height = image.height * 2;
    const context = canvas.getContext('2d');
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const link = document.createElement('a');
    link.download = ((props.value || {}).title || 'chart') + '.png';
    link.href = canvas.toDataURL('image/png');
    link.click();
  };
  image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(new XMLSerializer().serializeToString(copy));
}

element.addEventListener('input', event => {
  const name = event.target.name;
  if (name === 'axis') {
    view.axis = event.target.value;
    // The range is one of the old axis. The server forgets it, too, or only the points inside would come.
    if (isZoomed()) zoom(null, []);
  }
  else if (name === 'smooth') view.smooth = +event.target.value;
  else if (name === 'logX' || name === 'logY') view[name] = event.target.checked;
  plot();
});
element.addEventListener('click', event => {
  if (event.target.closest('.ch-reset')) zoom(null, []);
  if (event.target.closest('.ch-png')) downloadPng();
});
let hadZoomedPoints = false;
watch('value', () => {
  const hasZoomedPoints = Boolean((props.value || {}).zoomed);
  // The server forgot the zoom: another run is shown, or another chart of the same steps shows all again.
  if (hadZoomedPoints && !hasZoomedPoints) view.zoom = null;
  hadZoomedPoints = hasZoomedPoints;
  plot();
});
let plottedWidth = 0;
// The plot itself changes the element's height, so only a change of width plots again.
new ResizeObserver(() => {
  if (Math.abs(element.clientWidth - plottedWidth) > 2) { plottedWidth = element.clientWidth; plot(); }
}).observe(element);
plot();
