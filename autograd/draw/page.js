"use strict";
// Lays out what is open, draws it, and answers the reader. Names from the data only ever become
// text nodes and attribute values, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const at = id => document.getElementById(id);
const canvas = at("canvas"), world = at("world");
const boxes = new Map(data.boxes.map((box, k) => [box.id, Object.assign(box, {order: k})]));
const groups = new Map(data.groups.map(group => [group.id, group]));
const closed = new Set(data.closed);
const LEAVES = new Set(["parameter", "leaf", "input", "idle"]);
const HEIGHT = 16, PAD = 8, COLUMN_GAP = 22, ROW_GAP = 40, HEAD = 18, FOOT = 8;
let view = {x: 0, y: 0, scale: 1}, chosen = null, shown = null, frame = -1, playing = null;

function make(name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

// ---------------------------------------------------------------- what is open

function around(id) { // the groups of a box, outermost first
  const path = [];
  for (let group = groups.get(id); group; group = groups.get(group.parent)) path.unshift(group);
  return path;
}

function visible() { // the boxes to draw, the box that stands for each, and the edges between them
  const stands = new Map(), nodes = new Map();
  for (const box of boxes.values()) {
    const path = around(box.group || "");
    const shut = path.find(group => closed.has(group.id));
    const id = shut ? "group " + shut.id : box.id;
    stands.set(box.id, id);
    const open = shut ? path.slice(0, path.indexOf(shut)) : path;
    if (!shut) {
      nodes.set(id, {...box, members: [box], path: open});
    } else {
      const node = nodes.get(id) || {
        id, role: "module", text: [shut.title], width: 0, members: [], path: open, shut: shut.id,
        detail: shut.title, order: Infinity, marks: [],
      };
      node.members.push(box);
      if (!LEAVES.has(box.role)) node.order = Math.min(node.order, box.order);
      nodes.set(id, node);
    }
  }
  for (const node of nodes.values()) {
    if (!node.shut) continue;
    const ops = node.members.filter(box => !LEAVES.has(box.role));
    const count = ops.reduce((sum, box) => sum + (box.ops || 0), 0);
    if (node.order === Infinity) node.order = node.members[0].order;
    node.text = [node.text[0], count + (count === 1 ? " op" : " ops") + ", click to open"];
    node.width = Math.max(...node.text.map((line, k) => line.length * (k ? 6.6 : 8.6)));
    node.marks = [...new Set(node.members.flatMap(box => box.marks || []))];
    node.step = Math.min(...ops.map(box => box.step || Infinity));
    node.detail = node.text.join("\n");
  }
  for (const node of nodes.values()) {
    if (LEAVES.has(node.role) && node.role !== "idle") {
      for (const edge of data.edges) {
        if (edge.source !== node.id) continue;
        const user = nodes.get(stands.get(edge.target));
        if (user && user.order - 0.5 < node.order) node.order = user.order - 0.5;
      }
    }
  }
  const edges = new Map();
  for (const edge of data.edges) {
    const source = stands.get(edge.source), target = stands.get(edge.target);
    if (edge.link || !source || !target || (source === target && !edge.loop)) continue;
    if (source === target && nodes.get(source).shut) continue;
    const loop = Boolean(edge.loop) || nodes.get(source).order >= nodes.get(target).order;
    const key = JSON.stringify([source, target, loop]);
    const known = edges.get(key);
    if (known) known.count += edge.count, known.bad = known.bad || edge.bad;
    else edges.set(key, {source, target, loop, count: edge.count, bad: Boolean(edge.bad)});
  }
  const list = [...nodes.values()].sort((a, b) => a.order - b.order);
  return {nodes: list, edges: [...edges.values()], stands};
}

// ---------------------------------------------------------------- where it goes
// Rows by longest path, order by barycentres, columns by least squares: one loop each.

function place(nodes, edges) {
  const spots = nodes.map(node => ({
    node, w: Math.max(72, node.width + 28), h: 2 * PAD + HEIGHT * node.text.length + 2,
    leaf: LEAVES.has(node.role), group: node.path.length ? node.path[node.path.length - 1].id : "",
    row: 0, x: 0, y: 0, into: [], out: [], bend: false,
  }));
  const index = new Map(nodes.map((node, k) => [node.id, k]));
  const flow = edges.filter(edge => !edge.loop);
  const into = spots.map(() => []), out = spots.map(() => []);
  for (const edge of flow) {
    const a = index.get(edge.source), b = index.get(edge.target);
    into[b].push(a);
    out[a].push(b);
  }
  const crowded = new Set();
  spots.forEach((s, b) => { if (into[b].some(a => spots[a].leaf)) crowded.add(s.group); });
  const gap = (a, b) => b.group && crowded.has(b.group) && a.group !== b.group ? 2 : 1;
  spots.forEach((s, b) => {
    for (const a of into[b]) {
      s.row = Math.max(s.row, spots[a].row + gap(spots[a], s));
    }
  });
  for (let a = spots.length - 1; a >= 0; a--) {
    if (out[a].length && into[a].every(p => spots[p].leaf)) {
      spots[a].row = Math.min(...out[a].map(b => spots[b].row - gap(spots[a], spots[b])));
    }
  }
  const top = Math.min(...spots.map(s => s.row));
  for (const s of spots) s.row -= top;

  let budget = 20000;
  const bends = new Map(), links = new Map();
  const routes = flow.map(edge => {
    const a = index.get(edge.source), b = index.get(edge.target), stops = [a];
    const passed = spots[b].row - spots[a].row - 1;
    if (passed <= budget) {
      budget -= Math.max(0, passed);
      for (let row = spots[a].row + 1; row < spots[b].row; row++) {
        const key = a + " " + row;
        if (!bends.has(key)) {
          bends.set(key, spots.length);
          spots.push({w: 10, h: 0, row, x: 0, y: 0, into: [], out: [], bend: true, group: ""});
        }
        stops.push(bends.get(key));
      }
    }
    stops.push(b);
    const route = [];
    for (let k = 1; k < stops.length; k++) {
      const key = stops[k - 1] + " " + stops[k];
      if (!links.has(key)) {
        const link = {a: stops[k - 1], b: stops[k], pull: spots[a].leaf ? 0.0001 : 1, port: 0};
        links.set(key, link);
        spots[link.a].out.push(link);
        spots[link.b].into.push(link);
      }
      route.push(links.get(key));
    }
    return route;
  });

  const rows = [];
  spots.forEach((s, k) => (rows[s.row] = rows[s.row] || []).push(k));
  for (let r = 0; r < rows.length; r++) rows[r] = rows[r] || [];
  const rank = [];
  for (const row of rows) row.forEach((i, k) => { rank[i] = k; });
  const mean = list => list.reduce((a, b) => a + b, 0) / list.length;
  for (let sweep = 0; sweep < 4; sweep++) {
    const up = sweep % 2 === 0;
    for (const row of up ? [...rows].reverse() : rows) {
      const key = new Map(), totals = new Map();
      for (const i of row) {
        const s = spots[i];
        const near = up
          ? s.out.map(e => rank[e.b] + (spots[e.b].into.indexOf(e) + 0.5) / spots[e.b].into.length - 0.5)
          : s.into.map(e => rank[e.a]);
        key.set(i, near.length ? mean(near) : rank[i]);
        if (s.group) totals.set(s.group, [...(totals.get(s.group) || []), key.get(i)]);
      }
      const home = i => totals.has(spots[i].group) ? mean(totals.get(spots[i].group)) : key.get(i);
      row.sort((a, b) => home(a) - home(b) || key.get(a) - key.get(b));
      row.forEach((i, k) => { rank[i] = k; });
    }
  }
  for (const s of spots) {
    if (s.bend || s.into.length < 2) continue;
    s.into.sort((d, e) => rank[d.a] - rank[e.a]);
    const values = s.into.filter(e => !spots[e.a].leaf);
    const middle = values.length === 1 ? s.into.indexOf(values[0]) : (s.into.length - 1) / 2;
    const reach = Math.max(middle, s.into.length - 1 - middle, 1);
    const gap = Math.min(20, (s.w - 28) / (s.into.length - 1), (s.w / 2 - 12) / reach);
    s.into.forEach((e, k) => { e.port = (k - middle) * gap; });
  }
  for (const row of rows) {
    let x = 0;
    for (const i of row) {
      spots[i].x = x + spots[i].w / 2;
      x += spots[i].w + COLUMN_GAP;
    }
  }
  for (let sweep = 0; sweep < 8; sweep++) {
    const up = sweep % 2 === 1;
    for (const row of up ? [...rows].reverse() : rows) {
      const pools = [], offsets = [];
      let run = 0;
      row.forEach((i, k) => {
        const s = spots[i];
        if (k) run += (spots[row[k - 1]].w + s.w) / 2 + COLUMN_GAP;
        offsets.push(run);
        let goal = 0, pull = 0;
        for (const e of up ? s.out : s.into) {
          goal += e.pull * (spots[up ? e.b : e.a].x + (up ? e.port : -e.port));
          pull += e.pull;
        }
        const weight = pull || 0.01;
        pools.push([weight * ((pull ? goal / pull : s.x) - run), weight, 1]);
        while (pools.length > 1) {
          const [p, q] = pools.slice(-2);
          if (p[0] * q[1] < q[0] * p[1]) break;
          pools.splice(-2, 2, [p[0] + q[0], p[1] + q[1], p[2] + q[2]]);
        }
      });
      let k = 0;
      for (const [total, weight, count] of pools) {
        for (let n = 0; n < count; n++, k++) spots[row[k]].x = total / weight + offsets[k];
      }
    }
  }
  // Frames need room above their first row and under their last.
  const first = new Map(), last = new Map();
  const heads = rows.map(() => 0), feet = rows.map(() => 0);
  for (const s of spots) {
    for (const group of s.bend ? [] : s.node.path) {
      first.set(group, Math.min(first.has(group) ? first.get(group) : s.row, s.row));
      last.set(group, Math.max(last.has(group) ? last.get(group) : s.row, s.row));
    }
  }
  for (const s of spots) {
    if (s.bend) continue;
    const count = map => s.node.path.filter(group => map.get(group) === s.row).length;
    heads[s.row] = Math.max(heads[s.row], HEAD * count(first));
    feet[s.row] = Math.max(feet[s.row], FOOT * count(last));
  }
  let y = 0;
  const ends = [];
  rows.forEach((row, r) => {
    y += heads[r];
    const tallest = Math.max(0, ...row.map(i => spots[i].h));
    for (const i of row) {
      spots[i].y = y + tallest / 2;
      if (spots[i].bend) spots[i].h = tallest;
    }
    ends[r] = y + tallest;
    y += tallest + feet[r] + ROW_GAP;
  });
  return {spots, index, routes, flow, ends, sides: []};
}

// ---------------------------------------------------------------- drawing

function outline(kind, w, h) { // one or more paths round (0, 0)
  const box = (dx, dy, r) => r
    ? `M${-w / 2 + r + dx} ${-h / 2 + dy}h${w - 2 * r}a${r} ${r} 0 0 1 ${r} ${r}v${h - 2 * r}` +
      `a${r} ${r} 0 0 1 ${-r} ${r}h${2 * r - w}a${r} ${r} 0 0 1 ${-r} ${-r}v${2 * r - h}` +
      `a${r} ${r} 0 0 1 ${r} ${-r}z`
    : `M${-w / 2 + dx} ${-h / 2 + dy}h${w - 2 * dx}v${h - 2 * dy}h${2 * dx - w}z`;
  const cut = (dx, dy) => `M${-w / 2 + dx} ${-h / 2}h${w - 2 * dx}l${dx} ${dy}v${h - 2 * dy}` +
    `l${-dx} ${dy}h${2 * dx - w}l${-dx} ${-dy}v${2 * dy - h}z`;
  const corner = Math.min(9, h / 4);
  switch (kind) {
    case "pill": return [box(0, 0, Math.min(h, w) / 2)];
    case "double": return [box(0, 0, 0), box(3, 3, 0)];
    case "stack": return [box(4, 4, 7), box(0, 0, 7)];
    case "sheet": return [box(0, 0, 0), `M${-w / 2} ${-h / 2}h5v${h}h-5z`];
    case "cut": return [cut(corner, corner)];
    case "octagon": return [cut(corner * 1.6, corner * 1.6)];
    case "hexagon": return [cut(10, h / 2)];
    case "plain": return [box(0, 0, 0)];
    default: return [box(0, 0, 7)];
  }
}

function drawNode(spot) {
  const node = spot.node, marks = node.marks || [];
  const g = make("g", {
    class: ["node", node.role, ...marks].join(" "), "data-id": node.id, tabindex: 0, role: "button",
    transform: `translate(${spot.x} ${spot.y})`, "aria-label": node.text.join(", "),
  });
  g.append(make("title", {}, node.detail));
  const look = (data.roles[node.role] || {}).outline || "rounded";
  for (const d of outline(look, spot.w, spot.h)) {
    const path = make("path", {d, "stroke-width": marks.length ? 3 : 1.2});
    if (marks.length && data.marks[marks[0]]) {
      path.setAttribute("stroke-dasharray", data.marks[marks[0]].dashes);
    }
    if (node.fill) path.style.fill = node.fill;
    g.append(path);
  }
  node.text.forEach((line, k) => {
    const text = make("text", {
      x: 0, y: -spot.h / 2 + PAD + 13 + HEIGHT * k, "text-anchor": "middle",
      "font-size": k ? 11 : 13, "font-weight": k ? 400 : 600,
    }, line);
    if (node.ink) text.style.fill = node.ink;
    g.append(text);
  });
  const act = () => node.shut ? toggle(node.shut) : choose(node.id);
  g.addEventListener("click", act);
  g.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") event.preventDefault(), act();
  });
  spot.element = g;
  return g;
}

