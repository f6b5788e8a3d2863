"use strict";
// A chart of lines. It draws what it is given and says where the pointer is; what that means is its owner's affair.

const MARGIN = { left: 52, right: 10, top: 8, bottom: 22 }, HEIGHT = 210;

function linear(low, high, from, to) {
  const scale = (value) => from + (to - from) * (value - low) / (high - low);
  scale.back = (place) => low + (high - low) * (place - from) / (to - from);
  scale.ticks = niceTicks(low, high);
  return scale;
}

function logarithmic(low, high, from, to, base) {
  const inner = linear(Math.log(low), Math.log(high), from, to);
  const scale = (value) => inner(Math.log(value));
  scale.back = (place) => Math.exp(inner.back(place));
  scale.ticks = powers(low, high, base);
  return scale;
}

function niceTicks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step), count = Math.floor(high / step + 1e-6) - first + 1;
  return Array.from({ length: count }, (_, i) => +((first + i) * step).toPrecision(12));
}

function powers(low, high, base) {
  const first = Math.ceil(Math.log(low) / Math.log(base) - 1e-9), last = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
  if (last - first < 1) return [low, high];
  const every = Math.ceil((last - first) / 8), ticks = [];
  for (let power = first; power <= last; power += every) ticks.push(base ** power);
  return ticks;
}

function extent(values, logged, space) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (logged && value <= 0) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [logged ? 1 : 0, logged ? 10 : 1];
  const same = high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high));  // Up to rounding.
  if (logged) return same ? [low / 2, high * 2] : [low, high];
  if (same) return [low - (Math.abs(low) * 0.1 || 1), high + (Math.abs(high) * 0.1 || 1)];
  return [low - space * (high - low), high + space * (high - low)];
}

function pathOf(points, x, y, logX, logY) {
  let path = "", pen = "M";
  for (const point of points) {
    if ((logX && point.x <= 0) || (logY && point.y <= 0)) { pen = "M"; continue; }
    path += `${pen}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`;
    pen = "L";
  }
  return path;
}

// lines: [{colour, points: [{x, y, error?}], raw?: [{x, y}], dashed?, dots?}]; axes: {x, y}, each {log?, base?, format, label?}
function makeChart(label, { onMove, onLeave }) {
  const canvas = svg("svg", { height: HEIGHT, role: "img", "aria-label": label });
  const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
  let x = null;
  canvas.addEventListener("pointermove", (event) => {
    if (x === null) return;
    const place = event.clientX - canvas.getBoundingClientRect().left;
    onMove(x.back(Math.max(MARGIN.left, Math.min(canvas.clientWidth - MARGIN.right, place))), event, x);
  });
  canvas.addEventListener("pointerleave", onLeave);

  function draw(lines, axes) {
    const width = canvas.clientWidth || 400, bottom = HEIGHT - MARGIN.bottom;
    const all = lines.flatMap((line) => [...line.points, ...(line.raw ?? [])]);
    const scaled = (axis, values, from, to, space) => {
      const [low, high] = extent(values, axis.log, space);
      return axis.log ? logarithmic(low, high, from, to, axis.base ?? 10) : linear(low, high, from, to);
    };
    x = scaled(axes.x, all.map((point) => point.x), MARGIN.left, width - MARGIN.right, 0);
    const y = scaled(axes.y, all.map((point) => point.y), bottom, MARGIN.top, 0.04);
    canvas.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    canvas.replaceChildren(...gridOf(x, y, width, bottom, axes), ...lines.flatMap((line) => drawn(line, x, y, axes)), cursor);
  }

  function point(at) {
    const visible = at !== null && x !== null && Number.isFinite(x(at)) && x(at) >= MARGIN.left - 1 && x(at) <= canvas.clientWidth;
    cursor.setAttribute("visibility", visible ? "visible" : "hidden");
    if (visible) made(cursor, { x1: x(at), x2: x(at) }, []);
  }

  return { element: canvas, draw, point };
}

function gridOf(x, y, width, bottom, axes) {
  const rows = y.ticks.flatMap((tick) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
    svg("text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, axes.y.format(tick)),
  ]);
  const columns = x.ticks.map((tick, number) => {
    const anchor = number === x.ticks.length - 1 && x(tick) > width - 40 ? "end" : "middle";
    return svg("text", { x: x(tick), y: bottom + 16, "text-anchor": anchor }, axes.x.format(tick));
  });
  return [...rows, ...columns];
}

function drawn(line, x, y, axes) {
  const path = (points) => pathOf(points, x, y, axes.x.log, axes.y.log), parts = [];
  if (line.raw) parts.push(inColour(svg("path", { class: "raw", d: path(line.raw) }), line.colour));
  const curve = inColour(svg("path", { class: "curve", d: path(line.points) }), line.colour);
  if (line.dashed) curve.style.strokeDasharray = "6 4";
  parts.push(curve);
  if (line.dots || line.points.length === 1) {
    for (const point of line.points) {
      const at = { cx: x(point.x), cy: y(point.y), r: 3, fill: `currentColor` };
      parts.push(inColour(svg("circle", at), line.colour));
      if (point.error) {
        const bar = { x1: at.cx, x2: at.cx, y1: y(point.y - point.error), y2: y(point.y + point.error), class: "raw" };
        parts.push(inColour(svg("line", bar), line.colour));
      }
    }
  }
  return parts;
}

// The point of a line that is nearest to a place on the axis.
function nearest(points, at) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].x < at) low = middle + 1; else high = middle;
  }
  return low > 0 && at - points[low - 1].x < points[low].x - at ? points[low - 1] : points[low];
}

const tip = html("div", { class: "tip", hidden: true });

// rows: [[colour, name, value]]
function showTip(event, title, rows) {
  tip.replaceChildren(title, ...rows.map(([colour, name, value]) =>
    html("div", {}, inColour(html("span", { class: "swatch" }), colour), name, html("b", {}, value))));
  tip.hidden = false;
  const right = event.clientX + 16 + tip.offsetWidth > innerWidth;
  tip.style.left = `${right ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16}px`;
  tip.style.top = `${Math.min(event.clientY + 12, innerHeight - tip.offsetHeight - 8)}px`;
}

function hideTip() {
  tip.hidden = true;
}
