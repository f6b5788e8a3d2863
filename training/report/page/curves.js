"use strict";
// Every metric as a chart, the runs as its lines; a place in one chart is shown in all.

const AXES = {
  step: { name: "step", format: short },
  row: { name: "step, one run after the other", format: short },
  tokens: { name: "tokens", format: short },
  seconds: { name: "time", format: duration },
};

function showCurves(section, runs, curves) {
  if (!Object.keys(curves).length) return;
  const shown = new Set(runs.keys()), starts = [];
  runs.reduce((start, run) => { starts.push(start); return start + run.steps; }, 0);
  let axis = "step", smoothing = 0.6;
  const charts = Object.entries(curves).map(([name, lines]) => chartOf(name, lines));

  function chartOf(name, curvesOfRuns) {
    let logged = false, lines = [];
    const chart = makeChart(name, { onMove: move, onLeave: leave });
    const button = html("button", { type: "button", "aria-pressed": "false", onclick: toggle }, "log");
    const notes = curvesOfRuns.filter((curve) => curve.note).map((curve) =>
      html("p", { class: "note" }, runs.length > 1 ? `${runs[curve.run].name}: ${curve.note}` : curve.note));
    const positive = curvesOfRuns.every((curve) => curve.points.value.every((value) => value > 0));
    const element = html("figure", { class: "chart" },
      html("figcaption", {}, name, ...(positive ? [button] : [])), chart.element, ...notes);

    function toggle() {
      logged = !logged;
      button.setAttribute("aria-pressed", logged);
      draw();
    }

    function draw() {
      lines = curvesOfRuns.filter((curve) => shown.has(curve.run)).map((curve) => {
        const raw = pointsOf(curve.points, curve.run), from = curve.means ? pointsOf(curve.means, curve.run) : raw;
        const smooth = smoothing > 0;
        return { colour: curve.run, points: smooth ? smoothed(from) : raw, raw: smooth ? raw : null };
      }).filter((line) => line.points.length);
      chart.draw(lines, { x: AXES[axis], y: { log: logged, format: short } });
    }

    function move(at, event, x) {
      const rows = lines.filter((line) => at >= line.points[0].x && at <= line.points.at(-1).x).map((line) => {
        const point = nearest(line.points, at), raw = line.raw && nearest(line.raw, at);
        return [line.colour, runs[line.colour].name, raw ? `${short(point.y)} (${short(raw.y)})` : short(point.y)];
      });
      for (const other of charts) other.point(at);
      if (rows.length) showTip(event, `${AXES[axis].name} ${AXES[axis].format(axis === "seconds" ? at : Math.round(at))}`, rows);
      else hideTip();
    }

    return { element, draw, point: chart.point };
  }

  function pointsOf(columns, run) {
    const places = columns[axis === "row" ? "step" : axis] ?? [], start = axis === "row" ? starts[run] : 0, points = [];
    for (let i = 0; i < places.length; i++) if (places[i] !== null) points.push({ x: start + places[i], y: columns.value[i] });
    return points;
  }

  // The exponential mean of what came before, without the pull of its beginning at zero.
  function smoothed(points) {
    let mean = 0, weight = 0;
    return points.map(({ x, y }) => {
      mean = smoothing * mean + (1 - smoothing) * y;
      weight = smoothing * weight + 1 - smoothing;
      return { x, y: mean / weight };
    });
  }

  function leave() {
    hideTip();
    for (const chart of charts) chart.point(null);
  }

  function drawAll() {
    for (const chart of charts) chart.draw();
  }

  const slider = html("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: smoothing, oninput: (event) => {
    smoothing = +event.target.value;
    drawAll();
  } });
  const known = Object.keys(AXES).filter((name) => name === "row" ? runs.length > 1
    : Object.values(curves).some((lines) => lines.some((curve) => curve.points[name])));
  const choice = html("select", { onchange: (event) => { axis = event.target.value; drawAll(); } },
    ...known.map((name) => html("option", { value: name }, AXES[name].name)));
  const drawnRuns = new Set(Object.values(curves).flat().map((curve) => curve.run));
  const legend = html("div", { class: "legend" }, ...[...drawnRuns].sort((a, b) => a - b).map((run) => {
    const box = html("input", { type: "checkbox", checked: true, onchange: () => {
      if (box.checked) shown.add(run); else shown.delete(run);
      drawAll();
    } });
    return html("label", {}, box, inColour(html("span", { class: "swatch" }), run), runs[run].name);
  }));
  section.append(
    html("div", { class: "controls" }, html("label", {}, "smoothing", slider), html("label", {}, "against", choice), legend),
    html("div", { class: "charts" }, ...charts.map((chart) => chart.element)));
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width === width) return;
    width = entry.contentRect.width;
    drawAll();
  }).observe(section);
}