function drawEdge(edge, plan, route) {
  const {spots, index, ends} = plan;
  const a = spots[index.get(edge.source)], b = spots[index.get(edge.target)];
  let d, tip, x, y;
  if (route) {
    x = a.x, y = a.y + a.h / 2;
    d = `M${x} ${y}`;
    for (const link of route) {
      const target = spots[link.b], toX = target.x + link.port;
      const toY = target.y - target.h / 2 - (target.bend ? 0 : 8);
      const end = ends[spots[link.a].row];
      if (end > y + 1) d += `V${y = end}`;
      const middle = (y + toY) / 2;
      d += Math.abs(toX - x) < 0.5 ? `V${toY}` : `C${x} ${middle} ${toX} ${middle} ${toX} ${toY}`;
      x = toX, y = toY;
    }
    tip = `${x},${y + 8} ${x - 4},${y} ${x + 4},${y}`;
  } else { // what one step hands to the next
    x = a.x + a.w / 2, y = a.y + (a === b ? a.h / 4 : 0);
    const toX = b.x + b.w / 2 + 8, toY = b.y - (a === b ? b.h / 4 : 0);
    const low = Math.min(a.y, b.y), high = Math.max(a.y, b.y);
    let out = 16 + Math.max(...spots.filter(s => !s.bend && s.y >= low && s.y <= high)
      .map(s => s.x + s.w / 2));
    while (plan.sides.some(side => Math.abs(side - out) < 7)) out += 8;
    plan.sides.push(out);
    const turn = Math.min(8, Math.abs(y - toY) / 2) * (toY > y ? 1 : -1);
    d = `M${x} ${y}H${out - 8}Q${out} ${y} ${out} ${y + turn}V${toY - turn}` +
      `Q${out} ${toY} ${out - 8} ${toY}H${toX}`;
    tip = `${toX - 8},${toY} ${toX},${toY - 4} ${toX},${toY + 4}`;
    x = out - 3, y = (y + toY) / 2;
  }
  const names = "edge" + (edge.bad ? " bad" : "") + (edge.loop ? " loop" : "");
  const g = make("g", {class: names, "data-from": edge.source, "data-to": edge.target});
  const width = 1.3 + Math.min(edge.count - 1, 8) * 0.35 + (edge.bad ? 1.2 : 0);
  const path = make("path", {d, fill: "none", "stroke-width": width});
  if (edge.loop) path.setAttribute("stroke-dasharray", "5 4");
  g.append(path, make("polygon", {points: tip}));
  if (edge.count > 1) g.append(make("text", {x: x + 7, y: y + 1}, "×" + edge.count));
  return g;
}

