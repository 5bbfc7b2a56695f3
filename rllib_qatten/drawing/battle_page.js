// What moves the page: one step is chosen, and all pictures are drawn anew for it.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const T = data.actions.length, N = data.labels.length, battle = data.battle;
const color = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const readable = x => Math.abs(x) >= 100 ? x.toFixed(0) : Number(x.toPrecision(3)).toString();
const extent = rows => rows.flat().reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
const LEFT = 30, TOP = 6, RIGHT = 6, HEIGHT = Math.max(160, Math.min(420, 8 * T));
const headsExtent = data.heads ? extent(data.maps.slice(0, data.heads).map(m => m.rows).flat()) : null;
let now = 0, timer = null;

function fit(canvas, height) {  // Sharp on any screen; returns pen and size in CSS pixels.
  const ratio = window.devicePixelRatio || 1, width = canvas.parentElement.clientWidth -
    parseFloat(getComputedStyle(canvas.parentElement).paddingLeft) * 2;
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  return [pen, width];
}

function cross(pen, x, y, r) {
  pen.beginPath();
  pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x - r, y + r); pen.lineTo(x + r, y - r);
  pen.stroke();
}

function timeAxis(pen, rowHeight) {
  pen.fillStyle = color("dim");
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const every = [1, 2, 5, 10, 20, 50, 100].find(k => k * rowHeight >= 22) || 200;
  for (let t = 0; t < T; t += every) pen.fillText(t, LEFT - 5, TOP + (t + .5) * rowHeight);
}

function marker(pen, width, rowHeight) {  // What is still to come is faint.
  pen.globalAlpha = .62;
  pen.fillStyle = color("panel");
  pen.fillRect(LEFT, TOP + (now + 1) * rowHeight, width - LEFT - RIGHT, Math.max(0, T - now - 1) * rowHeight);
  pen.globalAlpha = 1;
  if (now >= T) return;
  pen.strokeStyle = color("ink");
  pen.lineWidth = 1.5;
  pen.strokeRect(LEFT, TOP + now * rowHeight, width - LEFT - RIGHT, rowHeight);
}

function rotatedLabels(pen, columnWidth, y) {
  pen.fillStyle = color("ink");
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const every = Math.ceil(11 / columnWidth);
  data.labels.forEach((label, i) => {
    if (i % every) return;
    pen.save();
    pen.translate(LEFT + (i + .5) * columnWidth, y);
    pen.rotate(-Math.PI / 2);
    pen.fillText(label, 0, 0);
    pen.restore();
  });
}

function heatMap(panel) {
  const isHead = panel.index < data.heads;
  const [low, high] = isHead && data.heads > 1 && $("together").checked ? headsExtent : panel.extent;
  const longest = Math.max(...data.labels.map(label => label.length)), labels = 8 + 6.2 * longest;
  const [pen, width] = fit(panel.canvas, TOP + HEIGHT + labels + 26);
  const w = (width - LEFT - RIGHT) / N, h = HEIGHT / T;
  for (let t = 0; t < T; t++) for (let i = 0; i < N; i++) {
    const share = high > low ? (panel.rows[t][i] - low) / (high - low) : .5;
    pen.fillStyle = data.heat[Math.round(255 * Math.max(0, Math.min(1, share)))];
    pen.fillRect(LEFT + i * w, TOP + t * h, w + .5, h + .5);
  }
  for (let i = 0; i < N; i++) {
    const died = data.alive.findIndex(row => !row[i]);
    if (died < 0 || died >= T) continue;
    const x = LEFT + (i + .5) * w, y = TOP + (died + .5) * h, r = Math.min(4, w / 3);
    for (const [ink, wide] of [["#000000", 3.4], ["#ffffff", 1.6]]) {  // Seen on yellow and on blue.
      pen.strokeStyle = ink;
      pen.lineWidth = wide;
      cross(pen, x, y, r);
    }
    pen.lineWidth = .8;
    pen.setLineDash([2, 3]);
    pen.beginPath(); pen.moveTo(x, y + r); pen.lineTo(x, TOP + HEIGHT); pen.stroke();
    pen.setLineDash([]);
  }
  marker(pen, width, h);
  timeAxis(pen, h);
  rotatedLabels(pen, w, TOP + HEIGHT + 5);
  const y = TOP + HEIGHT + labels + 4, bar = width - LEFT - RIGHT - 90;
  for (let k = 0; k < 256; k++) {
    pen.fillStyle = data.heat[k];
    pen.fillRect(LEFT + 45 + bar * k / 256, y, bar / 256 + .5, 10);
  }
  pen.fillStyle = color("ink");
  pen.textAlign = "right"; pen.fillText(readable(low), LEFT + 40, y + 6);
  pen.textAlign = "left"; pen.fillText(readable(high), LEFT + 50 + bar, y + 6);
  panel.place = (x, y) => {
    const t = Math.floor((y - TOP) / h), i = Math.floor((x - LEFT) / w);
    if (t < 0 || t >= T) return null;
    const known = i >= 0 && i < N;
    return [t, known ? `${panel.name}, step ${t}, ${data.labels[i]}: ${readable(panel.rows[t][i])}` : ""];
  };
}

