// Draws the figures of a tunebook report as SVG and makes its tables sort. No library, no network; every string
// reaches the page as a text node or an attribute, never as markup.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;

  // ---------------------------------------------------------------------------------- small tools

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
    for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
    return node;
  };
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const sv = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const button = (label, act, attributes = {}) => {
    const node = el("button", { type: "button", ...attributes }, label);
    node.addEventListener("click", act);
    return node;
  };
  const finite = (v) => typeof v === "number" && Number.isFinite(v);
  const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
  const share = (v, lo, hi) => (hi > lo ? (v / 2 - lo / 2) / (hi / 2 - lo / 2) : 0); // halves: no overflow
  const clamp = (v, lo, hi) => Math.min(hi, Math.max(lo, v));
  const plural = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;

  const number = (v, digits = 4) => {
    if (v === null || v === undefined) return "–";
    if (typeof v !== "number") return String(v);
    if (Number.isInteger(v) && Math.abs(v) < 1e15) return String(v).replace("-", "−");
    const size = Math.abs(v);
    const text = size >= 1e-4 && size < 1e6 ? String(Number(v.toPrecision(digits))) : Number(v.toPrecision(digits)).toExponential();
    return text.replace("e+", "e").replace(/-/g, "−");
  };

  const pen = document.createElement("canvas").getContext("2d");
  const measure = (text, size = 11.5) => {
    pen.font = `${size}px system-ui, sans-serif`;
    return pen.measureText(text).width;
  };
  const fit = (text, room, size = 11.5) => {
    text = String(text);
    if (measure(text, size) <= room) return text;
    let keep = Math.max(1, Math.floor((text.length * room) / measure(text, size)));
    while (keep > 1 && measure(text.slice(0, keep) + "…", size) > room) keep -= 1;
    return [...text].slice(0, keep).join("") + "…";
  };
  const label = (text, room, attributes) => {
    const shown = fit(text, room);
    return sv("text", attributes, shown, shown === text ? null : sv("title", {}, text));
  };

  // --------------------------------------------------------------------------------------- scales

  const niceStep = (span, count) => {
    const raw = span / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw)), part = raw / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
  };
  const linearTicks = (lo, hi, count) => {
    const step = niceStep(hi - lo, count), first = Math.ceil(lo / step - 1e-9), ticks = [];
    for (let i = 0; i < 20 && (first + i) * step <= hi + step * 1e-9; i += 1) {
      const v = Number(((first + i) * step).toPrecision(12));
      if (ticks.length === 0 || v !== ticks[ticks.length - 1]) ticks.push(v);
    }
    return ticks;
  };
  const logTicks = (lo, hi, count) => {
    const a = Math.log10(lo), b = Math.log10(hi);
    if (b - a < 0.7) return linearTicks(lo, hi, count).filter((v) => v > 0);
    const every = Math.max(1, Math.ceil((b - a) / Math.max(2, count))), ticks = [];
    for (let e = Math.floor(a); e <= b + 1e-9; e += 1) {
      if (e % every === 0) for (const m of b - a < 1.7 ? [1, 2, 5] : b - a < (count > 4 ? 3 : 2.5) ? [1, 3] : [1]) ticks.push(m * 10 ** e);
    }
    return ticks.filter((v) => v >= lo * 0.999999 && v <= hi * 1.000001).map((v) => Number(v.toPrecision(6)));
  };

  // Where a few values lie far from the rest, the ends that show the rest: three times the middle 90 % away is far.
  const withoutOutliers = (values) => {
    const sorted = Float64Array.from(values).sort(), n = sorted.length, at = (q) => sorted[Math.round(q * (n - 1))];
    const [lo, hi] = [sorted[0], sorted[n - 1]];
    if (n < 10) return [lo, hi];
    const low = at(0.05), high = at(0.9), span = high - low || Math.abs(high) * 0.1 || 1;
    const inside = sorted.filter((v) => v >= low - span && v <= high + span);
    return [lo < low - 3 * span ? inside[0] : lo, hi > high + 3 * span ? inside[inside.length - 1] : hi];
  };

  // A scale maps values to 0..1 and back to words. options: clip (drop far outliers), values, marks, count of ticks.
  const scaleOf = (axis, values, { clip = false, marks = [], count = 5, pad = 0.04 } = {}) => {
    if (axis.scale === "category") return categoryScale(axis, values);
    const log = axis.scale === "log", fwd = log ? Math.log10 : (v) => v, back = log ? (v) => clamp(10 ** v, 5e-324, 1.7e308) : (v) => v;
    const usable = (v) => finite(v) && (!log || v > 0);
    const raw = values.filter(usable).map((v) => fwd(clamp(v, -8e307, 8e307)));
    const ends = raw.length ? (clip ? withoutOutliers(raw) : [least(raw), most(raw)]) : [0, 1];
    let [lo, hi] = ends;
    const inScale = (v) => fwd(clamp(v, -8e307, 8e307));
    for (const m of marks.filter(usable).map(inScale)) if (!clip || Math.abs(m - (lo + hi) / 2) < 2 * (hi - lo)) [lo, hi] = [Math.min(lo, m), Math.max(hi, m)];
    const fixed = [usable(axis.low), usable(axis.high)];
    if (fixed[0]) lo = inScale(axis.low);
    if (fixed[1]) hi = inScale(axis.high);
    if (!(hi > lo)) { const half = Math.abs(lo) * 0.05 || 0.5; lo -= half; hi += half; }
    const room = (hi - lo) * pad;
    lo -= room; hi += room;
    const flat = !log && !fixed[0] && lo < 0 && raw.length > 0 && ends[0] >= 0;
    if (flat) lo = 0;
    const ticks = (log ? logTicks(back(lo), back(hi), count) : linearTicks(lo, hi, count)).map((v) => ({ at: (fwd(v) - lo) / (hi - lo), text: number(v, 6) }));
    const place = (v) => (usable(v) ? (fwd(clamp(v, -8e307, 8e307)) - lo) / (hi - lo) : NaN);
    const out = values.filter(usable).map(place);
    return { place, ticks, usable, log, low: back(lo), high: back(hi), above: out.filter((t) => t > 1.000001).length, below: out.filter((t) => t < -0.000001).length };
  };
  const categoryScale = (axis, values) => {
    const names = [...new Set([...(axis.categories || []), ...values.filter((v) => v !== null && v !== undefined).map(String)])];
    const index = new Map(names.map((name, i) => [name, i])), n = Math.max(1, names.length);
    const place = (v) => (index.has(String(v)) && v !== null && v !== undefined ? (index.get(String(v)) + 0.5) / n : NaN);
    return { place, ticks: names.map((name, i) => ({ at: (i + 0.5) / n, text: name })), usable: (v) => index.has(String(v)), category: true, above: 0, below: 0, room: 1 / n };
  };

  // ------------------------------------------------------------------------- the frame of a plot

  const axisTitle = (axis) => axis.label + (axis.scale === "log" ? "  (log)" : "");

  // A plot area with both axes: {svg, plot, X, Y, width, height}. X and Y map values to pixels.
  const frame = (view, xAxis, yAxis, data, strip) => {
    const total = view.width, wide = total > 420;
    const Y = scaleOf(view.full ? { ...yAxis, low: undefined, high: undefined } : yAxis, data.y, { clip: !view.full, marks: data.yMarks, count: wide ? 5 : 4 });
    const left = Math.ceil(Math.min(total * 0.3, Math.max(22, ...Y.ticks.map((t) => measure(t.text))) + 10)) + (yAxis.label ? 20 : 0);
    const right = 14, width = Math.max(40, total - left - right);
    const X = scaleOf(xAxis, data.x, { marks: data.xMarks, count: Math.max(2, Math.min(8, Math.floor(width / (xAxis.scale === "log" ? 52 : 75)))), pad: strip ? 0.03 : 0.01 });
    const band = X.category ? width * X.room : 0;
    const longest = X.category ? Math.max(0, ...X.ticks.map((t) => measure(t.text))) : 0;
    const turned = X.category && longest > band - 6;
    const foot = turned ? Math.min(90, longest * 0.72 + 10) : 18;
    const below = strip && data.missing ? 22 : 0;
    const top = 8, height = view.height, full = top + height + below + foot + (xAxis.label ? 20 : 4);
    const svg = sv("svg", { class: "canvas", viewBox: `0 0 ${total} ${full}`, role: "img", "aria-label": view.title, tabindex: 0 });
    const plot = sv("g", { transform: `translate(${left} ${top})` });
    for (const t of Y.ticks) {
      const y = height * (1 - t.at);
      plot.append(sv("line", { class: "gridline", x1: 0, x2: width, y1: y, y2: y }));
      plot.append(label(t.text, left - 8 - (yAxis.label ? 20 : 0), { x: -8, y, dy: "0.33em", "text-anchor": "end" }));
    }
    let last = -Infinity;
    for (const t of X.ticks) {
      const x = width * t.at, half = turned ? 7 : measure(t.text) / 2;
      if (!X.category) plot.append(sv("line", { class: "axisline", x1: x, x2: x, y1: height + below, y2: height + below + 4 }));
      if (x - half < last + 5) continue;
      last = x + half;
      const y = height + below + 16;
      if (turned) plot.append(label(t.text, 110, { "text-anchor": "end", transform: `translate(${x + 4} ${y - 3}) rotate(-42)` }));
      else plot.append(label(t.text, X.category ? band : 200, { x, y, "text-anchor": "middle" }));
    }
    plot.append(sv("line", { class: "axisline", x1: 0, x2: width, y1: height + below, y2: height + below }));
    if (xAxis.label) plot.append(label(axisTitle(xAxis), width, { class: "title", x: width / 2, y: height + below + foot + 14, "text-anchor": "middle" }));
    if (yAxis.label) plot.append(label(axisTitle(yAxis), height, { class: "title", "text-anchor": "middle", transform: `translate(${-left + 12} ${height / 2}) rotate(-90)` }));
    svg.append(plot);
    const clipId = `clip${view.index}`;
    svg.prepend(sv("clipPath", { id: clipId }, sv("rect", { x: 0, y: -3, width, height: height + 6 })));
    return { svg, plot, scaleX: X, scaleY: Y, X: (v) => width * X.place(v), Y: (v) => height * (1 - Y.place(v)), width, height, left, top, below, clip: `url(#${clipId})` };
  };

  const drawMarks = (at, marks) => {
    for (const m of marks) {
      const across = m.axis === "y", p = across ? at.Y(m.at) : at.X(m.at);
      if (!finite(p) || p < -1 || p > (across ? at.height : at.width) + 1) continue;
      at.plot.append(across ? sv("line", { class: "refline", x1: 0, x2: at.width, y1: p, y2: p }) : sv("line", { class: "refline", x1: p, x2: p, y1: 0, y2: at.height }));
      if (!m.label) continue;
      const end = across || p > at.width / 2;
      at.plot.append(label(m.label, at.width * 0.6, { class: "halo", x: across ? at.width - 4 : p + (end ? -5 : 5), y: across ? (p < 14 ? p + 13 : p - 5) : 10, "text-anchor": end ? "end" : "start" }));
    }
  };

  const sayOutliers = (view, at, missing, words) => {
    const { above, below } = at.scaleY, said = [];
    if (above) said.push(`${plural(above, "value")} above ${number(at.scaleY.high, 3)}`);
    if (below) said.push(`${plural(below, "value")} below ${number(at.scaleY.low, 3)}`);
    if (said.length) view.says.push([`${said.join(" and ")} ${above + below === 1 ? "is" : "are"} drawn at the edge.`, "Show all", () => { view.full = true; view.draw(); }]);
    else if (view.full) view.says.push(["All values are shown.", "Cut outliers", () => { view.full = false; view.draw(); }]);
    if (missing) view.says.push([`${plural(missing, "value")} ${missing === 1 ? "is" : "are"} ${words}`]);
  };

  // --------------------------------------------------------------------- hovering and stepping

  const tip = el("div", { class: "tip", role: "status", hidden: "" });
  const showTip = (lines, x, y) => {
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const box = tip.getBoundingClientRect(), gap = 14;
    tip.style.left = `${clamp(x + gap + box.width > innerWidth - 8 ? x - gap - box.width : x + gap, 8, Math.max(8, innerWidth - box.width - 8))}px`;
    tip.style.top = `${clamp(y - box.height - gap < 8 ? y + gap : y - box.height - gap, 8, Math.max(8, innerHeight - box.height - 8))}px`;
  };
  const hideTip = () => { tip.hidden = true; };

  // targets: [{x, y, lines: () => [text]}] in pixels of the plot. Pointer: the nearest within reach; keys: one by one.
  const interact = (svg, plot, targets, { reach = 36, mark = () => {} } = {}) => {
    if (targets.length === 0) return;
    const lens = sv("circle", { class: "lens", r: 6.5, visibility: "hidden" });
    plot.append(lens);
    let order = null, step = -1;
    const show = (t, x, y) => {
      lens.setAttribute("cx", t.x); lens.setAttribute("cy", t.y); lens.setAttribute("visibility", "visible");
      mark(t);
      showTip(t.lines(), x, y);
    };
    const hide = () => { lens.setAttribute("visibility", "hidden"); mark(null); hideTip(); };
    const toScreen = (x, y) => { const m = plot.getScreenCTM(); return [m.a * x + m.e, m.d * y + m.f]; };
    svg.addEventListener("pointermove", (event) => {
      const m = plot.getScreenCTM(), px = (event.clientX - m.e) / m.a, py = (event.clientY - m.f) / m.d;
      let best = null, least = reach * reach;
      for (const t of targets) {
        const d = (t.x - px) ** 2 + (t.y - py) ** 2;
        if (d < least && !(t.hidden && t.hidden())) { least = d; best = t; }
      }
      if (best) show(best, event.clientX, event.clientY); else hide();
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!by || event.target !== svg) return;
      event.preventDefault();
      order = order || [...targets].sort((a, b) => a.x - b.x || a.y - b.y);
      step = (step + by + order.length) % order.length;
      show(order[step], ...toScreen(order[step].x, order[step].y));
    });
  };

  // One selection for the page: the labels picked in a Parallel, or null for all. Points of other figures listen.
  const listeners = new Set();
  const select = (chosen, known) => { for (const listen of listeners) listen(chosen, known); };

  // -------------------------------------------------------------------------------- lines, points

  const hueOf = (names) => { const seen = [...new Set(names)]; return (name) => `k-c${seen.indexOf(name) % 8}`; };
  const toneOf = (thing, otherwise) => (thing.tone && thing.tone !== "plain" ? `k-${thing.tone}` : otherwise);

  const pathOf = (xs, ys, step) => {
    let d = "", open = false, alone = [];
    xs.forEach((x, i) => {
      const y = ys[i];
      if (!finite(x) || !finite(y)) { open = false; return; }
      const px = x.toFixed(1), py = y.toFixed(1);
      d += open ? (step ? `H${px}V${py}` : `L${px} ${py}`) : `M${px} ${py}`;
      if (!open && !(finite(xs[i + 1]) && finite(ys[i + 1]))) alone.push([px, py]);
      open = true;
    });
    return [d, alone];
  };

  const drawSeries = (at, s, hue) => {
    const xs = s.x.map(at.X), limit = 4 * at.height, ys = s.y.map((v) => clamp(at.Y(v), -limit, limit)), group = sv("g", { class: toneOf(s, hue), "clip-path": at.clip });
    if (s.lower) {
      const edge = (vs) => vs.map((v, i) => [xs[i], clamp(at.Y(v), -limit, limit)]).filter(([x, y]) => finite(x) && finite(y));
      const up = edge(s.upper), down = edge(s.lower).reverse();
      if (up.length && down.length) group.append(sv("path", { class: "band", d: "M" + [...up, ...down].map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L") + "Z" }));
    }
    const [d, alone] = pathOf(xs, ys, s.step);
    group.append(sv("path", { class: `path ${s.dash || "solid"}`, d }));
    for (const [cx, cy] of alone) group.append(sv("circle", { class: "dot", r: 3.2, cx, cy }));
    at.plot.append(group);
    return xs.map((x, i) => ({ x, y: clamp(ys[i], 0, at.height), i })).filter((p) => finite(p.x) && finite(ys[p.i]));
  };

  const nameOf = (s) => (s.role ? `${s.name} · ${s.role}` : s.name);
  const shownSeries = (view, series) => series.filter((s) => !view.off.has(s.name));

  const drawLines = (view, fig) => {
    const series = fig.series || [], hue = hueOf(series.map((s) => s.name)), marks = fig.marks || [];
    legend(view, series.map((s) => ({ name: s.name, hue: toneOf(s, hue(s.name)) })), rolesOf(series));
    const shown = shownSeries(view, series);
    const at = frame(view, fig.x, fig.y, {
      x: shown.flatMap((s) => s.x), y: shown.flatMap((s) => (s.lower ? [...s.y, ...s.lower, ...s.upper] : s.y)),
      xMarks: marks.filter((m) => m.axis === "x").map((m) => m.at), yMarks: marks.filter((m) => m.axis === "y").map((m) => m.at),
    });
    drawMarks(at, marks);
    const targets = [], few = shown.length <= 10;
    const cursor = sv("line", { class: "cursor", y1: 0, y2: at.height, visibility: "hidden" });
    at.plot.append(cursor);
    for (const s of shown) {
      for (const p of drawSeries(at, s, hue(s.name))) {
        const lines = () => {
          const here = few ? shown.filter((o) => o.x.includes(s.x[p.i])) : [s];
          return [`${fig.x.label} ${number(s.x[p.i])}`, ...here.map((o) => {
            const j = o.x.indexOf(s.x[p.i]), band = o.lower ? `  (${number(o.lower[j])} to ${number(o.upper[j])})` : "";
            return `${nameOf(o)}: ${number(o.y[j])}${band}`;
          })];
        };
        targets.push({ x: p.x, y: p.y, lines });
      }
    }
    const missing = shown.reduce((n, s) => n + s.y.filter((v) => !at.scaleY.usable(v)).length, 0);
    sayOutliers(view, at, missing, at.scaleY.log ? "not above zero or not finite, and left out." : "not finite and left out.");
    interact(at.svg, at.plot, targets, { reach: 90, mark: (t) => {
      cursor.setAttribute("visibility", t ? "visible" : "hidden");
      if (t) { cursor.setAttribute("x1", t.x); cursor.setAttribute("x2", t.x); }
    } });
    view.show(at.svg);
  };

  const SHAPES = {
    cross: (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
    triangle: (r) => `M0 ${-r * 1.15}L${r * 1.1} ${r * 0.85}H${-r * 1.1}Z`,
    star: (r) => "M" + Array.from({ length: 10 }, (_, i) => {
      const a = (Math.PI * i) / 5 - Math.PI / 2, d = i % 2 ? r * 0.75 : r * 1.75;
      return `${(d * Math.cos(a)).toFixed(2)} ${(d * Math.sin(a)).toFixed(2)}`;
    }).join("L") + "Z",
  };
  const symbol = (marker, x, y, r, hue) => {
    const at = { class: `dot ${marker || "circle"} ${hue}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` };
    return SHAPES[marker] ? sv("path", { ...at, d: SHAPES[marker](r) }) : sv("circle", { ...at, r });
  };
  const level = (t) => `k-q${clamp(Math.floor(t * 9), 0, 8)}`;

  const drawScatter = (view, fig) => {
    const groups = fig.points || [], lines = fig.lines || [], marks = fig.marks || [];
    const hue = hueOf([...groups, ...lines].map((g) => g.name));
    const shades = groups.flatMap((g) => g.shade || []).filter(finite);
    const lowShade = least(shades), highShade = most(shades);
    legend(view, [
      ...groups.map((g) => ({ name: g.name, hue: toneOf(g, g.shade ? "k-q5" : hue(g.name)), marker: g.marker || "circle" })),
      ...lines.map((s) => ({ name: s.name, hue: toneOf(s, hue(s.name)) })),
    ], rolesOf(lines), shades.length && [fig.shade || "", number(lowShade), number(highShade)]);
    const shown = groups.filter((g) => !view.off.has(g.name)), over = shownSeries(view, lines);
    const log = fig.y.scale === "log", usable = (v) => finite(v) && (!log || v > 0);
    const missing = shown.reduce((n, g) => n + g.y.filter((v) => !usable(v)).length, 0);
    const at = frame(view, fig.x, fig.y, {
      x: [...shown.flatMap((g) => g.x), ...over.flatMap((s) => s.x)], y: [...shown.flatMap((g) => g.y), ...over.flatMap((s) => s.y)], missing,
      xMarks: marks.filter((m) => m.axis === "x").map((m) => m.at), yMarks: marks.filter((m) => m.axis === "y").map((m) => m.at),
    }, true);
    drawMarks(at, marks);
    const targets = [], dots = [];
    for (const s of over) for (const p of drawSeries(at, s, hue(s.name))) targets.push({ x: p.x, y: p.y, lines: () => [nameOf(s), `${fig.x.label}: ${number(s.x[p.i])}`, `${fig.y.label}: ${number(s.y[p.i])}`] });
    const count = shown.reduce((n, g) => n + g.x.length, 0), radius = count > 400 ? 2.4 : count > 120 ? 3.2 : 4;
    let lost = 0;
    for (const g of shown) g.x.forEach((v, i) => {
      const x = at.X(v), real = usable(g.y[i]), raw = real ? at.Y(g.y[i]) : at.height + at.below / 2, y = real ? clamp(raw, 0, at.height) : raw;
      if (!finite(x)) { lost += 1; return; }
      const jitter = at.scaleX.category ? (((i * 0.618034) % 1) - 0.5) * Math.min(24, at.width * at.scaleX.room * 0.4) : 0;
      const tone = g.shade && finite(g.shade[i]) ? level(share(g.shade[i], lowShade, highShade)) : toneOf(g, hue(g.name));
      const node = symbol(raw !== y ? "triangle" : g.marker, x + jitter, y, radius, tone), name = (g.labels || [])[i];
      if (real && raw > y) node.setAttribute("transform", `${node.getAttribute("transform")} rotate(180)`);
      at.plot.append(node);
      dots.push([node, name]);
      const lines = () => [name || g.name, `${fig.x.label}: ${number(v)}`, `${fig.y.label}: ${real ? number(g.y[i]) : "no finite value"}`,
        ...(g.shade ? [`${fig.shade}: ${number(g.shade[i])}`] : []), ...(name && shown.length > 1 ? [g.name] : [])].filter((t) => t !== ": –");
      targets.unshift({ x: x + jitter, y, lines, hidden: () => node.classList.contains("off") });
    });
    const listen = (chosen, known) => { for (const [node, name] of dots) node.classList.toggle("off", chosen !== null && known.has(name) && !chosen.has(name)); };
    view.listen(listen);
    sayOutliers(view, at, missing, "not finite: drawn in the strip below the plot.");
    if (lost) view.says.push([`${plural(lost, "point")} without a place on the x axis ${lost === 1 ? "is" : "are"} left out.`]);
    interact(at.svg, at.plot, targets);
    view.show(at.svg);
  };

  const rolesOf = (series) => {
    const roles = new Map(series.filter((s) => s.role).map((s) => [s.role, s.dash || "solid"]));
    return new Set(roles.values()).size > 1 ? [...roles] : [];
  };

  // entries switch what they name on and off; roles and the shade scale only explain.
  const legend = (view, entries, roles = [], shade = null) => {
    const seen = new Map(entries.map((e) => [e.name, e]).reverse()), box = el("div", { class: "legend" });
    const key = (hue, marker, dash) => {
      const icon = sv("svg", { width: 18, height: 12, "aria-hidden": "true", class: hue });
      icon.append(marker ? symbol(marker, 9, 6, 4, hue) : sv("path", { class: `path ${dash || ""}`, d: "M1 6H17" }));
      return icon;
    };
    if (seen.size > 1 || (seen.size && roles.length)) for (const e of [...seen.values()].reverse()) {
      box.append(button([key(e.hue, e.marker), el("span", {}, e.name)], () => {
        if (view.off.has(e.name)) view.off.delete(e.name); else view.off.add(e.name);
        view.draw();
        for (const other of view.host.querySelectorAll(".legend button")) if (other.textContent === e.name) other.focus();
      }, { "aria-pressed": String(!view.off.has(e.name)) }));
    }
    for (const [role, dash] of roles) box.append(el("span", { class: "key" }, key("k-c6", null, dash), role));
    if (shade) box.append(ramp(...shade));
    if (box.childNodes.length) view.parts.push(box);
  };
  const ramp = (name, low, high) => {
    const icon = sv("svg", { width: 90, height: 10, "aria-hidden": "true" });
    for (let i = 0; i < 9; i += 1) icon.append(sv("rect", { class: `rect k-q${i}`, x: i * 10, width: 10.5, height: 10 }));
    return el("span", { class: "key" }, `${name} ${low}`.trim(), icon, high);
  };

  // ----------------------------------------------------------------------------------------- bars

  const drawBars = (view, fig) => {
    const bars = fig.bars, row = 28, total = view.width;
    const left = Math.ceil(Math.min(total * 0.38, Math.max(30, ...bars.map((b) => measure(b.label, 12.5))) + 12));
    const ends = bars.flatMap((b) => [b.value, b.low, b.high]).filter(finite);
    const X = scaleOf({ ...fig.x, low: Math.min(0, ...ends), high: Math.max(0, ...ends) }, ends, { count: Math.max(2, Math.floor((total - left) / 90)), pad: 0 });
    const width = Math.max(40, total - left - 58), height = bars.length * row;
    const svg = sv("svg", { class: "canvas", viewBox: `0 0 ${total} ${height + 44}`, role: "img", "aria-label": view.title, tabindex: 0 });
    const plot = sv("g", { transform: `translate(${left} 4)` }), px = (v) => width * X.place(clamp(v, -8e307, 8e307));
    for (const t of X.ticks) {
      plot.append(sv("line", { class: "gridline", x1: width * t.at, x2: width * t.at, y1: 0, y2: height }));
      plot.append(sv("text", { x: width * t.at, y: height + 15, "text-anchor": "middle" }, t.text));
    }
    const targets = [], zero = px(0);
    bars.forEach((b, i) => {
      const y = i * row + row / 2;
      plot.append(label(b.label, left - 12, { class: "strong", x: -10, y, dy: "0.33em", "text-anchor": "end" }));
      if (!finite(b.value)) { plot.append(sv("text", { x: zero + 6, y, dy: "0.33em" }, "no finite value")); return; }
      const end = px(b.value), interval = finite(b.low) && finite(b.high), far = interval ? Math.max(end, px(b.high)) : end;
      plot.append(sv("rect", { class: `rect ${toneOf(b, "k-c0")}`, x: Math.min(zero, end), width: Math.max(1, Math.abs(end - zero)), y: y - 8, height: 16, rx: 2.5 }));
      if (interval) plot.append(sv("path", { class: "whisker", fill: "none", d: `M${px(b.low)} ${y - 4}v8m0-4H${px(b.high)}m0-4v8` }));
      plot.append(sv("text", { class: "strong", x: Math.max(far, zero) + 7, y, dy: "0.33em" }, number(b.value, 3)));
      targets.push({ x: end, y, lines: () => [b.label, `${fig.x.label}: ${number(b.value)}`, ...(interval ? [`from ${number(b.low)} to ${number(b.high)}`] : [])] });
    });
    plot.append(sv("line", { class: "axisline", x1: zero, x2: zero, y1: 0, y2: height }));
    plot.append(label(axisTitle(fig.x), width, { class: "title", x: width / 2, y: height + 33, "text-anchor": "middle" }));
    svg.append(plot);
    interact(svg, plot, targets, { reach: 400 });
    view.show(svg);
  };

  // --------------------------------------------------------------------------------------- matrix

  const drawMatrix = (view, fig) => {
    const rows = fig.rows, columns = fig.columns, values = fig.values, counts = fig.kind === "counts", signed = fig.kind === "signed";
    const left = Math.ceil(Math.min(view.width * 0.28, Math.max(20, ...rows.map((r) => measure(r))) + 12)) + (fig.row_title ? 20 : 0);
    const cell = clamp((view.width - left - 4) / columns.length, 14, 62), tall = clamp(cell, 14, counts ? 44 : 36);
    const longest = Math.max(0, ...columns.map((c) => measure(c))), turned = longest > cell - 4;
    const head = (turned ? Math.min(90, longest * 0.72 + 12) : 18) + (fig.column_title ? 20 : 0);
    const width = left + cell * columns.length + 4, height = head + tall * rows.length + 6, fits = width <= view.width + 1;
    const svg = sv("svg", { class: "canvas fixed", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": view.title, tabindex: 0 });
    const plot = sv("g", { transform: `translate(${left} ${head})` }), all = values.flat().filter(finite), targets = [];
    const low = least(all), high = most(all);
    if (fig.column_title) plot.append(label(fig.column_title, cell * columns.length, { class: "title", x: (cell * columns.length) / 2, y: -head + 12, "text-anchor": "middle" }));
    if (fig.row_title) plot.append(label(fig.row_title, tall * rows.length, { class: "title", "text-anchor": "middle", transform: `translate(${-left + 12} ${(tall * rows.length) / 2}) rotate(-90)` }));
    columns.forEach((c, j) => plot.append(turned
      ? label(c, 110, { transform: `translate(${(j + 0.5) * cell + 4} -7) rotate(-42)` })
      : label(c, cell, { x: (j + 0.5) * cell, y: -7, "text-anchor": "middle" })));
    rows.forEach((r, i) => {
      const sum = values[i].filter(finite).reduce((a, b) => a + b, 0);
      plot.append(label(r, left - 12 - (fig.row_title ? 20 : 0), { x: -8, y: (i + 0.5) * tall, dy: "0.33em", "text-anchor": "end" }));
      values[i].forEach((v, j) => {
        const part = !finite(v) ? 0 : counts ? (sum > 0 ? v / sum : 0) : signed ? Math.abs(v) : share(v, low, high);
        const hue = counts && v === 0 ? "k-muted" : signed && v < 0 ? "k-c1" : counts && rows[i] !== columns[j] ? "k-c1" : "k-c0", worth = clamp(part, 0, 1), opacity = 0.05 + 0.95 * (counts ? Math.sqrt(worth) : worth);
        plot.append(sv("rect", { class: `rect ${hue}`, "fill-opacity": opacity.toFixed(3), x: j * cell + 1, y: i * tall + 1, width: cell - 2, height: tall - 2, rx: 3 }));
        const dark = opacity > 0.55, percent = `${(100 * part).toFixed(part > 0 && part < 0.1 ? 1 : 0)}%`;
        const words = finite(v) ? number(v, 2) : "–", both = counts && cell >= 40 && v > 0;
        if (cell >= 24 && (!counts || v !== 0)) plot.append(sv("text", { class: dark ? "inverse" : "strong", x: (j + 0.5) * cell, y: (i + 0.5) * tall, dy: both ? "-0.1em" : "0.33em", "text-anchor": "middle" }, words));
        if (both) plot.append(sv("text", { class: dark ? "inverse" : "", x: (j + 0.5) * cell, y: (i + 0.5) * tall, dy: "1.05em", "text-anchor": "middle", "font-size": 9.5 }, percent));
        targets.push({ x: (j + 0.5) * cell, y: (i + 0.5) * tall, lines: () => [`${fig.row_title || "row"}: ${r}`, `${fig.column_title || "column"}: ${columns[j]}`, counts ? `${number(v)}  (${percent} of the row)` : number(v)] });
      });
    });
    svg.append(plot);
    interact(svg, plot, targets, { reach: cell });
    view.show(fits ? svg : el("div", { class: "strip" }, svg));
  };

  // -------------------------------------------------------------------------- parallel coordinates

  const drawParallel = (view, fig) => {
    const axes = fig.axes, rows = fig.rows, n = axes.length, height = view.height + 10, top = 34, below = 26;
    const state = (view.parallel = view.parallel || { brushes: axes.map(() => null), turned: axes.map(() => false) });
    const scales = axes.map((axis, j) => scaleOf(axis, rows.map((r) => r[j]), { count: 5, pad: 0.02 }));
    const margin = [Math.min(110, 14 + Math.max(0, ...scales[0].ticks.map((t) => measure(t.text)))), 40];
    const gap = Math.max(92, (view.width - margin[0] - margin[1]) / (n - 1)), total = margin[0] + margin[1] + gap * (n - 1);
    const svg = sv("svg", { class: "canvas fixed", viewBox: `0 0 ${total} ${height + top + below}`, width: total, height: height + top + below, role: "group", "aria-label": view.title });
    const plot = sv("g", { transform: `translate(${margin[0]} ${top})`, class: rows.length > 250 ? "many" : "few" });
    const y = (j, v) => { const t = scales[j].place(v); return finite(t) ? height * (state.turned[j] ? t : 1 - t) : height + 16; };
    const losses = rows.map((r) => r[n - 1]), sign = fig.better === "higher" ? -1 : 1;
    const ranked = losses.map((v, i) => [finite(v) ? sign * v : Infinity, i]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1])).map(([, i]) => i);
    const worth = new Map(ranked.map((i, rank) => [i, rows.length > 1 ? 1 - rank / (rows.length - 1) : 1]));
    const places = rows.map((r) => axes.map((_, j) => y(j, r[j]))), threads = new Map(), targets = [];
    for (const i of [...ranked].reverse()) {
      const d = "M" + places[i].map((p, j) => `${(gap * j).toFixed(1)} ${p.toFixed(1)}`).join("L");
      const thread = sv("path", { class: `thread ${finite(losses[i]) ? level(worth.get(i)) : "none k-muted"}`, d });
      threads.set(i, thread);
      plot.append(thread);
      const lines = () => [fig.labels[i], ...axes.map((a, j) => `${a.label}: ${number(rows[i][j])}`)];
      for (let j = 0; j < n; j += 1) targets.push({ x: gap * j, y: places[i][j], i, lines, hidden: () => thread.classList.contains("off") });
      for (let j = 0; j + 1 < n; j += 1) for (const t of [1 / 3, 2 / 3]) targets.push({ x: gap * (j + t), y: places[i][j] * (1 - t) + places[i][j + 1] * t, i, lines, hidden: () => thread.classList.contains("off") });
    }
    const count = el("span", { "aria-live": "polite" }), reset = button("Clear selection", () => { state.brushes.fill(null); update(); }), rects = [];
    const update = () => {
      const chosen = rows.map((_, i) => i).filter((i) => state.brushes.every((b, j) => !b || (places[i][j] >= b[0] && places[i][j] <= b[1])));
      const kept = new Set(chosen), any = state.brushes.some((b) => b);
      for (const [i, thread] of threads) thread.classList.toggle("off", !kept.has(i));
      state.brushes.forEach((b, j) => {
        rects[j].setAttribute("visibility", b ? "visible" : "hidden");
        if (b) { rects[j].setAttribute("y", b[0]); rects[j].setAttribute("height", Math.max(1, b[1] - b[0])); }
      });
      count.textContent = any ? `${chosen.length} of ${plural(rows.length, "line")} selected` : `${plural(rows.length, "line")}; drag along an axis to select, click its name to turn it over`;
      reset.hidden = !any;
      select(any ? new Set(chosen.map((i) => fig.labels[i])) : null, new Set(fig.labels));
    };
    axes.forEach((axis, j) => {
      const group = sv("g", { transform: `translate(${gap * j} 0)` });
      group.append(sv("line", { class: "axisline", y1: 0, y2: height }));
      for (const t of scales[j].ticks) {
        const at = height * (state.turned[j] ? t.at : 1 - t.at);
        group.append(sv("line", { class: "axisline", x1: -4, x2: 0, y1: at, y2: at }), label(t.text, j ? gap - 14 : 100, { class: "halo", x: -7, y: at, dy: "0.33em", "text-anchor": "end" }));
      }
      if (rows.some((r) => !scales[j].usable(r[j]))) group.append(sv("text", { class: "halo", x: -7, y: height + 16, dy: "0.33em", "text-anchor": "end" }, "none"));
      const turn = () => { state.turned[j] = !state.turned[j]; state.brushes[j] = null; view.draw(); };
      const name = label(axis.label, gap - 8, { class: "strong turn", y: -14, "text-anchor": j === n - 1 ? "end" : "middle", x: j === n - 1 ? margin[1] - 4 : 0, role: "button", tabindex: 0, "font-weight": j === n - 1 ? 650 : 500 });
      name.addEventListener("click", turn);
      name.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); turn(); } });
      rects[j] = sv("rect", { class: "brush", x: -8, width: 16, visibility: "hidden", rx: 2 });
      const pick = sv("rect", { class: "pick", x: -14, width: 28, y: -6, height: height + 30, tabindex: 0, role: "slider", "aria-label": `Select on ${axis.label}: arrow keys move, Escape clears`, "aria-valuenow": 0, "data-axis": j });
      group.append(rects[j], name, pick);
      brushing(pick, plot, height, (b) => { state.brushes[j] = b; update(); }, () => state.brushes[j]);
      plot.append(group);
    });
    svg.append(plot);
    let lit = null;
    interact(svg, plot, targets, { reach: 26, mark: (t) => {
      if (lit !== null) threads.get(lit).classList.remove("lit");
      lit = t ? t.i : null;
      if (t) threads.get(t.i).classList.add("lit");
    } });
    view.parts.push(el("div", { class: "legend" }, ramp("", "worse", "better")));
    view.show(el("div", { class: "strip" }, svg), el("p", { class: "said" }, count, reset));
    update();
  };

  // Drag to set a stretch [top, bottom] of an axis; a click without a drag clears it; keys move a quarter-high one.
  const brushing = (pick, plot, height, set, get) => {
    let from = null;
    const at = (event) => { const m = plot.getScreenCTM(); return clamp((event.clientY - m.f) / m.d, -6, height + 24); };
    pick.addEventListener("pointerdown", (event) => { from = at(event); pick.setPointerCapture(event.pointerId); event.preventDefault(); pick.focus(); });
    pick.addEventListener("pointermove", (event) => { if (from !== null) { hideTip(); const to = at(event); if (Math.abs(to - from) > 3) set([Math.min(from, to), Math.max(from, to)]); } });
    pick.addEventListener("pointerup", (event) => { if (from !== null && Math.abs(at(event) - from) <= 3) set(null); from = null; });
    pick.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") set(null);
      if (!by) return;
      event.preventDefault();
      const [a, b] = get() || (by > 0 ? [-height / 8, height / 8] : [height * 0.875, height * 1.125]), move = clamp((by * height) / 12, -6 - a, height + 6 - b);
      set(get() ? [a + move, b + move] : by > 0 ? [-6, height / 4] : [height * 0.75, height + 6]);
    });
  };

  // ------------------------------------------------------------------- figures as tables and files

  const tableOf = (fig) => {
    if (fig.block === "Lines") return [["series", "role", fig.x.label, fig.y.label, "lower", "upper"], fig.series.flatMap((s) => s.x.map((x, i) => [s.name, s.role || "", x, s.y[i], (s.lower || [])[i], (s.upper || [])[i]]))];
    if (fig.block === "Scatter") return [["group", "label", fig.x.label, fig.y.label, fig.shade || "shade"], [
      ...(fig.points || []).flatMap((g) => g.x.map((x, i) => [g.name, (g.labels || [])[i], x, g.y[i], (g.shade || [])[i]])),
      ...(fig.lines || []).flatMap((s) => s.x.map((x, i) => [nameOf(s), "", x, s.y[i]]))]];
    if (fig.block === "Bars") return [["", fig.x.label, "low", "high"], fig.bars.map((b) => [b.label, b.value, b.low, b.high])];
    if (fig.block === "Matrix") return [[`${fig.row_title || ""} \\ ${fig.column_title || ""}`, ...fig.columns], fig.rows.map((r, i) => [r, ...fig.values[i]])];
    return [["", ...fig.axes.map((a) => a.label)], fig.rows.map((r, i) => [fig.labels[i], ...r])];
  };
  const shed = ([head, rows]) => {
    const keep = head.map((_, j) => rows.some((r) => r[j] !== undefined && r[j] !== null && r[j] !== ""));
    const cut = (row) => row.filter((_, j) => keep[j]);
    return [cut(head), rows.map((r) => cut(head.map((_, j) => r[j])))];
  };
  // A text that a spreadsheet would run as a formula gets an apostrophe in front.
  const csv = (head, rows) => [head, ...rows].map((row) => row.map((v) => {
    const text = v === null || v === undefined ? "" : typeof v === "string" && /^[=+\-@\t\r]/.test(v) && !finite(Number(v)) ? `'${v}` : String(v);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }).join(",")).join("\r\n") + "\r\n";
  const fileName = (title, end) => `${(title || "figure").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "figure"}.${end}`;
  const save = (name, blob) => {
    const url = URL.createObjectURL(blob), link = el("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-size", "font-weight", "font-family", "paint-order", "visibility"];
  const standalone = (svg) => {
    const copy = svg.cloneNode(true), box = svg.viewBox.baseVal, from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((node, i) => { const style = getComputedStyle(node); for (const name of STYLES) to[i].setAttribute(name, style.getPropertyValue(name)); to[i].removeAttribute("class"); to[i].removeAttribute("tabindex"); });
    for (const [name, value] of Object.entries({ xmlns: SVG, width: box.width + 24, height: box.height + 24, viewBox: `-12 -12 ${box.width + 24} ${box.height + 24}` })) copy.setAttribute(name, value);
    const page = getComputedStyle(document.body).backgroundColor;
    copy.prepend(sv("rect", { x: -12, y: -12, width: box.width + 24, height: box.height + 24, fill: page, stroke: "none" }));
    return [new XMLSerializer().serializeToString(copy), box.width + 24, box.height + 24];
  };
  const savePng = (svg, name) => {
    const [text, width, height] = standalone(svg), image = new Image();
    image.addEventListener("load", () => {
      const canvas = el("canvas", { width: width * 2, height: height * 2 }), context = canvas.getContext("2d");
      context.drawImage(image, 0, 0, width * 2, height * 2);
      canvas.toBlob((blob) => save(name, blob), "image/png");
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  };

  const dataTable = (fig) => {
    const [head, rows] = shed(tableOf(fig)), limit = 300;
    const numeric = head.map((_, j) => rows.some((r) => typeof r[j] === "number"));
    const body = rows.slice(0, limit).map((r) => el("tr", {}, r.map((v, j) => el("td", numeric[j] ? { class: "number" } : {}, number(v)))));
    const cut = rows.length > limit ? el("p", { class: "said" }, `The first ${limit} of ${rows.length} rows; the CSV file has all.`) : null;
    const kind = (j) => (numeric[j] ? { class: "number", scope: "col" } : { scope: "col" });
    return [el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, el("tr", {}, head.map((h, j) => el("th", kind(j), h)))), el("tbody", {}, body))), cut];
  };

  // ------------------------------------------------------------------------------- putting it up

  const DRAW = { Lines: drawLines, Scatter: drawScatter, Bars: drawBars, Matrix: drawMatrix, Parallel: drawParallel };

  const toolbar = (figure, ...tools) => {
    const caption = figure.querySelector(":scope > figcaption"), bar = el("div", { class: "bar" });
    figure.prepend(bar);
    bar.append(caption || el("span"), el("div", { class: "tools" }, tools));
  };

  const chartView = (figure) => {
    const index = Number(figure.dataset.figure), fig = figures[index], host = figure.querySelector(".plot");
    const view = { index, host, title: fig.title || "", off: new Set(), full: false, parts: [], says: [], width: 0, heard: null };
    view.listen = (listen) => { view.heard = listen; listeners.add(listen); };
    view.show = (...nodes) => {
      const says = view.says.map(([words, act, go]) => el("p", { class: "said" }, words, act ? button(act, go) : null));
      host.replaceChildren(...view.parts, ...nodes, ...says);
    };
    view.draw = () => {
      view.width = host.clientWidth;
      if (view.width < 10) return;
      view.height = clamp(view.width * 0.5, 170, figure.parentElement.classList.contains("grid") ? 210 : 300);
      view.parts = []; view.says = [];
      if (view.heard) listeners.delete(view.heard);
      try { DRAW[fig.block](view, fig); } catch (error) { host.replaceChildren(el("p", { class: "empty" }, `This figure could not be drawn: ${error.message}`)); }
    };
    const canvas = () => host.querySelector("svg.canvas");
    toolbar(figure,
      button("CSV", () => save(fileName(view.title, "csv"), new Blob([csv(...shed(tableOf(fig)))], { type: "text/csv" })), { title: "Download the data as CSV" }),
      button("SVG", () => save(fileName(view.title, "svg"), new Blob([standalone(canvas())[0]], { type: "image/svg+xml" })), { title: "Download the figure as SVG" }),
      button("PNG", () => savePng(canvas(), fileName(view.title, "png")), { title: "Download the figure as PNG" }));
    const details = el("details", { class: "data" }, el("summary", {}, "Data"));
    details.addEventListener("toggle", () => { if (details.childNodes.length === 1) details.append(...dataTable(fig).filter((n) => n)); });
    figure.append(details);
    return view;
  };

  const tableView = (figure) => {
    const table = figure.querySelector("table"), body = table.tBodies[0], all = [...body.rows], heads = [...table.tHead.rows[0].cells], limit = 15;
    const valueOf = (cell) => (cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent);
    let open = all.length <= limit + 5;
    const more = button(`Show all ${all.length} rows`, () => { open = true; fold(); }, { class: "more" });
    const fold = () => { [...body.rows].forEach((row, i) => row.classList.toggle("extra", !open && i >= limit)); more.hidden = open; };
    heads.forEach((head, j) => {
      const name = head.textContent, numeric = head.classList.contains("number");
      head.replaceChildren(button(name, () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => { const text = valueOf(row.cells[j]); return numeric ? (text === "" || text === "NaN" ? null : Number(text.replace("∞", "Infinity"))) : text; };
        const compare = (a, b) => (a === null ? 1 : b === null ? -1 : (down ? -1 : 1) * (numeric ? Math.sign(a - b) || 0 : a.localeCompare(b, undefined, { numeric: true })));
        body.append(...all.map((row) => [key(row), row]).sort(([a], [b]) => (a === null && b === null ? 0 : compare(a, b))).map(([, row]) => row));
        fold();
      }, { title: "Sort" }));
    });
    toolbar(figure, button("CSV", () => {
      const rows = all.map((row) => [...row.cells].map((cell) => (cell.classList.contains("number") && cell.textContent !== "" ? Number(valueOf(cell).replace("∞", "Infinity")) : valueOf(cell))));
      save(fileName(figure.querySelector("figcaption")?.textContent, "csv"), new Blob([csv(heads.map((h) => h.textContent), rows)], { type: "text/csv" }));
    }, { title: "Download the table as CSV" }));
    figure.querySelector(".scroll").after(more);
    fold();
  };

  const codeView = (figure) => {
    const copy = button("Copy", async () => {
      const text = figure.querySelector("code");
      try { await navigator.clipboard.writeText(text.textContent); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(text); copy.textContent = "Selected"; }
      setTimeout(() => { copy.textContent = "Copy"; }, 1600);
    });
    toolbar(figure, copy);
  };

  const themeButton = () => {
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const theme = button("", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); }, { class: "theme" });
    const name = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.title = `Switch to ${dark() ? "light" : "dark"} colours`; };
    name();
    document.querySelector(".head").append(theme);
  };

  const contents = () => {
    const nav = document.querySelector(".toc");
    if (!nav) return;
    if (innerWidth < 960) nav.querySelector("details").open = false;
    const links = new Map([...nav.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
    const heads = [...links.keys()].map((id) => document.getElementById(id));
    const spy = () => {
      const at = heads.filter((h) => h.getBoundingClientRect().top < innerHeight * 0.3).pop();
      for (const [id, link] of links) if (at && id === at.id) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    };
    addEventListener("scroll", spy, { passive: true });
    spy();
  };

  document.body.append(tip);
  themeButton();
  contents();
  for (const figure of document.querySelectorAll("figure.table")) tableView(figure);
  for (const figure of document.querySelectorAll("figure.code")) codeView(figure);
  const views = new Map([...document.querySelectorAll("figure.chart")].map((figure) => [figure.querySelector(".plot"), chartView(figure)]));
  const ready = () => { root.dataset.ready = "true"; };
  const watch = new ResizeObserver((entries) => {
    for (const entry of entries) { const view = views.get(entry.target); if (Math.abs(view.width - entry.target.clientWidth) > 1) view.draw(); }
    ready();
  });
  for (const host of views.keys()) watch.observe(host);
  if (views.size === 0) ready();
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details.fold")) fold.open = true; });
})();