function drawFrames(plan) {
  const corners = new Map(), layer = make("g"), spots = plan.spots.filter(s => !s.bend);
  for (const group of [...groups.values()].reverse()) { // inner ones come after those round them
    const mine = spots.filter(s => s.node.path.includes(group));
    if (closed.has(group.id) || !mine.length) continue;
    const inner = [...corners].filter(([id]) => groups.get(id).parent === group.id).map(c => c[1]);
    const left = Math.min(...mine.map(s => s.x - s.w / 2), ...inner.map(c => c.left)) - FOOT;
    const top = Math.min(...mine.map(s => s.y - s.h / 2), ...inner.map(c => c.top)) - HEAD + 2;
    const bottom = Math.max(...mine.map(s => s.y + s.h / 2), ...inner.map(c => c.bottom)) + FOOT - 2;
    const right = Math.max(...mine.map(s => s.x + s.w / 2), ...inner.map(c => c.right),
      left + group.title.length * 6 + 20) + FOOT;
    const clear = !spots.some(s => !mine.includes(s) && s.x - s.w / 2 < right &&
      s.x + s.w / 2 > left && s.y - s.h / 2 < bottom && s.y + s.h / 2 > top);
    corners.set(group.id, {left, top, right, bottom, clear});
  }
  for (const [id, {left, top, right, bottom, clear}] of [...corners].reverse()) {
    const group = groups.get(id), g = make("g", {class: "frame", "data-group": id});
    if (clear) {
      g.append(make("path", {d: `M${left} ${top}H${right}V${bottom}H${left}z`,
        "stroke-dasharray": "3 3", "stroke-opacity": 0.6}));
    }
    const title = make("text", {x: left + 6, y: top + 11, "font-size": 10, tabindex: 0,
      role: "button", "aria-label": "close " + group.title}, "▾ " + group.title);
    title.addEventListener("click", () => toggle(id));
    title.addEventListener("keydown", event => { if (event.key === "Enter") toggle(id); });
    g.append(title);
    layer.append(g);
  }
  return layer;
}

