// Boxes, edges and frames as SVG elements, as in svg.py and edges.py.

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
    case "sheet": return [box(0, 0, 0), `M${-w / 2 + 2.5} ${-h / 2}v${h}`];
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
  outline(look, spot.w, spot.h).forEach((d, k) => {
    const bar = look === "sheet" && k; // the band at the left of a parameter
    const path = make("path", {d, "stroke-width": bar ? 5 : marks.length ? 3 : 1.2});
    if (!bar && marks.length && data.marks[marks[0]]) {
      path.setAttribute("stroke-dasharray", data.marks[marks[0]].dashes);
    }
    if (node.fill) path.style.fill = node.fill;
    g.append(path);
  });
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

function words(x, y, text, size, attributes = {}) { // on a ground, at which passing lines end
  const g = make("g"), wide = text.length * size * 0.62 + 4;
  g.append(make("path", {class: "ground", d: `M${x - 2} ${y - size}h${wide}v${size + 3}h${-wide}z`}),
    make("text", {x, y, class: "quiet", "font-size": size, ...attributes}, text));
  return g;
}

function drawEdge(edge, plan, route) {
  const {spots, index, ends} = plan;
  const a = spots[index.get(edge.source)], b = spots[index.get(edge.target)];
  let d, tip;
  if (route) {
    let x = a.x, y = a.y + a.h / 2;
    d = `M${x} ${y}`;
    for (const link of route) {
      const target = spots[link.b], toX = target.x + link.port;
      const toY = target.y - target.h / 2 - (target.bend ? 0 : TIP);
      const end = ends[spots[link.a].row];
      if (end > y + 1) d += `V${y = end}`;
      const middle = (y + toY) / 2;
      d += Math.abs(toX - x) < 0.5 ? `V${toY}` : `C${x} ${middle} ${toX} ${middle} ${toX} ${toY}`;
      x = toX, y = toY;
    }
    tip = `${x},${y + TIP} ${x - 4},${y} ${x + 4},${y}`;
  } else {
    const points = loopPoints(plan, a, b, plan.sides.get(edge));
    const [x, y] = points.pop(), down = points[points.length - 1][0] === x;
    points.push(down ? [x, y - TIP] : [x + TIP, y]);
    d = roundedPath(points);
    tip = down ? `${x},${y} ${x - 4},${y - TIP} ${x + 4},${y - TIP}`
      : `${x},${y} ${x + TIP},${y - 4} ${x + TIP},${y + 4}`;
  }
  const names = "edge" + (edge.bad ? " bad" : "") + (edge.loop ? " loop" : "");
  const g = make("g", {class: names, "data-from": edge.source, "data-to": edge.target});
  const width = 1.3 + Math.min(edge.count - 1, 8) * 0.35 + (edge.bad ? 1.2 : 0);
  const path = make("path", {d, fill: "none", "stroke-width": width});
  if (edge.loop) path.setAttribute("stroke-dasharray", "5 4");
  g.append(path, make("polygon", {points: tip}));
  return g;
}

function drawCount(edge, plan, route) { // under its box if it goes one way only, else at the arrow
  const first = plan.spots[route[0].a], last = route[route.length - 1], end = plan.spots[last.b];
  const g = words(...(first.out.length === 1 ? [first.x + 7, first.y + first.h / 2 + 13]
    : [end.x + last.port + 7, end.y - end.h / 2 - 7]), "×" + edge.count, 11);
  g.setAttribute("class", "edge");
  g.dataset.from = edge.source, g.dataset.to = edge.target;
  return g;
}

// What one step hands to the next goes beside all that stands between its ends. Where a box
// stands in its way, it leaves below and enters above.

function sideOf(plan, edge) {
  const a = plan.spots[plan.index.get(edge.source)], b = plan.spots[plan.index.get(edge.target)];
  const low = Math.min(a.y, b.y), high = Math.max(a.y, b.y);
  let side = 16 + Math.max(...plan.spots.filter(s => s.y >= low && s.y <= high)
    .map(s => s.x + s.w / 2));
  while ([...plan.sides.values()].some(other => Math.abs(other - side) < 7)) side += 8;
  return side;
}

