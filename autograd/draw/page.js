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
const HEIGHT = 16, PAD = 8, COLUMN_GAP = 22, ROW_GAP = 36, HEAD = 18, FOOT = 8;
const TIP = 8, ENTRY = 14, CORNER = 8, LEAVES_IN_ROW = 8;
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
    const hottest = ops.reduce((best, box) => box.heat > (best.heat ?? -1) ? box : best, {});
    node.fill = hottest.fill, node.ink = hottest.ink; // an overlay goes through what is closed
    if (hottest.heat_text) node.text.push("up to " + hottest.heat_text);
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

// ---------------------------------------------------------------- drawing

function draw() {
  const {nodes, edges, stands} = visible();
  const plan = place(nodes, edges);
  shown = {plan, nodes, stands};
  const loops = edges.filter(edge => edge.loop);
  for (const edge of loops) plan.sides.set(edge, sideOf(plan, edge));
  const [frames, titles] = drawFrames(plan);
  world.replaceChildren(frames);
  plan.flow.forEach((edge, k) => world.append(drawEdge(edge, plan, plan.routes[k])));
  loops.forEach(edge => world.append(drawEdge(edge, plan, null)));
  world.append(titles);
  plan.flow.forEach((edge, k) => {
    if (edge.count > 1) world.append(drawCount(edge, plan, plan.routes[k]));
  });
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
    outline(look.outline, 26, 16).forEach((d, k) =>
      g.append(make("path", {d, "stroke-width": look.outline === "sheet" && k ? 5 : 1})));
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
    [box.id, ...box.text, box.place].join("\n").toLowerCase().includes(words)) : [];
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
const usersOf = new Map();
for (const {source, target} of data.edges) {
  usersOf.set(source, [...(usersOf.get(source) || []), target]);
}
const turn = new Map(order.map((box, k) => [box.id, k + 1]));

function paintFrame() {
  world.classList.toggle("stepping", frame > 0);
  for (const old of world.querySelectorAll(".badge")) old.remove();
  const done = id => turn.has(id) && turn.get(id) <= frame;
  for (const spot of shown.plan.spots) {
    if (spot.bend) continue;
    const {node, element} = spot;
    const executed = frame > 0 && node.members.some(box => done(box.id));
    const users = usersOf.get(node.id) || [];
    const arrived = frame > 0 && LEAVES.has(node.role) && users.length > 0 && users.every(done);
    element.classList.toggle("done", executed);
    element.classList.toggle("arrived", arrived || node.role === "output");
    element.classList.toggle("told", arrived && node.norm !== undefined);
    element.classList.toggle("now", node.members.some(box => turn.get(box.id) === frame));
    if ((executed || arrived) && node.norm !== undefined) {
      const norm = typeof node.norm === "number" ? Number(node.norm.toPrecision(3)) : node.norm;
      const head = executed ? turn.get(node.id) + ".  " : "";
      const where = executed ? {x: spot.w / 2 + 6, y: 4} // a leaf says it in place of its shape
        : {x: 0, y: -spot.h / 2 + PAD + 13 + HEIGHT, "text-anchor": "middle"};
      const badge = make("text", {class: "badge", ...where}, `${head}‖g‖ = ${norm}`);
      if (!executed && node.ink) badge.style.fill = node.ink;
      element.append(badge);
    }
  }
  for (const g of world.querySelectorAll(".edge")) {
    const to = shown.plan.spots[shown.plan.index.get(g.dataset.to)];
    g.classList.toggle("done", frame > 0 && (to.node.role === "output" ||
      to.node.members.some(box => done(box.id))));
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
