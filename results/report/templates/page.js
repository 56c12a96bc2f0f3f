"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#8A8A8A"];
  const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left"];
  const MAX_PANELS = 24;
  const MAX_LINES = 400;
  const MAX_ROWS = 60;
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
  const panelName = (name, label) => label.startsWith(name) ? label : name + ": " + label;
  const joined = (row, names) => names.map((name) => row["factor:" + name]).join(" × ");

  // Controls: each is a label with a native select or checkbox, so that the keyboard just works.
  const select = (name, label, options, chosen) => ({ name, label, options, chosen });
  const check = (name, label, chosen) => ({ name, label, chosen });
  const build = (form, controls, changed, chart) => {
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
      const kept = memory.get(chart + " " + control.name);
      if (!control.options && kept !== undefined) input.checked = kept;
      if (control.options && control.options.some(([value]) => value === kept)) input.value = kept;
      read();
      input.addEventListener("change", () => { read(); memory.set(chart + " " + control.name, state[control.name]); changed(state); });
      form.append(label);
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    return state;
  };

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = (width) => {
    const ink = css("--ink"), quiet = css("--quiet"), grid = css("--grid");
    return {
      background: null,
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: ink, gridColor: grid, domainColor: quiet, tickColor: quiet, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
      header: { labelColor: ink, titleColor: quiet, labelFontSize: 12, labelFontWeight: "bold", labelLimit: 300 },
      legend: { labelColor: ink, titleColor: quiet, labelFontSize: 12, orient: "top", labelLimit: 220, symbolStrokeWidth: 2, symbolOpacity: 1, symbolLimit: 0, layout: { top: { direction: width < 560 ? "vertical" : "horizontal", anchor: "start", margin: 8 } } },
      title: { color: ink, anchor: "start" },
    };
  };
  const known = (value) => value !== null && value !== undefined;
  const scaleOf = (name) => ({ domain: factor(name).labels, range: factor(name).labels.map((_, index) => COLOURS[index % COLOURS.length]) });
  const shapeOf = (name) => ({ domain: factor(name).labels, range: factor(name).labels.map((_, index) => SHAPES[index % SHAPES.length]) });

  for (const row of [...cells, ...seeds]) {
    if (row.test_accuracy === null) continue;
    row.test_error = 1 - row.test_accuracy;
    if (row.test_accuracy_low !== null) {
      row.test_error_low = 1 - row.test_accuracy_high;
      row.test_error_high = 1 - row.test_accuracy_low;
    }
  }
  const METRICS = [
    ["test_accuracy", "test accuracy"], ["test_error", "test error"], ["train_accuracy", "train accuracy"], ["val_accuracy", "validation accuracy"],
    ["test_loss", "test loss"], ["train_loss", "train loss"], ["val_loss", "validation loss"],
  ];
  const MAIN = data.metric === "accuracy" ? "test_accuracy" : "test_metric", CURVE = MAIN.replace("test", "val");
  if (MAIN === "test_metric") METRICS.unshift([MAIN, "test " + data.metric], [CURVE, "validation " + data.metric]);
  const factorOptions = many.map((one) => [one.name, one.name]);
  const chosen = (...names) => names.find((name) => many.some((one) => one.name === name)) || (many[0] || factors[0]).name;
  const NONE = ["", "none"];

  const charts = {};

  charts.size = {
    controls: [
      select("metric", "Show", [["both", "test and train accuracy"], ...METRICS], MAIN === "test_metric" ? MAIN : "both"),
      select("x", "Axis", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("fraction")),
      // A line that changes its colour at every point is none.
      select("colour", "Colour", many.some((one) => one.name !== "fraction") ? factorOptions : [["model", "model"], ...factorOptions], many.some((one) => one.name !== "fraction") ? chosen("model") : "model"),
      select("panel", "Panels", [NONE, ...factorOptions], many.some((one) => one.name === "weights") ? "weights" : ""),
      check("log", "logarithmic axis", false),
      check("logY", "logarithmic values", false),
      check("origin", "from the origin", false),
      check("points", "single seeds", true),
    ],
    spec(state, width) {
      const metrics = state.metric === "both" ? [METRICS[0], METRICS[2]] : METRICS.filter((one) => one[0] === state.metric);
      const numeric = factor(state.x).values !== null;
      const rest = factors.map((one) => one.name).filter((name) => ![state.x, state.colour, state.panel].includes(name));
      const shape = (row, source, metric, title) => ({
        x: numeric ? valueOf(state.x, row["factor:" + state.x]) : row["factor:" + state.x],
        label: row["factor:" + state.x],
        colour: row["factor:" + state.colour],
        panel: state.panel ? panelName(state.panel, row["factor:" + state.panel]) : "",
        metric: title,
        group: joined(row, [...rest, state.colour]),
        cell: row.name, images: row.images, seeds: row.seeds, kind: source,
        y: row[metric], low: row[metric + "_low"], high: row[metric + "_high"],
        seed: row.seed, note: row.stopped ? "stopped early" : row.selected ? "recipe chosen on this seed" : "",
      });
      const values = [];
      for (const [metric, title] of metrics) {
        for (const row of cells) if (known(row[metric])) values.push(shape(row, "mean", metric, title));
        if (state.points || data.race) {
          for (const row of seeds) {
            if (known(row[metric]) && (row.stopped || (state.points && row.seeds > 1))) values.push(shape(row, row.stopped ? "stopped" : "seed", metric, title));
          }
        }
      }
      if (!values.length) return null;
      const panels = state.panel ? factor(state.panel).labels.slice(0, MAX_PANELS).map((label) => panelName(state.panel, label)) : [""];
      const shown = values.filter((value) => panels.includes(value.panel) && !(state.logY && value.y <= 0));
      if (!shown.length) return null;
      const columns = width > 560 ? metrics.length : 1;
      const stacked = columns < metrics.length;
      const panelWidth = Math.max(180, Math.floor((width - 70 - 30 * columns) / columns));
      const levels = factor(state.x);
      const log = state.log && numeric && levels.values.every((value) => value > 0);
      const labels = Object.fromEntries((levels.values || []).map((value, index) => [value, levels.labels[index]]));
      const span = numeric ? [Math.min(...levels.values), Math.max(...levels.values)] : null;
      const ticks = numeric ? spaced(levels.values, log, state.origin ? 0 : span[0], span[1], panelWidth / 46) : undefined;
      const x = numeric ? {
        field: "x", type: "quantitative",
        scale: log ? { type: "log", nice: false, padding: 14 } : { zero: Boolean(state.origin), nice: false, padding: state.origin ? 0 : 14, ...(state.origin ? { domain: [0, span[1] * 1.05] } : {}) },
        axis: { title: state.x === "fraction" ? "share of the training pool" : state.x, values: ticks, labelExpr: JSON.stringify(labels) + "[datum.value]" },
      } : { field: "x", type: "ordinal", sort: levels.labels, axis: { title: state.x, labelAngle: width < 620 ? -40 : 0 }, scale: { padding: 0.5 } };
      const y = {
        field: "y", type: "quantitative", title: null,
        scale: state.logY ? { type: "log", nice: false, padding: 8 } : { zero: Boolean(state.origin), ...(state.origin && metrics[0][0].endsWith("accuracy") ? { domain: [0, 1] } : {}) },
        axis: { format: metrics[0][0].endsWith("loss") ? ".3~g" : ".2~f", ...(state.logY ? { tickCount: 6 } : {}) },
      };
      const colour = { field: "colour", type: "nominal", title: state.colour, scale: scaleOf(state.colour) };
      const marks = { field: "colour", type: "nominal", title: state.colour, scale: shapeOf(state.colour) };
      const tooltip = [
        { field: "cell", title: "cell" }, { field: "metric", title: "shown" }, { field: "y", title: "mean", format: ".4f" },
        { field: "low", title: "95 % from", format: ".4f" }, { field: "high", title: "to", format: ".4f" },
        { field: "images", title: "images", format: "," }, { field: "seeds", title: "seeds" },
      ];
      const seedTip = [{ field: "cell", title: "cell" }, { field: "metric", title: "shown" }, { field: "seed", title: "seed" }, { field: "y", title: "value", format: ".4f" }, { field: "note", title: "note" }];
      // Dozens of lines in a panel would hide one another, and their intervals all of them.
      const crowded = new Set(shown.map((value) => value.group)).size > 24;
      // A layer without rows would be warned of, so that only those with some are drawn.
      const layer = [
        ["mean", "", { type: "line", strokeWidth: crowded ? 0.8 : 2, opacity: crowded ? 0.5 : 1 }, { detail: { field: "group" } }],
        [crowded ? "none" : "mean", " && datum.low !== null", { type: "rule", strokeWidth: 1.5 }, { y: { ...y, field: "low" }, y2: { field: "high" } }],
        ["seed", "", { type: "point", filled: true, size: 14, opacity: 0.5 }, { tooltip: seedTip }],
        ["stopped", "", { type: "point", shape: "M-1,-1L1,1M-1,1L1,-1", size: 60, strokeWidth: 2 }, { tooltip: seedTip }],
        ["mean", "", { type: "point", filled: true, size: crowded ? 16 : 64, opacity: crowded ? 0.6 : 1 }, { shape: marks, tooltip }],
      ].filter(([kind, more]) => shown.some((value) => value.kind === kind && (!more || known(value.low)))).map(([kind, more, mark, encoding]) => ({
        transform: [{ filter: "datum.kind === '" + kind + "'" + more }], mark, encoding: { x, y, color: colour, ...encoding },
      }));
      const facet = {};
      if (stacked) {
        for (const value of shown) value.panel = [value.panel, value.metric].filter(Boolean).join(" · ");
        facet.row = { field: "panel", type: "nominal", title: null, sort: panels.flatMap((panel) => metrics.map((one) => [panel, one[1]].filter(Boolean).join(" · "))) };
      } else {
        facet.column = { field: "metric", type: "nominal", title: null, sort: metrics.map((one) => one[1]) };
        if (state.panel) facet.row = { field: "panel", type: "nominal", title: null, sort: panels };
      }
      if (facet.row) facet.row.header = { labelAngle: 0, labelAnchor: "start", labelOrient: "top", titleOrient: "top", titleAnchor: "start" };
      return {
        data: { values: shown },
        facet, spec: { width: panelWidth, height: width > 560 ? 215 : 220, layer },
        resolve: { axis: { x: "independent" } },
      };
    },
  };

  charts.curves = {
    controls: [
      select("metric", "Show", [...(CURVE === "val_metric" ? [[CURVE, "validation " + data.metric]] : []), ["val_accuracy", "validation accuracy"], ["train_accuracy", "train accuracy"], ["test_accuracy", "test accuracy"], ["val_loss", "validation loss"], ["train_loss", "train loss"]], CURVE),
      select("colour", "Colour", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("fraction")),
      select("panel", "Panels", [NONE, ...factorOptions], many.some((one) => one.name === "model") ? "model" : ""),
      check("log", "logarithmic values", false),
    ],
    spec(state, width) {
      const rest = factors.map((one) => one.name).filter((name) => ![state.colour, state.panel].includes(name));
      const values = rows(data.curves, (row) => ({
        cell: cells[row.cell].name, place: row.cell, epoch: row.epoch, y: row[state.metric],
        colour: cells[row.cell]["factor:" + state.colour],
        panel: state.panel ? panelName(state.panel, cells[row.cell]["factor:" + state.panel]) : "",
        rest: joined(cells[row.cell], rest.filter((name) => factor(name).labels.length > 1)) || "all",
      })).filter((row) => known(row.y) && row.place < MAX_LINES && !(state.log && row.y <= 0));
      if (!values.length) return null;
      const panels = state.panel ? factor(state.panel).labels.slice(0, MAX_PANELS).map((label) => panelName(state.panel, label)) : [""];
      const columns = Math.max(1, Math.min(panels.length, Math.floor(width / 330)));
      const x = { field: "epoch", type: "quantitative", scale: { zero: false, nice: false, padding: 8 }, axis: { title: "epoch", tickMinStep: 1, format: "d" } };
      const y = { field: "y", type: "quantitative", title: null, scale: state.log ? { type: "log", nice: false } : { zero: false } };
      const encoding = {
        x, y, color: { field: "colour", type: "nominal", title: state.colour, scale: scaleOf(state.colour) },
        detail: { field: "place" },
        tooltip: [{ field: "cell" }, { field: "epoch" }, { field: "y", title: "mean over seeds", format: ".4f" }],
      };
      const dash = { field: "rest", type: "nominal", title: rest.filter((name) => factor(name).labels.length > 1).join(" × ") || null };
      return {
        data: { values: values.filter((value) => panels.includes(value.panel)) },
        facet: { field: "panel", type: "nominal", title: null, sort: panels, header: { labelAnchor: "start" } }, columns,
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
      select("metric", "Show", METRICS, MAIN),
      select("colour", "Colour", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("model")),
      select("shape", "Shape", [NONE, ...factorOptions], many.some((one) => one.name === "weights") ? "weights" : ""),
      check("log", "logarithmic axis", true),
    ],
    spec(state, width) {
      const values = cells.filter((row) => known(row[state.metric]) && row[state.x] > 0).map((row) => ({
        cell: row.name, x: row[state.x], y: row[state.metric], seeds: row.seeds,
        colour: row["factor:" + state.colour], shape: state.shape ? row["factor:" + state.shape] : "",
      }));
      if (!values.length) return null;
      const title = charts.cost.controls[0].options.find((one) => one[0] === state.x)[1];
      const encoding = {
        x: { field: "x", type: "quantitative", scale: state.log ? { type: "log", nice: false, padding: 14 } : { nice: false, padding: 14, zero: false }, axis: { title, format: Math.max(...values.map((row) => row.x)) < 1 ? "~g" : "~s", tickCount: 6 } },
        y: { field: "y", type: "quantitative", title: state.metric.replace("_", " "), scale: { zero: false } },
        color: { field: "colour", type: "nominal", title: state.colour, scale: scaleOf(state.colour) },
        tooltip: [{ field: "cell" }, { field: "y", title: state.metric.replace("_", " "), format: ".4f" }, { field: "x", title, format: ",.4~r" }, { field: "seeds" }],
      };
      if (state.shape) encoding.shape = { field: "shape", type: "nominal", title: state.shape, scale: shapeOf(state.shape) };
      return { data: { values }, width: Math.max(220, width - 80), height: 320, mark: { type: "point", filled: true, size: 80, opacity: 0.9 }, encoding };
    },
  };

  charts.cells = {
    controls: [
      select("metric", "Show", METRICS, MAIN),
      select("x", "Axis", factorOptions.length ? factorOptions : [[factors[0].name, factors[0].name]], chosen("fraction")),
    ],
    spec(state, width) {
      const rest = many.map((one) => one.name).filter((name) => name !== state.x);
      const everyRow = [...new Set(cells.map((row) => joined(row, rest) || "all"))];
      const names = everyRow.slice(0, MAX_ROWS);
      const values = cells.filter((row) => names.includes(joined(row, rest) || "all")).map((row) => ({
        cell: row.name, x: row["factor:" + state.x], y: joined(row, rest) || "all", value: known(row[state.metric]) ? row[state.metric] : null,
        text: known(row[state.metric]) ? row[state.metric].toFixed(3) : row.state, state: row.state, reason: row.reason, seeds: row.seeds,
      }));
      if (!values.length) return null;
      const title = METRICS.find((one) => one[0] === state.metric)[1];
      const range = values.filter((row) => row.value !== null).map((row) => row.value);
      const middle = (Math.min(...range) + Math.max(...range)) / 2;
      const tooltip = [{ field: "cell" }, { field: "value", title, format: ".4f" }, { field: "seeds" }, { field: "state" }, { field: "reason" }];
      const x = { field: "x", type: "ordinal", sort: factor(state.x).labels, title: state.x, axis: { labelAngle: 0, orient: "top", grid: false } };
      const y = { field: "y", type: "ordinal", sort: names, title: rest.join(" × ") || null, axis: { labelLimit: width < 620 ? 110 : 260, grid: false } };
      const columns = factor(state.x).labels.length;
      const room = Math.max(150, width - (width < 620 ? 150 : 330));
      const layer = [
        { transform: [{ filter: "datum.value === null" }], mark: { type: "rect", color: css("--panel"), stroke: css("--quiet"), strokeDash: [3, 3] }, encoding: { x, y, tooltip } },
        { transform: [{ filter: "datum.value !== null" }], mark: { type: "rect" }, encoding: { x, y, tooltip, color: { field: "value", type: "quantitative", title, scale: { scheme: "cividis", zero: false }, legend: { format: ".2~f", gradientLength: 160 } } } },
        { mark: { type: "text", fontSize: 12, limit: Math.floor(room / columns) - 2 }, encoding: { x, y, tooltip, text: { field: "text" }, color: { condition: [{ test: "datum.value === null", value: css("--ink") }, { test: "datum.value < " + middle, value: "#ffffff" }], value: "#000000" } } },
      ].filter((one) => !one.transform || values.some((row) => (row.value === null) === one.transform[0].filter.includes("=== null")));
      const more = everyRow.length > names.length ? { title: { text: "The first " + names.length + " of " + everyRow.length + " rows; the table below holds all.", fontSize: 12, fontWeight: "normal" } } : {};
      return { data: { values }, width: Math.min(room, 130 * columns), height: 30 * names.length, layer, ...more };
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

  // The charting library is unpacked when the first chart comes into sight.
  let unpacked = null;
  const library = () => unpacked ||= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("library").textContent.trim()), (one) => one.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  })();

  const drawn = [];
  for (const box of document.querySelectorAll("[data-chart]")) {
    const chart = charts[box.dataset.chart];
    const view = box.querySelector(".view");
    const section = box.closest("details");
    let turn = 0, last = null, width = 0, timer = 0;
    const draw = async () => {
      // What is folded has a width in some browsers and none in others.
      if (section && !section.open) return;
      width = view.clientWidth;
      const mine = ++turn;
      const spec = chart.spec(state, Math.floor(width));
      if (!spec) {
        const note = document.createElement("p");
        note.className = "nothing";
        note.textContent = "Nothing to draw yet.";
        view.replaceChildren(note);
        return;
      }
      await library();
      const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: data.name + "-" + box.dataset.chart };
      const description = view.getAttribute("aria-label");
      const result = await vegaEmbed(view, { $schema: "https://vega.github.io/schema/vega-lite/v6.json", description, config: config(width), autosize: { type: "pad" }, ...spec }, options);
      if (mine !== turn) { result.finalize(); return; }
      if (last) last.finalize();
      last = result;
      // What the library leaves unnamed: its menu, and groups without a mark.
      const menu = view.querySelector("summary");
      if (menu) menu.setAttribute("aria-label", "Save this chart as a picture");
      for (const one of view.querySelectorAll("[role^=graphics]:not([aria-label])")) {
        one.removeAttribute("role");
        one.removeAttribute("aria-roledescription");
      }
      box.dataset.drawn = String(turn);
    };
    const state = build(box.querySelector(".controls"), chart.controls, () => draw(), box.dataset.chart);
    const resized = () => {
      clearTimeout(timer);
      timer = setTimeout(() => { if (Math.abs(view.clientWidth - width) > 8) draw(); }, 150);
    };
    drawn.push({ draw, resized });
    if (section) section.addEventListener("toggle", () => { if (section.open && Math.abs(view.clientWidth - width) > 8) draw(); });
    draw();
  }
  addEventListener("resize", () => drawn.forEach((one) => one.resized()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((one) => one.draw()));
})();