function lineChart(panel) {
  const several = panel.rows[0].length > 1, below = several ? 44 : 26;
  const [pen, width] = fit(panel.canvas, TOP + HEIGHT + below);
  let [low, high] = panel.extent;
  const isEntropy = panel.name.startsWith("entropy");
  if (isEntropy) [low, high] = [0, data.even];  // From one agent to all alike.
  if (panel.name === "head weights") low = 0;
  if (high === low) [low, high] = [low - 1, high + 1];
  const margin = .04 * (high - low), h = HEIGHT / T, inner = width - LEFT - RIGHT;
  const x = v => LEFT + inner * (v - low + margin) / (high - low + 2 * margin);
  pen.strokeStyle = color("rule");
  pen.strokeRect(LEFT, TOP, inner, HEIGHT);
  panel.rows[0].forEach((_, k) => {
    pen.strokeStyle = several ? data.colors[k % data.colors.length] : color("ally");
    pen.lineWidth = 1.8;
    pen.setLineDash([[], [6, 3], [6, 2, 2, 2], [2, 2]][k % 4]);
    pen.beginPath();
    panel.rows.forEach((row, t) => pen.lineTo(x(row[k]), TOP + (t + .5) * h));
    pen.stroke();
    if (!several) return;
    const room = (inner - 34) / panel.rows[0].length, at = LEFT + 34 + k * room;
    const dash = Math.max(6, Math.min(22, room - 16));
    pen.beginPath(); pen.moveTo(at, TOP + HEIGHT + 34); pen.lineTo(at + dash, TOP + HEIGHT + 34); pen.stroke();
    pen.fillStyle = color("ink");
    pen.textAlign = "left"; pen.textBaseline = "middle";
    pen.fillText(k, at + dash + 3, TOP + HEIGHT + 34);
    if (!k) pen.fillText("head", LEFT, TOP + HEIGHT + 34);
  });
  pen.setLineDash([]);
  marker(pen, width, h);
  timeAxis(pen, h);
  pen.fillStyle = color("dim");
  pen.textAlign = "left"; pen.fillText(readable(low), x(low), TOP + HEIGHT + 13);
  pen.textAlign = "right"; pen.fillText((isEntropy ? `ln ${N} = ` : "") + readable(high), x(high), TOP + HEIGHT + 13);
  panel.place = (_, y) => {
    const t = Math.floor((y - TOP) / h);
    if (t < 0 || t >= T) return null;
    const values = panel.rows[t].map((v, k) => (several ? `head ${k} ` : "") + readable(v));
    return [t, `${panel.name}, step ${t}: ${values.join(", ")}`];
  };
}

// The part of the map that was in use, as far as its edge where units came near that.
const seen = battle && battle.positions.flatMap((row, t) => row.filter((_, i) => battle.health[t][i] > 0));
const fell = battle ? battle.deaths.map(([, , x, y]) => [x, y]) : [];
const box = battle && [0, 1].map(axis => extent([[...seen, ...fell].map(p => p[axis])]))
  .map(([a, b]) => [a < .1 ? 0 : a, b > .9 ? 1 : b]);