function loopPoints(plan, source, target, side) {
  const hemmed = spot => plan.spots.some(s => s.row === spot.row && s.x > spot.x && !s.bend);
  const offset = source === target ? source.h / 4 : 0;
  let points = [[source.x + source.w / 2, source.y + offset]];
  if (hemmed(source)) {
    const x = source.x + source.w / 2 - ENTRY;
    points = [[x, source.y + source.h / 2], [x, plan.ends[source.row] + ENTRY]];
  }
  points.push([side, points[points.length - 1][1]]);
  if (hemmed(target)) {
    const x = target.x + target.w / 2 - ENTRY, y = plan.starts[target.row] - ENTRY;
    return [...points, [side, y], [x, y], [x, target.y - target.h / 2]];
  }
  return [...points, [side, target.y - offset], [target.x + target.w / 2, target.y - offset]];
}

function roundedPath(points) {
  const near = ([x, y], [toX, toY]) => {
    const far = Math.max(Math.abs(toX - x), Math.abs(toY - y));
    const part = Math.min(CORNER, far / 2) / (far || 1);
    return `${x + (toX - x) * part} ${y + (toY - y) * part}`;
  };
  let d = "M" + points[0].join(" ");
  for (let k = 1; k < points.length - 1; k++) {
    d += `L${near(points[k], points[k - 1])}Q${points[k].join(" ")} ${near(points[k], points[k + 1])}`;
  }
  return d + "L" + points[points.length - 1].join(" ");
}

function drawFrames(plan) { // the frames, and their titles: which go on top of the edges
  const corners = new Map(), spots = plan.spots.filter(s => !s.bend);
  const frames = make("g"), titles = make("g");
  for (const group of [...groups.values()].reverse()) { // inner ones come after those round them
    const mine = spots.filter(s => s.node.path.includes(group));
    if (closed.has(group.id) || !mine.length) continue;
    const ids = new Set(mine.map(s => s.node.id));
    const loops = [...plan.sides].filter(([e]) => ids.has(e.source) && ids.has(e.target));
    const inner = [...corners].filter(([id]) => groups.get(id).parent === group.id).map(c => c[1]);
    const left = Math.min(...mine.map(s => s.x - s.w / 2), ...inner.map(c => c.left)) - FOOT;
    const top = Math.min(...mine.map(s => s.y - s.h / 2 - (s.leaf ? 0 : TIP)), ...inner.map(c => c.top)) - HEAD + 2;
    const bottom = Math.max(...mine.map(s => s.y + s.h / 2), ...inner.map(c => c.bottom)) + FOOT - 2;
    const right = Math.max(...mine.map(s => s.x + s.w / 2), ...inner.map(c => c.right),
      ...loops.map(([, side]) => side), left + group.title.length * 6 + 20) + FOOT;
    const clear = !spots.some(s => !mine.includes(s) && s.x - s.w / 2 < right &&
      s.x + s.w / 2 > left && s.y - s.h / 2 < bottom && s.y + s.h / 2 > top);
    corners.set(group.id, {left, top, right, bottom, clear});
  }
  for (const [id, {left, top, right, bottom, clear}] of [...corners].reverse()) {
    const group = groups.get(id);
    if (clear) {
      const g = make("g", {class: "frame", "data-group": id});
      g.append(make("path", {d: `M${left} ${top}H${right}V${bottom}H${left}z`,
        "stroke-dasharray": "3 3", "stroke-opacity": 0.6}));
      frames.append(g);
    }
    const title = words(left + 6, top + 11, "▾ " + group.title, 10,
      {tabindex: 0, role: "button", "aria-label": "close " + group.title});
    title.setAttribute("class", "frame");
    title.addEventListener("click", () => toggle(id));
    title.addEventListener("keydown", event => { if (event.key === "Enter") toggle(id); });
    titles.append(title);
  }
  return [frames, titles];
}