function draw() {
  const {nodes, edges, stands} = visible();
  const plan = place(nodes, edges);
  shown = {plan, nodes, stands};
  world.replaceChildren(drawFrames(plan));
  plan.flow.forEach((edge, k) => world.append(drawEdge(edge, plan, plan.routes[k])));
  edges.filter(edge => edge.loop).forEach(edge => world.append(drawEdge(edge, plan, null)));
  for (const spot of plan.spots) if (!spot.bend) world.append(drawNode(spot));
  legend(nodes);
  mark();
  if (frame >= 0) paintFrame();
}

function legend(nodes) {
  const entries = [];
  for (const role of new Set(nodes.map(node => node.role))) {
    const look = data.roles[role];
    if (!look) continue;
    const svg = make("svg", {class: "rg-tape", width: 38, height: 24, viewBox: "-16 -11 38 24"});
    const g = make("g", {class: role});
    for (const d of outline(look.outline, 26, 16)) g.append(make("path", {d}));
    svg.append(g);
    entries.push([svg, look.text]);
  }
  for (const mark of new Set(nodes.flatMap(node => node.marks || []))) {
    const svg = make("svg", {class: "rg-tape", width: 38, height: 24, viewBox: "-16 -11 38 24"});
    const g = make("g", {class: mark});
    g.append(make("path", {d: outline("rounded", 26, 14)[0], fill: "none", "stroke-width": 3,
      "stroke-dasharray": data.marks[mark].dashes}));
    svg.append(g);
    entries.push([svg, data.marks[mark].text]);
  }
  at("legend").replaceChildren(...entries.map(([picture, text]) => {
    const span = document.createElement("span");
    span.append(picture, text);
    return span;
  }));
  if (data.scale) {
    const span = document.createElement("span"), bar = document.createElement("i");
    bar.className = "bar-of-colours";
    bar.style.background = `linear-gradient(90deg, ${data.stops.join(", ")})`;
    span.append(data.scale.title + ": " + data.scale.ticks[0][1], bar,
      data.scale.ticks[data.scale.ticks.length - 1][1]);
    at("legend").append(span);
  }
}