function mapEdge(pen, place, width, height) {
  const [left, bottom] = place([0, 0]), [right, top] = place([1, 1]);
  pen.fillStyle = color("outside");
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = color("panel");
  pen.fillRect(left, top, right - left, bottom - top);
  pen.strokeStyle = color(battle.edgeKills ? "ink" : "dim");
  pen.lineWidth = battle.edgeKills ? 3 : 1;
  pen.strokeRect(left, top, right - left, bottom - top);
}

function drawDeath(pen, x, y, r, unit, fresh, boxed) {  // Large when it just happened.
  const s = fresh ? r : r / 2;
  pen.strokeStyle = color(unit < N ? "ally" : "enemy");
  pen.lineWidth = fresh ? 4 : 1.5;
  pen.globalAlpha = fresh ? 1 : .6;
  cross(pen, x, y, s);
  if (boxed) pen.strokeRect(x - s, y - s, 2 * s, 2 * s);
  pen.globalAlpha = 1;
}

function drawSides() {  // How healthy and how many each side is.
  for (const [side, from, to] of [["team", 0, N], ["enemies", N, battle.types.length]]) {
    const health = battle.health[now].slice(from, to), alive = health.filter(x => x > 0).length;
    const share = health.reduce((a, b) => a + b, 0) / health.length;
    $(side).style.setProperty("--share", `${100 * share}%`);
    $(side + "-text").textContent = `${side}: ${alive} of ${health.length} alive, ${Math.round(100 * share)}% health`;
  }
}

function drawBattle() {
  drawSides();
  const spans = box.map(([a, b]) => Math.max(.15, b - a)), edge = 34;
  const room = $("field").clientWidth - 2 * edge, scale = Math.min(room / spans[0], 500 / spans[1]);
  const height = scale * spans[1] + 2 * edge, [pen, width] = fit($("battle"), height);
  const place = ([px, py]) => [
    width / 2 + scale * (px - (box[0][0] + box[0][1]) / 2), height / 2 - scale * (py - (box[1][0] + box[1][1]) / 2)];
  mapEdge(pen, place, width, height);
  const t = now, health = battle.health[t], at = battle.positions[t].map(place);
  const chosen = data.maps[$("rings").value], [low, high] = chosen ? extent(chosen.rows) : [0, 1];
  const radius = i => Math.max(9, battle.radii[i] * scale);
  if (chosen && t < T && high > 0) chosen.rows[t].forEach((weight, i) => {
    if (health[i] <= 0) return;
    pen.fillStyle = color("ring");
    pen.globalAlpha = .4;
    pen.beginPath(); pen.arc(...at[i], radius(i) * (1 + 1.4 * Math.max(0, weight) / high), 0, 7); pen.fill();
    pen.globalAlpha = 1;
  });
  battle.deaths.forEach(([i, entry, x, y, cause]) => {
    if (entry <= t) drawDeath(pen, ...place([x, y]), radius(i), i, entry === t, cause === "edge");
  });
  health.forEach((left, i) => {
    const r = radius(i);
    if (left <= 0) return;
    const [x, y] = at[i];
    pen.fillStyle = color(i < N ? "ally" : "enemy");
    pen.beginPath(); pen.arc(x, y, r, 0, 7); pen.fill();
    pen.strokeStyle = battle.shoots[t][i] ? color("shot") : color("panel");
    pen.lineWidth = battle.shoots[t][i] ? 3 : 1;
    pen.stroke();
  });
  if (t < T) battle.targets[t].forEach((target, i) => {  // Ends with a dot on the target's rim.
    if (target < 0 || health[target] <= 0 || health[i] <= 0) return;
    const [x, y] = at[i], dx = at[target][0] - x, dy = at[target][1] - y;
    const far = 1 - Math.min(.5, radius(target) / Math.max(1, Math.hypot(dx, dy)));
    const shot = battle.shoots[t][i], end = [x + far * dx, y + far * dy];
    pen.strokeStyle = pen.fillStyle = color(shot ? "shot" : i < N ? "ally" : "enemy");
    pen.lineWidth = shot ? 2.5 : 1;
    pen.beginPath(); pen.moveTo(x, y); pen.lineTo(...end); pen.stroke();
    pen.beginPath(); pen.arc(...end, shot ? 3.5 : 2, 0, 7); pen.fill();
  });
  health.forEach((left, i) => {
    if (left <= 0) return;
    const [x, y] = at[i], r = radius(i);
    pen.fillStyle = color("panel");
    pen.font = `600 ${Math.max(9, .8 * r)}px system-ui, sans-serif`;
    pen.textAlign = "center"; pen.textBaseline = "middle";
    pen.fillText(battle.types[i].slice(0, 2) + (i < N ? i : ""), x, y);
    pen.fillStyle = color("rule");
    pen.fillRect(x - r, y - r - 9, 2 * r, 4);
    pen.fillStyle = color("health");
    pen.fillRect(x - r, y - r - 9, 2 * r * left, 4);
  });
}

