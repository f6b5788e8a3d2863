"use strict";
// What the policy wrote, a step at a time.

const ORDERS = {
  "as drawn": null,
  "best first": (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity),
  "worst first": (a, b) => (a.reward ?? Infinity) - (b.reward ?? Infinity),
};

function showSamples(section, runs, all) {
  if (!all.length) return;
  let samples = all[0], number = 0, order = null;
  const table = html("tbody"), label = html("span", { class: "facts" });
  const slider = html("input", { type: "range", min: 0, "aria-label": "training step", oninput: () => go(+slider.value) });
  const choice = html("select", { "aria-label": "run", onchange: () => choose(all[+choice.value]) },
    ...all.map((one, i) => html("option", { value: i }, runs[one.run].name)));
  const sorting = html("select", { "aria-label": "order", onchange: () => { order = ORDERS[sorting.value]; show(); } },
    ...Object.keys(ORDERS).map((name) => html("option", {}, name)));

  function choose(one) {
    samples = one;
    slider.max = one.steps.length - 1;
    go(one.steps.length - 1);
  }

  function go(to) {
    number = Math.max(0, Math.min(samples.steps.length - 1, to));
    slider.value = number;
    show();
  }

  function show() {
    const { step, total, groups } = samples.steps[number];
    const count = groups.reduce((sum, group) => sum + group.samples.length, 0);
    const steps = samples.all_steps > samples.steps.length ? `, ${samples.steps.length} of ${samples.all_steps} steps` : "";
    label.textContent = `step ${step.toLocaleString("en")} · ${count < total ? `${count} of ${total}` : total} samples${steps}`;
    table.replaceChildren(...groups.flatMap((group) => [
      html("tr", { class: "prompt" }, html("td", { colspan: 4 }, html("pre", {}, group.prompt))),
      ...(order ? [...group.samples].sort(order) : group.samples).map(row),
    ]));
  }

  function row(sample) {
    const parts = Object.entries(sample.rewards).map(([name, value]) => html("div", {}, `${name} ${value === null ? "–" : short(value)}`));
    return html("tr", {},
      reward(sample.reward),
      html("td", { class: "number" }, sample.advantage === null ? "" : short(sample.advantage)),
      html("td", { class: "number" }, ...parts),
      html("td", {}, html("pre", {}, sample.completion), ...(sample.finished ? [] : [html("span", { class: "cut" }, "cut off")])));
  }

  function reward(value) {
    if (value === null) return html("td", { class: "number undecided", title: "nothing was decided" }, "–");
    const share = samples.high > samples.low ? (value - samples.low) / (samples.high - samples.low) : 1;
    const cell = html("td", { class: "number" }, short(value));
    const colour = `color-mix(in oklab, var(--good) ${Math.round(100 * share)}%, var(--bad))`;
    cell.style.background = `color-mix(in oklab, ${colour} 30%, transparent)`;
    cell.style.boxShadow = `inset 4px 0 ${colour}`;
    return cell;
  }

  const step = (by, name, text) => html("button", { type: "button", "aria-label": name, onclick: () => go(number + by) }, text);
  section.append(
    html("div", { class: "controls" }, choice,
      html("div", { class: "stepper" }, step(-1, "earlier", "◀"), slider, step(1, "later", "▶")), sorting, label),
    html("table", { class: "samples" },
      html("thead", {}, html("tr", {}, ...["reward", "advantage", "rewards", "completion"].map((name) => html("th", {}, name)))),
      table));
  choice.hidden = all.length < 2;
  choose(samples);
}