// ---------------------------------------------------------------- answering

function toggle(id) {
  const anchor = shown.plan.spots.find(s => !s.bend &&
    (s.node.shut === id || s.node.path.some(group => group.id === id)));
  const before = anchor && {x: anchor.x, y: anchor.y - anchor.h / 2};
  if (closed.has(id)) closed.delete(id);
  else closed.add(id);
  draw();
  const after = before && shown.plan.spots.find(s => !s.bend &&
    (s.node.shut === id || s.node.path.some(group => group.id === id)));
  if (after) { // what was clicked stays where it was
    view.x += (before.x - after.x) * view.scale;
    view.y += (before.y - (after.y - after.h / 2)) * view.scale;
  }
  look();
}

function choose(id) {
  chosen = chosen === id ? null : id;
  mark();
  const box = boxes.get(id), details = at("details");
  details.replaceChildren();
  if (!chosen || !box) return;
  const title = document.createElement("h2");
  title.textContent = box.text[0];
  details.append(title, box.detail);
}

function mark() { // the chosen box and its neighbours; what the search finds
  const near = new Set([chosen]);
  for (const g of world.querySelectorAll(".edge")) {
    const {from, to} = g.dataset;
    if (from === chosen) near.add(to);
    if (to === chosen) near.add(from);
  }
  const words = at("search").value.trim().toLowerCase();
  const hits = words ? [...boxes.values()].filter(box =>
    (box.text.join("\n") + "\n" + box.detail).toLowerCase().includes(words)) : [];
  const places = new Set(hits.map(box => shown.stands.get(box.id)));
  for (const g of world.querySelectorAll(".node")) {
    const id = g.dataset.id;
    g.classList.toggle("chosen", id === chosen);
    g.classList.toggle("hit", places.has(id));
    g.classList.toggle("dim", words ? !places.has(id) : chosen !== null && !near.has(id));
  }
  for (const g of world.querySelectorAll(".edge")) {
    const {from, to} = g.dataset;
    g.classList.toggle("dim", words ? true : chosen !== null && from !== chosen && to !== chosen);
  }
  at("found").textContent = words ? hits.length + " found" : "";
  return hits;
}