$("panels").style.setProperty("--least", `${Math.max(11, 5 + 1.1 * N)}rem`);
const panels = [...data.maps.map(m => ({...m, draw: heatMap})), ...data.lines.map(m => ({...m, draw: lineChart}))];
panels.forEach((panel, index) => {
  Object.assign(panel, {index, extent: panel.limits || extent(panel.rows), canvas: document.createElement("canvas")});
  const section = document.createElement("section"), title = document.createElement("h2");
  title.textContent = panel.name;
  panel.canvas.setAttribute("role", "img");
  panel.canvas.setAttribute("aria-label", `${panel.name}, steps downwards, ${readable(panel.extent[0])} to ${readable(panel.extent[1])}`);
  const under = event => panel.place(event.offsetX, event.offsetY);
  panel.canvas.addEventListener("mousemove", event => { const found = under(event); if (found && found[1]) $("readout").textContent = found[1]; });
  panel.canvas.addEventListener("click", event => { const found = under(event); if (found) { stop(); go(found[0]); } });
  section.append(title, panel.canvas);
  $("panels").append(section);
});

function show() {
  if (battle) drawBattle();
  panels.forEach(panel => panel.draw(panel));
  const living = data.alive[now].reduce((a, b) => a + b, 0);
  const seconds = battle ? ` (${(now * battle.stepSeconds).toFixed(1)} s)` : "";
  $("where").textContent = `step ${now} of ${T}${seconds}, ${living} of ${N} alive`;
}
function go(step) { now = Math.max(0, Math.min(T, step)); $("step").value = now; show(); }
function stop() { clearInterval(timer); timer = null; $("play").textContent = "Play"; }
function play() {
  const seconds = battle ? battle.stepSeconds / Number($("speed").value) : .2;
  $("play").textContent = "Pause";
  timer = setInterval(() => now < T ? go(now + 1) : stop(), 1000 * seconds);
}
$("play").addEventListener("click", () => {
  if (timer) return stop();
  if (now >= T) go(0);
  play();
});
$("speed").addEventListener("change", () => { if (timer) { stop(); play(); } });
$("step").max = T;
$("step").addEventListener("input", event => { stop(); go(Number(event.target.value)); });
$("together").addEventListener("change", show);
if (data.heads < 2) $("shared").hidden = true;
if (battle) {
  document.querySelector("main").classList.add("drawn");
  const drawn = data.maps.filter(m => !m.limits);
  $("rings").append(new Option("nothing", ""), ...drawn.map((m, k) => new Option(m.name, k)));
  $("rings").value = data.heads;
  $("rings").addEventListener("change", show);
  $("edge-key").hidden = !battle.edgeKills;
} else {
  $("speeds").hidden = true;
  $("field").innerHTML = "";
  $("field").textContent = 
    `The game itself is not drawn: only states of the engine smax say where units stand, and here played ${data.engine}.`;
}
data.heat.forEach((heat, k) => {
  const pen = $("scale").getContext("2d");
  pen.fillStyle = heat;
  pen.fillRect(k / 2, 0, 1, 10);
});
new ResizeObserver(show).observe($("panels"));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
go(Number(location.hash.slice(1)) || 0);
