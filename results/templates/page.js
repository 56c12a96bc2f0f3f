"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#8A8A8A"];
  const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left"];
  const MAX_PANELS = 24;
  const MAX_LINES = 400;
  document.documentElement.classList.add("js");

  const rows = (columns, more) => {
    const names = Object.keys(columns);
    const length = names.length ? columns[names[0]].length : 0;
    return Array.from({ length }, (_, index) => {
      const row = { index };
      for (const name of names) row[name] = columns[name][index];
      return more ? more(row) : row;
    });
  };
  const factors = data.factors;
  const factor = (name) => factors.find((one) => one.name === name);
  const many = factors.filter((one) => one.labels.length > 1);
  const cells = rows(data.cells);
  const valueOf = (name, label) => {
    const one = factor(name);
    return one.values ? one.values[one.labels.indexOf(label)] : label;
  };
  const seeds = rows(data.seeds, (row) => ({ ...cells[row.cell], ...row }));
  const joined = (row, names) => names.map((name) => row["factor:" + name]).join(" × ");

  // Controls: each is a label with a native select or checkbox, so that the keyboard just works.
  const select = (name, label, options, chosen) => ({ name, label, options, chosen });
  const check = (name, label, chosen) => ({ name, label, chosen });
  const build = (form, controls, changed) => {
    const state = {};
    for (const control of controls) {
      const label = document.createElement("label");
      let input;
      if (control.options) {
        input = document.createElement("select");
        for (const [value, text] of control.options) input.add(new Option(text, value));
        input.value = control.chosen;
        label.append(control.label, input);
      } else {
        input = document.createElement("input");
        input.type = "checkbox";
        input.checked = control.chosen;
        label.append(input, control.label);
      }
      input.name = control.name;
      const read = () => { state[control.name] = control.options ? input.value : input.checked; };
      read();
      input.addEventListener("change", () => { read(); changed(state); });
      form.append(label);
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    return state;
  };

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = () => {
    const ink = css("--ink"), quiet = css("--quiet"), grid = css("--grid");
    return {
      background: null,
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: ink, gridColor: grid, domainColor: quiet, tickColor: quiet, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
      header: { labelColor: ink, titleColor: quiet, labelFontSize: 12, labelFontWeight: "bold", labelLimit: 300 },
      legend: { labelColor: ink, titleColor: quiet, labelFontSize: 12, orient: "top", labelLimit: 220, symbolStrokeWidth: 2 },
      title: { color: ink, anchor: "start" },
    };
  };
  const scaleOf = (name) => ({ domain: factor(name).labels, range: factor(name).labels.map((_, index) => COLOURS[index % COLOURS.length]) });
  const shapeOf = (name) => ({ domain: factor(name).labels, range: factor(name).labels.map((_, index) => SHAPES[index % SHAPES.length]) });

  const METRICS = [
    ["test_accuracy", "test accuracy"], ["train_accuracy", "train accuracy"], ["val_accuracy", "validation accuracy"],
    ["test_loss", "test loss"], ["train_loss", "train loss"], ["val_loss", "validation loss"],
  ];
  const factorOptions = many.map((one) => [one.name, one.name]);
  const chosen = (...names) => names.find((name) => many.some((one) => one.name === name)) || (many[0] || factors[0]).name;
  const NONE = ["", "none"];

  const charts = {};

  charts.size = {
    controls: [
      select("metric", "Show", [["both", "test and train accuracy"], ...METRICS], "both"),
      select("x", "Axis", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("fraction")),
      select("colour", "Colour", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("model")),
      select("panel", "Panels", [NONE, ...factorOptions], many.some((one) => one.name === "weights") ? "weights" : ""),
      check("log", "logarithmic axis", false),
      check("origin", "from the origin", false),
      check("points", "single seeds", true),
    ],
    spec(state, width) {
      const metrics = state.metric === "both" ? METRICS.slice(0, 2) : METRICS.filter((one) => one[0] === state.metric);
      const numeric = factor(state.x).values !== null;
      const rest = factors.map((one) => one.name).filter((name) => ![state.x, state.colour, state.panel].includes(name));
      const shape = (row, source, metric, title) => ({
        x: numeric ? valueOf(state.x, row["factor:" + state.x]) : row["factor:" + state.x],
        label: row["factor:" + state.x],
        colour: row["factor:" + state.colour],
        panel: state.panel ? row["factor:" + state.panel] : "",
        metric: title,
        group: joined(row, [...rest, state.colour]),
        cell: row.name, images: row.images, seeds: row.seeds, kind: source,
        y: row[metric], low: row[metric + "_low"], high: row[metric + "_high"],
        seed: row.seed, note: row.stopped ? "stopped early" : row.selected ? "recipe chosen on this seed" : "",
      });
      const values = [];
      for (const [metric, title] of metrics) {
        for (const row of cells) if (row[metric] !== null) values.push(shape(row, "mean", metric, title));
        if (state.points || data.race) {
          for (const row of seeds) {
            if (row[metric] !== null && (row.stopped || (state.points && row.seeds > 1))) values.push(shape(row, row.stopped ? "stopped" : "seed", metric, title));
          }
        }
      }
      if (!values.length) return null;
      const panels = state.panel ? factor(state.panel).labels.slice(0, MAX_PANELS) : [""];
      const columns = width > 620 ? metrics.length : 1;
      const stacked = columns < metrics.length;
      const panelWidth = Math.max(180, Math.floor((width - 70 - 30 * columns) / columns));
      const levels = factor(state.x);
      const log = state.log && numeric && levels.values.every((value) => value > 0);
      const labels = Object.fromEntries((levels.values || []).map((value, index) => [value, levels.labels[index]]));
      const span = numeric ? [Math.min(...levels.values), Math.max(...levels.values)] : null;
      const ticks = numeric ? spaced(levels.values, log, state.origin ? 0 : span[0], span[1], panelWidth / 46) : undefined;
      const x = numeric ? {
        field: "x", type: "quantitative",
        scale: { type: log ? "log" : "linear", zero: Boolean(state.origin), nice: false, padding: 14, ...(state.origin && !log ? { domainMin: 0 } : {}) },
        axis: { title: state.x === "fraction" ? "share of the training pool" : state.x, values: ticks, labelExpr: JSON.stringify(labels) + "[datum.value]" },
      } : { field: "x", type: "ordinal", sort: levels.labels, axis: { title: state.x, labelAngle: width < 620 ? -40 : 0 }, scale: { padding: 0.5 } };
      const y = {
        field: "y", type: "quantitative", title: null,
        scale: { zero: Boolean(state.origin), ...(state.origin && metrics[0][0].endsWith("accuracy") ? { domain: [0, 1] } : {}) },
      };
      const colour = { field: "colour", type: "nominal", title: state.colour, scale: scaleOf(state.colour) };
      const marks = { field: "colour", type: "nominal", title: state.colour, scale: shapeOf(state.colour) };
      const tooltip = [
        { field: "cell", title: "cell" }, { field: "metric", title: "shown" }, { field: "y", title: "mean", format: ".4f" },
        { field: "low", title: "lowest seed", format: ".4f" }, { field: "high", title: "highest seed", format: ".4f" },
        { field: "images", title: "images", format: "," }, { field: "seeds", title: "seeds" },
      ];
      const seedTip = [{ field: "cell", title: "cell" }, { field: "metric", title: "shown" }, { field: "seed", title: "seed" }, { field: "y", title: "value", format: ".4f" }, { field: "note", title: "note" }];
      const means = { filter: "datum.kind === 'mean'" };
      const layer = [
        { transform: [means], mark: { type: "line", strokeWidth: 2 }, encoding: { x, y, color: colour, detail: { field: "group" } } },
        { transform: [means, { filter: "datum.seeds > 1" }], mark: { type: "rule", strokeWidth: 1.5 }, encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" }, color: colour } },
        { transform: [{ filter: "datum.kind === 'seed'" }], mark: { type: "point", filled: true, size: 14, opacity: 0.5 }, encoding: { x, y, color: colour, tooltip: seedTip } },
        { transform: [{ filter: "datum.kind === 'stopped'" }], mark: { type: "point", shape: "M-1,-1L1,1M-1,1L1,-1", size: 60, strokeWidth: 2 }, encoding: { x, y, color: colour, tooltip: seedTip } },
        { transform: [means], mark: { type: "point", filled: true, size: 64, opacity: 1 }, encoding: { x, y, color: colour, shape: marks, tooltip } },
      ];
      const facet = {};
      if (stacked) {
        for (const value of values) value.panel = [value.panel, value.metric].filter(Boolean).join(" · ");
        facet.row = { field: "panel", type: "nominal", title: null, sort: panels.flatMap((panel) => metrics.map((one) => [panel, one[1]].filter(Boolean).join(" · "))) };
      } else {
        facet.column = { field: "metric", type: "nominal", title: null, sort: metrics.map((one) => one[1]) };
        if (state.panel) facet.row = { field: "panel", type: "nominal", title: state.panel, sort: panels };
      }
      if (facet.row) facet.row.header = { labelAngle: 0, labelAnchor: "start", labelOrient: "top", titleOrient: "top", titleAnchor: "start" };
      return {
        data: { values: values.filter((value) => stacked || panels.includes(value.panel)) },
        facet, spec: { width: panelWidth, height: width > 620 ? 250 : 220, layer },
        resolve: { axis: { x: "independent" } },
      };
    },
  };

  charts.curves = {
    controls: [
      select("metric", "Show", [["val_accuracy", "validation accuracy"], ["train_accuracy", "train accuracy"], ["test_accuracy", "test accuracy"], ["val_loss", "validation loss"], ["train_loss", "train loss"]], "val_accuracy"),
      select("colour", "Colour", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("fraction")),
      select("panel", "Panels", [NONE, ...factorOptions], many.some((one) => one.name === "model") ? "model" : ""),
      check("log", "logarithmic values", false),
    ],
    spec(state, width) {
      const rest = factors.map((one) => one.name).filter((name) => ![state.colour, state.panel].includes(name));
      const values = rows(data.curves, (row) => ({
        cell: cells[row.cell].name, place: row.cell, epoch: row.epoch, y: row[state.metric],
        colour: cells[row.cell]["factor:" + state.colour],
        panel: state.panel ? cells[row.cell]["factor:" + state.panel] : "",
        rest: joined(cells[row.cell], rest.filter((name) => factor(name).labels.length > 1)) || "all",
      })).filter((row) => row.y !== null && row.place < MAX_LINES && !(state.log && row.y <= 0));
      if (!values.length) return null;
      const panels = state.panel ? factor(state.panel).labels.slice(0, MAX_PANELS) : [""];
      const columns = Math.max(1, Math.min(panels.length, Math.floor(width / 330)));
      const x = { field: "epoch", type: "quantitative", scale: { zero: false, nice: false, padding: 8 }, axis: { title: "epoch", tickMinStep: 1, format: "d" } };
      const y = { field: "y", type: "quantitative", title: null, scale: { zero: false, type: state.log ? "log" : "linear" } };
      const encoding = {
        x, y, color: { field: "colour", type: "nominal", title: state.colour, scale: scaleOf(state.colour) },
        detail: { field: "place" },
        tooltip: [{ field: "cell" }, { field: "epoch" }, { field: "y", title: "mean over seeds", format: ".4f" }],
      };
      const dash = { field: "rest", type: "nominal", title: rest.filter((name) => factor(name).labels.length > 1).join(" × ") || null };
      return {
        data: { values: values.filter((value) => panels.includes(value.panel)) },
        facet: { field: "panel", type: "nominal", title: state.panel || null, sort: panels }, columns,
        spec: {
          width: Math.max(180, Math.floor((width - 50 - 40 * columns) / columns)), height: 220,
          layer: [
            { mark: { type: "line", strokeWidth: 1.8 }, encoding: dash.title ? { ...encoding, strokeDash: dash } : encoding },
            { mark: { type: "point", filled: true, size: 26, opacity: 1 }, encoding },
          ],
        },
      };
    },
  };

  charts.cost = {
    controls: [
      select("x", "Axis", [["seconds", "training seconds a trial"], ["parameters", "parameters"], ["flops", "FLOPs an image"], ["images", "training images"]], "seconds"),
      select("metric", "Show", METRICS, "test_accuracy"),
      select("colour", "Colour", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("model")),
      select("shape", "Shape", [NONE, ...factorOptions], many.some((one) => one.name === "weights") ? "weights" : ""),
      check("log", "logarithmic axis", true),
    ],
    spec(state, width) {
      const values = cells.filter((row) => row[state.metric] !== null && row[state.x] > 0).map((row) => ({
        cell: row.name, x: row[state.x], y: row[state.metric], seeds: row.seeds,
        colour: row["factor:" + state.colour], shape: state.shape ? row["factor:" + state.shape] : "",
      }));
      if (!values.length) return null;
      const title = charts.cost.controls[0].options.find((one) => one[0] === state.x)[1];
      const encoding = {
        x: { field: "x", type: "quantitative", scale: { type: state.log ? "log" : "linear", nice: false, padding: 14, zero: false }, axis: { title, format: "~s", tickCount: 6 } },
        y: { field: "y", type: "quantitative", title: state.metric.replace("_", " "), scale: { zero: false } },
        color: { field: "colour", type: "nominal", title: state.colour, scale: scaleOf(state.colour) },
        tooltip: [{ field: "cell" }, { field: "y", title: state.metric.replace("_", " "), format: ".4f" }, { field: "x", title, format: ",.4~r" }, { field: "seeds" }],
      };
      if (state.shape) encoding.shape = { field: "shape", type: "nominal", title: state.shape, scale: shapeOf(state.shape) };
      return { data: { values }, width: Math.max(220, width - 80), height: 320, mark: { type: "point", filled: true, size: 80, opacity: 0.9 }, encoding };
    },
  };

  // Ticks that leave room for their labels, the largest level first to stay.
  function spaced(levels, log, low, high, room) {
    const place = (value) => log ? Math.log(value / Math.min(...levels)) / Math.log(high / Math.min(...levels)) : (value - low) / (high - low);
    const kept = [];
    for (const value of [...levels].sort((one, other) => other - one)) {
      if (!kept.length || (place(kept[kept.length - 1]) - place(value)) * room >= 1) kept.push(value);
    }
    return kept;
  }

  const drawn = [];
  for (const box of document.querySelectorAll("[data-chart]")) {
    const chart = charts[box.dataset.chart];
    const view = box.querySelector(".view");
    let turn = 0, last = null;
    const draw = async () => {
      const mine = ++turn;
      const spec = chart.spec(state, Math.floor(view.clientWidth));
      if (!spec) {
        view.innerHTML = "";
        const note = document.createElement("p");
        note.className = "nothing";
        note.textContent = "Nothing to draw yet.";
        view.append(note);
        return;
      }
      const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: data.name + "-" + box.dataset.chart };
      const description = view.getAttribute("aria-label");
      const result = await vegaEmbed(view, { $schema: "https://vega.github.io/schema/vega-lite/v6.json", description, config: config(), autosize: { type: "pad" }, ...spec }, options);
      if (mine !== turn) { result.finalize(); return; }
      if (last) last.finalize();
      last = result;
      box.dataset.drawn = String(turn);
    };
    const state = build(box.querySelector(".controls"), chart.controls, () => draw());
    draw();
    let width = view.clientWidth, timer = 0;
    drawn.push({ draw, resized: () => {
      clearTimeout(timer);
      timer = setTimeout(() => { if (Math.abs(view.clientWidth - width) > 8) { width = view.clientWidth; draw(); } }, 150);
    } });
  }
  addEventListener("resize", () => drawn.forEach((one) => one.resized()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((one) => one.draw()));

  // Tables: sorted by a button in each heading, filtered by text.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = [...body.rows].map((row) => {
          const cell = row.cells[column];
          return { row, value: cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v) };
        });
        const empty = (one) => one.value === "–" || one.value === "";
        keyed.sort((one, other) => {
          if (empty(one) !== empty(other)) return empty(one) ? 1 : -1;
          const order = typeof one.value === "number" && typeof other.value === "number"
            ? one.value - other.value : String(one.value).localeCompare(String(other.value), undefined, { numeric: true });
          return down ? -order : order;
        });
        body.append(...keyed.map((one) => one.row));
      });
    });
    if (body.rows.length > 8) {
      const label = document.createElement("label");
      label.className = "filter";
      const input = document.createElement("input");
      input.type = "search";
      label.append("Only rows with ", input);
      table.parentElement.before(label);
      input.addEventListener("input", () => {
        const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const row of body.rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !wanted.every((word) => text.includes(word));
        }
      });
    }
  }
})();