let hit = -1;
at("search").addEventListener("input", () => { hit = -1; mark(); });
at("search").addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  const hits = mark();
  if (!hits.length) return;
  hit = (hit + 1) % hits.length;
  for (const group of around(hits[hit].group || "")) closed.delete(group.id);
  draw();
  centre(hits[hit].id);
});

function centre(id) {
  const spot = shown.plan.spots.find(s => !s.bend && s.node.id === id);
  if (!spot) return;
  const {width, height} = canvas.getBoundingClientRect();
  view.x = width / 2 - spot.x * view.scale;
  view.y = height / 2 - spot.y * view.scale;
  look();
}

function look() {
  world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
}

function fit() {
  const {width, height} = canvas.getBoundingClientRect();
  const box = world.getBBox();
  if (!box.width || !width) return;
  view.scale = Math.min(1.4, width / (box.width + 60), height / (box.height + 60));
  if (view.scale < 0.45) view.scale = Math.min(0.45, width / (box.width + 60));
  view.x = width / 2 - (box.x + box.width / 2) * view.scale;
  view.y = Math.max(30 - box.y * view.scale,
    height / 2 - (box.y + box.height / 2) * view.scale);
  look();
}

function zoom(factor, x, y) {
  const scale = Math.min(6, Math.max(0.03, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  look();
}

canvas.addEventListener("wheel", event => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
}, {passive: false});
let grip = null, moved = false;
canvas.addEventListener("pointerdown", event => {
  grip = {x: event.clientX - view.x, y: event.clientY - view.y, from: [event.clientX, event.clientY]};
  moved = false;
});
window.addEventListener("pointermove", event => {
  if (!grip) return;
  if (!moved && Math.hypot(event.clientX - grip.from[0], event.clientY - grip.from[1]) < 4) return;
  moved = true;
  view.x = event.clientX - grip.x;
  view.y = event.clientY - grip.y;
  look();
});
window.addEventListener("pointerup", () => { grip = null; });
canvas.addEventListener("click", event => { // the end of a drag is no click
  if (moved) event.stopPropagation(), moved = false;
}, true);
canvas.addEventListener("keydown", event => {
  const {width, height} = canvas.getBoundingClientRect();
  const moves = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]};
  if (moves[event.key]) view.x += moves[event.key][0], view.y += moves[event.key][1], look();
  else if (event.key === "+" || event.key === "=") zoom(1.25, width / 2, height / 2);
  else if (event.key === "-") zoom(0.8, width / 2, height / 2);
  else if (event.key === "0") fit();
  else return;
  event.preventDefault();
});
at("open").addEventListener("click", () => { closed.clear(); draw(); fit(); });
at("close").addEventListener("click", () => {
  for (const group of groups.values()) if (groups.has(group.parent)) closed.add(group.id);
  if (!closed.size) for (const id of groups.keys()) closed.add(id);
  draw();
  fit();
});
at("fit").addEventListener("click", fit);
for (const id of ["open", "close"]) at(id).hidden = !groups.size;

