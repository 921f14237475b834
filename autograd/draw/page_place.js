// Where each box goes, as in layout.py: rows by longest path, order by barycentres, columns by
// least squares; one loop each.

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
  for (const mine of into) {
    mine.filter(a => spots[a].leaf && !into[a].length && out[a].length === 1)
      .forEach((a, k) => { spots[a].row -= Math.floor(k / LEAVES_IN_ROW); });
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
          spots.push({w: 10, h: 0, row, x: 0, y: 0, into: [], out: [], bend: true,
            leaf: spots[a].leaf, group: ""});
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
    const tip = count(first) && !s.leaf ? TIP : 0;
    heads[s.row] = Math.max(heads[s.row], HEAD * count(first) + tip);
    feet[s.row] = Math.max(feet[s.row], FOOT * count(last));
  }
  let y = 0;
  const starts = [], ends = [];
  rows.forEach((row, r) => {
    y += heads[r];
    const tallest = Math.max(0, ...row.map(i => spots[i].h));
    for (const i of row) {
      spots[i].y = y + tallest / 2;
      if (spots[i].bend) spots[i].h = tallest;
    }
    starts[r] = y;
    ends[r] = y + tallest;
    y += tallest + feet[r] + ROW_GAP;
  });
  return {spots, index, routes, flow, starts, ends, sides: new Map()};
}
