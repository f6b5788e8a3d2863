"use strict";
// Accuracy against generated tokens, a line for each strategy.

function showScaling(section, evaluations) {
  for (const evaluation of evaluations) section.append(scalingChart(evaluation));
}

function scalingChart({ title, facts, series }) {
  const lines = series.map((one, colour) => ({
    colour, dashed: one.dashed, dots: true,
    points: one.points.map(({ tokens, accuracy, error, n }) => ({ x: tokens, y: accuracy, error, n })).sort((a, b) => a.x - b.x),
  }));
  const axes = {
    x: { log: true, base: 2, format: short },
    y: { format: (value) => `${+value.toPrecision(3)} %` },
  };
  const chart = makeChart(title, {
    onMove: (at, event, x) => {
      chart.point(at);
      const apart = (point) => Math.abs(x(point.x) - x(at)), close = lines.map((line) => [line, nearest(line.points, at)]);
      const rows = close.filter(([, point]) => apart(point) < 30).sort(([, a], [, b]) => b.y - a.y).map(([line, point]) => {
        const figure = `${point.y.toFixed(1)} ± ${point.error.toFixed(1)} %`;
        return [line.colour, series[line.colour].name, `n = ${point.n}, ${short(point.x)} tokens: ${figure}`];
      });
      if (rows.length) showTip(event, "", rows);
      else hideTip();
    },
    onLeave: () => { chart.point(null); hideTip(); },
  });
  const legend = html("div", { class: "legend" }, ...series.map((one, colour) =>
    html("label", {}, inColour(html("span", { class: "swatch" }), colour), one.name)));
  const figure = html("figure", { class: "chart wide" },
    html("figcaption", {}, title, html("small", {}, `accuracy against generated tokens per problem, ${facts}`)), chart.element, legend);
  new ResizeObserver(() => chart.draw(lines, axes)).observe(figure);
  return figure;
}