// ---------------------------------------------------------------- stepping through backward

const order = data.boxes.filter(box => box.step).sort((a, b) => a.step - b.step);
const turn = new Map(order.map((box, k) => [box.id, k + 1]));

function paintFrame() {
  world.classList.toggle("stepping", frame > 0);
  for (const old of world.querySelectorAll(".badge")) old.remove();
  const done = id => turn.has(id) && turn.get(id) <= frame;
  for (const spot of shown.plan.spots) {
    if (spot.bend) continue;
    const {node, element} = spot;
    const executed = frame > 0 && node.members.some(box => done(box.id));
    const users = data.edges.filter(e => e.source === node.id).map(e => e.target);
    const arrived = frame > 0 && LEAVES.has(node.role) && users.length > 0 && users.every(done);
    element.classList.toggle("done", executed);
    element.classList.toggle("arrived", arrived || node.role === "output");
    element.classList.toggle("now", node.members.some(box => turn.get(box.id) === frame));
    if ((executed || arrived) && node.norm !== undefined) {
      const norm = typeof node.norm === "number" ? Number(node.norm.toPrecision(3)) : node.norm;
      const head = executed ? turn.get(node.id) + ".  " : "";
      const spot_of = executed ? {x: spot.w / 2 + 6, y: 4}
        : {x: 0, y: -spot.h / 2 - 5, "text-anchor": "middle"}; // no edge enters a leaf from above
      element.append(make("text", {class: "badge", ...spot_of}, `${head}‖g‖ = ${norm}`));
    }
  }
  for (const g of world.querySelectorAll(".edge")) {
    const to = shown.plan.spots[shown.plan.index.get(g.dataset.to)];
    g.classList.toggle("done", frame > 0 && to.node.members.some(box => done(box.id)));
  }
  at("frame").value = Math.max(0, frame);
  const now = order[frame - 1];
  at("count").textContent = `${Math.max(0, frame)} of ${order.length}` +
    (now ? `: ${now.text[0]}` : "");
}

function goTo(k) {
  if (frame < 0) closed.clear(), frame = 0, draw(), fit();
  frame = Math.min(order.length, Math.max(0, k));
  paintFrame();
}

function stop() {
  clearInterval(playing);
  playing = null;
  at("play").textContent = "▶ Play";
}

if (order.length) {
  at("steps").hidden = false;
  at("frame").max = order.length;
  at("first").addEventListener("click", () => { stop(); goTo(0); });
  at("back").addEventListener("click", () => { stop(); goTo(frame - 1); });
  at("next").addEventListener("click", () => { stop(); goTo(Math.max(0, frame) + 1); });
  at("frame").addEventListener("input", () => { stop(); goTo(Number(at("frame").value)); });
  at("play").addEventListener("click", () => {
    if (playing) return stop();
    if (frame >= order.length) goTo(0);
    at("play").textContent = "❚❚ Pause";
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    playing = setInterval(() => frame >= order.length ? stop() : goTo(Math.max(0, frame) + 1),
      calm ? 1600 : Math.max(120, Math.min(700, 20000 / order.length)));
  });
}

draw();
fit();
if (data.steps && order.length) goTo(0);
