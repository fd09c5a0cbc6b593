// Draws what /api/v1/stream tells, and asks nobody else. Names, messages and events come from containers: all of it
// goes into the page as text, never as markup.

const byId = (id) => document.getElementById(id);
const drawing = byId("drawing");

// What the user made of the page.
const view = { at: null, selected: null };
// What came last.
let snapshot = null;

// --- Figures in words ---

const SPACE = "\u00a0";

function bytes(count) {
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (count < 999.5) {
      return `${unit !== "B" && count < 9.95 ? count.toFixed(1) : Math.round(count)}${SPACE}${unit}`;
    }
    count /= 1024;
  }
  return `${Math.round(count)}${SPACE}PiB`;
}

const orDash = (value, text) => (value === null || value === undefined ? "–" : text(value));
const received = (rate) => orDash(rate, (rate) => `${bytes(rate.received_bytes_per_second)}/s`);
const sent = (rate) => orDash(rate, (rate) => `${bytes(rate.sent_bytes_per_second)}/s`);
const bothWays = (rate) => `↓${SPACE}${received(rate)} ↑${SPACE}${sent(rate)}`;
const total = (rate) => (rate ? rate.received_bytes_per_second + rate.sent_bytes_per_second : 0);
const list = (all) => all.join(", ") || "–";
const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

function time(seconds) {
  if (seconds < 60) return `${seconds}${SPACE}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${SPACE}min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}${SPACE}h`;
  return `${Math.floor(seconds / 86400)}${SPACE}d`;
}

const words = (state) => state.replaceAll("-", " ");

function lease(lease) {
  const texts = { unknown: "–", missing: "none", reserved: "kept" };
  return texts[lease.state] ?? `ends in ${time(lease.seconds)}`;
}

function memory(pod) {
  const limit = pod.memory_limit_bytes === null ? "" : ` of ${bytes(pod.memory_limit_bytes)}`;
  return orDash(pod.memory_bytes, bytes) + limit;
}

const cpu = (pod) => orDash(pod.cpu_cores, (cores) => cores.toFixed(2));
const netdMood = (netd) => ({ ready: "good", degraded: "waiting" })[netd] ?? "bad";

// --- Elements ---

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// One child for each item, by key and in order. What stays is the same element, so that it keeps the focus.
function keep(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set(items.map(key));
  for (const [name, child] of old) if (!wanted.has(name)) child.remove();
  let next = parent.firstElementChild;
  for (const item of items) {
    let child = old.get(key(item));
    if (!child) {
      child = make(item);
      child.dataset.key = key(item);
    }
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
    update(child, item);
  }
}

// --- Ways between nodes ---

const pairName = (one, other) => [one, other].sort().join(" ");

function wayMood(path) {
  if (path.state !== "programmed") return "bad";
  const states = path.probes.map((probe) => probe.state);
  if (states.some((state) => ["no", "one-way", "small-only", "silent"].includes(state))) return "bad";
  return states.includes("lossy") ? "waiting" : "good";
}

const MOODS = ["good", "waiting", "bad"];
const worst = (one, other) => MOODS[Math.max(MOODS.indexOf(one), MOODS.indexOf(other))];

function roundTrip(probes) {
  const times = probes.map((probe) => probe.round_trip_us).filter((time) => time !== null);
  return times.length === 0 ? null : Math.max(...times) / 1000;
}

function loss(probes) {
  const part = (lost, sent) => (sent === 0 ? 0 : lost / sent);
  const parts = probes.flatMap((probe) => [part(probe.lost, probe.sent), part(probe.full_lost, probe.full_sent)]);
  return Math.max(0, ...parts);
}

const milliseconds = (time) => `${time < 10 ? time.toFixed(2) : Math.round(time)}${SPACE}ms`;
const percent = (part) => `${Math.round(part * 100)}${SPACE}% lost`;

// Both directions as one, by the names of the nodes.
function ways() {
  const found = new Map();
  for (const path of snapshot.paths) {
    const name = pairName(path.from, path.to);
    const way = found.get(name) ?? { nodes: [path.from, path.to], mood: "good", probes: [] };
    way.mood = worst(way.mood, wayMood(path));
    way.probes.push(...path.probes);
    found.set(name, way);
  }
  for (const fault of snapshot.faults.filter((fault) => fault.fault === "partition")) {
    const name = pairName(...fault.places);
    const way = found.get(name) ?? { nodes: fault.places, probes: [] };
    found.set(name, { ...way, mood: "bad", parted: true });
  }
  return [...found].map(([name, way]) => ({ name, ...way }));
}

function wayLabel(way) {
  if (way.parted) return "parted";
  const time = roundTrip(way.probes);
  const lost = loss(way.probes);
  const parts = [time === null ? "" : milliseconds(time), lost === 0 ? "" : percent(lost)];
  return parts.filter((part) => part !== "").join(", ");
}

// --- The drawing ---

const MANY_PODS = 40;
const MANY_NODES = 12;

function draw() {
  const focused = document.activeElement?.closest(".item");
  drawing.classList.toggle("many", snapshot.pods.length > MANY_PODS);
  drawing.style.setProperty("--lanes", snapshot.routers.length);
  const pods = Map.groupBy(snapshot.pods, (pod) => pod.node);
  const nodes = Map.groupBy(snapshot.nodes, (node) => node.underlay);
  keep(byId("underlays"), snapshot.underlays, (underlay) => underlay.name, makeUnderlay, (section, underlay) => {
    const mtu = underlay.mtu === null ? "" : `, MTU ${underlay.mtu}`;
    // The only one of a lab is called so.
    const name = underlay.name === "underlay" ? "underlay" : `underlay ${underlay.name}`;
    say(section.firstElementChild, `${name} ${underlay.subnets.join(" ")}${mtu}`);
    const here = nodes.get(underlay.name) ?? [];
    keep(section.lastElementChild, here, (node) => node.name, makeNode, (card, node) => {
      drawNode(card.firstElementChild, node);
      const inside = pods.get(node.name) ?? [];
      keep(card.lastElementChild, inside, (pod) => `pod/${pod.name}`, makePod, drawPod);
    });
  });
  keep(byId("routers"), snapshot.routers, (router) => router.name, () => element("div", "router"), (card, router) => {
    say(card, `router ${router.name}: joins ${router.underlays.join(", ")}`);
  });
  rove(focused);
  drawLines();
}

function makeUnderlay() {
  const section = element("section", "underlay", element("h3"), element("div", "nodes"));
  return section;
}

function item(className, ...children) {
  const button = element("button", `item ${className}`, ...children);
  button.type = "button";
  return button;
}

function makeNode(node) {
  const parts = ["mark", "name", "word", "addresses", "traffic", "faults"].map((part) => element("span", part));
  const head = item("head", ...parts);
  head.dataset.key = `node/${node.name}`;
  return element("div", "node", head, element("div", "pods"));
}

function drawNode(head, node) {
  const [mark, name, word, addresses, traffic, faults] = head.children;
  const mood = netdMood(node.netd);
  set(mark, "class", `mark ${mood}`);
  say(name, node.name);
  set(word, "class", `word ${mood}`);
  say(word, `netd ${words(node.netd)}`);
  say(addresses, `${list(node.addresses)} · ${list(node.subnets)}`);
  const tunnel = node.tunnel ? ` · tunnel ${bothWays(node.tunnel)}` : "";
  say(traffic, `cable ${bothWays(node.cable)}${tunnel}`);
  const inForce = snapshot.faults.filter((fault) => fault.fault !== "stopped" && fault.places.includes(node.name));
  const cable = node.impairment === null ? [] : [`cable: ${node.impairment}`];
  say(faults, [...cable, ...inForce.map((fault) => faultText(fault))].join("; "));
  label(head, `node ${node.name}: netd ${words(node.netd)}, ${counted(node.pods.all, "pod")}`);
}

const faultText = (fault) => `${words(fault.fault)}${fault.places.length > 1 ? ` of ${fault.places.join(" and ")}` : ""}: ${fault.what}`;

function makePod() {
  return item("pod", ...["mark", "name", "state"].map((part) => element("span", part)));
}

function drawPod(button, pod) {
  const [mark, name, state] = button.children;
  set(button, "class", `item pod ${pod.mood}`);
  set(mark, "class", `mark ${pod.mood}`);
  say(name, pod.name);
  const figures = `${cpu(pod)} · ${orDash(pod.memory_bytes, bytes)}`;
  say(state, pod.mood === "good" ? figures : `${pod.ready} ${pod.status}`);
  label(button, `pod ${pod.name} on ${pod.node}: ${pod.status}, ${pod.ready} ready`);
}

function label(button, text) {
  set(button, "aria-label", text);
  set(button, "title", text);
  set(button, "aria-pressed", button.dataset.key === view.selected);
}

// Thicker with each tenfold rate; a link without traffic is seen, too.
const thickness = (rate) => Math.min(10, 1.5 + 1.3 * Math.log10(1 + total(rate) / 100)).toFixed(1);

function drawLines() {
  const frame = drawing.getBoundingClientRect();
  const place = (element) => {
    const box = element.getBoundingClientRect();
    return { left: box.left - frame.left, right: box.right - frame.left, middle: (box.top + box.bottom) / 2 - frame.top };
  };
  const heads = new Map(snapshot.nodes.map((node, number) => {
    const head = find(`node/${node.name}`);
    const card = place(head.parentElement);
    return [node.name, { ...card, middle: place(head).middle, number }];
  }));
  const bus = 12 + 8 * snapshot.routers.length;
  const shapes = [...cables(heads, bus, place), ...lanes(bus, place), ...trunks(heads), ...arcs(heads, frame.width)];
  const make = (shape) => document.createElementNS("http://www.w3.org/2000/svg", shape.text === undefined ? "path" : "text");
  keep(byId("lines"), shapes, (shape) => shape.key, make, (child, shape) => {
    set(child, "class", shape.kind);
    for (const name of ["d", "x", "y", "stroke-width"]) if (shape[name] !== undefined) set(child, name, shape[name]);
    if (shape.text !== undefined) say(child, shape.text);
  });
}

// From each underlay's line to its nodes.
function cables(heads, bus, place) {
  return snapshot.underlays.flatMap((underlay) => {
    const nodes = snapshot.nodes.filter((node) => node.underlay === underlay.name);
    const top = place(underlayHeading(underlay.name)).middle;
    const ends = nodes.map((node) => heads.get(node.name).middle);
    const line = { key: `bus ${underlay.name}`, kind: "bus", d: `M${bus} ${top}V${Math.max(top + 1, ...ends)}` };
    return [line, ...nodes.map((node) => {
      const { left, middle } = heads.get(node.name);
      const isSlow = node.impairment !== null
        || snapshot.faults.some((fault) => fault.fault === "link" && fault.places.includes(node.name));
      return { key: `cable ${node.name}`, kind: isSlow ? "cable slow" : "cable", d: `M${bus} ${middle}H${left}`,
        "stroke-width": thickness(node.cable) };
    })];
  });
}

const underlayHeading = (name) => byId("underlays").querySelector(`:scope > [data-key="${CSS.escape(name)}"] > h3`);

// From each router to the underlays that it joins.
function lanes(bus, place) {
  return snapshot.routers.map((router, number) => {
    const card = byId("routers").children[number];
    const { left, middle } = place(card);
    const lane = 4 + 8 * number;
    const tops = router.underlays.map((name) => place(underlayHeading(name)).middle);
    const ends = tops.map((top) => `M${lane} ${top}H${bus}`).join("");
    return { key: `lane ${router.name}`, kind: "lane", d: `M${left} ${middle}H${lane}V${Math.min(...tops)}${ends}` };
  });
}

const TRUNK = 12;

// What all ways of a node carry together: the kernel does not count them one by one.
function trunks(heads) {
  const joined = new Set(snapshot.paths.map((path) => path.from));
  return snapshot.nodes.filter((node) => node.tunnel || joined.has(node.name)).map((node) => {
    const { right, middle } = heads.get(node.name);
    return { key: `trunk ${node.name}`, kind: "trunk", d: `M${right} ${middle}h${TRUNK}`,
      "stroke-width": thickness(node.tunnel) };
  });
}

function arcs(heads, width) {
  const selected = view.selected?.startsWith("node/") ? view.selected.slice(5) : null;
  const few = snapshot.nodes.length <= MANY_NODES;
  const shapes = [];
  const labels = [];
  for (const way of ways()) {
    const [one, other] = way.nodes.map((name) => heads.get(name));
    if (!one || !other) continue;
    const isNear = way.nodes.includes(selected);
    if (!few && !isNear && way.mood === "good") continue;
    const from = one.right + TRUNK;
    const room = width - from - 2;
    const reach = room * Math.min(1, 0.25 + 0.75 * Math.abs(one.number - other.number) / Math.max(1, snapshot.nodes.length - 1));
    const bend = from + reach * 4 / 3;
    shapes.push({ key: `way ${way.name}`, kind: `way ${way.mood}${isNear ? " near" : ""}`,
      d: `M${from} ${one.middle}C${bend} ${one.middle} ${bend} ${other.middle} ${from} ${other.middle}` });
    const text = wayLabel(way);
    if (text !== "" && room > 70 && (snapshot.nodes.length <= 4 || isNear || way.parted)) {
      labels.push({ key: `label ${way.name}`, kind: way.mood, x: from + reach, y: (one.middle + other.middle) / 2, text });
    }
  }
  // Above all lines.
  return [...shapes, ...apart(labels, width)];
}

// Labels that are inside and do not cover each other: those below give way.
function apart(labels, width) {
  const HALF_LETTER = 3.4;
  const LINE = 15;
  const placed = [];
  for (const label of labels.toSorted((one, other) => one.y - other.y)) {
    const half = label.text.length * HALF_LETTER;
    const x = Math.min(label.x, width - half);
    const covers = (other) => (
      Math.abs(other.x - x) < half + other.text.length * HALF_LETTER && Math.abs(other.y - label.y) < LINE);
    let cover = placed.find(covers);
    while (cover) {
      label.y = cover.y + LINE;
      cover = placed.find(covers);
    }
    placed.push({ ...label, x });
  }
  return placed;
}

// --- Focus and selection ---

const items = () => [...drawing.querySelectorAll(".item")];
const find = (key) => drawing.querySelector(`.item[data-key="${CSS.escape(key)}"]`);

// One of the items is in the order of Tab; arrow keys say which.
function rove(focused) {
  const all = items();
  const at = all.find((each) => each.dataset.key === view.at) ?? all[0];
  view.at = at?.dataset.key ?? null;
  for (const each of all) set(each, "tabindex", each === at ? 0 : -1);
  // What had the focus has gone.
  if (focused && !focused.isConnected) at?.focus({ preventScroll: true });
}

function go(to) {
  if (!to) return;
  view.at = to.dataset.key;
  rove();
  to.focus();
}

// The nearest row above or below, and in it the item nearest to the left edge of this one.
function inRow(from, isBelow) {
  const edge = from.getBoundingClientRect();
  const away = (box) => (isBelow ? box.top - edge.bottom : edge.top - box.bottom);
  const boxes = items().map((each) => [each, each.getBoundingClientRect()]).filter(([, box]) => away(box) > -4);
  const nearest = Math.min(...boxes.map(([, box]) => away(box)));
  const row = boxes.filter(([, box]) => away(box) < nearest + 8);
  const aside = ([, box]) => Math.abs(box.left - edge.left);
  return row.sort((one, other) => aside(one) - aside(other))[0]?.[0];
}

drawing.addEventListener("keydown", (event) => {
  const from = event.target.closest(".item");
  if (!from || event.ctrlKey || event.altKey || event.metaKey) return;
  const all = items();
  const number = all.indexOf(from);
  const moves = {
    ArrowRight: () => all[number + 1],
    ArrowLeft: () => all[number - 1],
    ArrowDown: () => inRow(from, true),
    ArrowUp: () => inRow(from, false),
    Home: () => all[0],
    End: () => all.at(-1),
  };
  if (!(event.key in moves)) return;
  event.preventDefault();
  go(moves[event.key]());
});

drawing.addEventListener("click", (event) => {
  const chosen = event.target.closest(".item");
  if (!chosen) return;
  go(chosen);
  select(chosen.dataset.key === view.selected ? null : chosen.dataset.key);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view.selected !== null) close();
});
byId("close").addEventListener("click", () => close());

function close() {
  const back = find(view.selected);
  select(null);
  if (back) go(back);
}

function select(key) {
  view.selected = key;
  happened = { of: null, events: [], trouble: "" };
  byId("details").hidden = key === null;
  // What is selected is not to be behind its details.
  if (key !== null) find(key)?.scrollIntoView({ block: "nearest" });
  for (const each of items()) set(each, "aria-pressed", each.dataset.key === key);
  if (snapshot === null) return;
  showDetails();
  askForEvents();
  drawLines();
  say(byId("said"), key === null ? "Details hidden" : `Details of ${key.replace("/", " ")} shown`);
}

// --- Details ---

// Events of the selected pod, as they came last.
let happened = { of: null, events: [], trouble: "" };
let isAsking = false;

function showDetails() {
  if (view.selected === null) return;
  const [kind, name] = view.selected.split("/");
  say(byId("subject"), `${kind} ${name}`);
  const found = snapshot[`${kind}s`].find((each) => each.name === name);
  const blocks = found ? (kind === "pod" ? podBlocks(found) : nodeBlocks(found)) : [["", ["It is not there any more."]]];
  keep(byId("facts"), blocks, ([heading]) => heading, makeBlock, (block, [heading, content]) => {
    say(block.firstElementChild, heading);
    fillBlock(block.lastElementChild, content);
  });
}

// Facts are pairs of a name and a value, everything else is lines.
function makeBlock([heading, content]) {
  const isFacts = Array.isArray(content[0]);
  return element("section", "", element("h3", heading === "" ? "hidden-but-said" : ""), element(isFacts ? "dl" : "ul"));
}

function fillBlock(block, content) {
  if (block.tagName === "DL") {
    keep(block, content, ([name]) => name, () => element("div", "fact", element("dt"), element("dd")), (fact, [name, value]) => {
      say(fact.firstElementChild, name);
      say(fact.lastElementChild, value);
    });
    return;
  }
  const numbered = content.map((text, number) => [String(number), text]);
  keep(block, numbered, ([number]) => number, () => element("li"), (line, [, text]) => say(line, text));
}

function podBlocks(pod) {
  const facts = [
    ["Status", pod.status], ["Ready", pod.ready], ["Node", pod.node], ["Addresses", list(pod.addresses)],
    ["Restarts", String(pod.restarts)], ["Processors", cpu(pod)], ["Memory", memory(pod)],
    ["Received", received(pod.traffic)], ["Sent", sent(pod.traffic)],
  ];
  const events = happened.of === pod.name ? happened.events : [];
  const told = events.toReversed().map((event) => {
    const times = event.count > 1 ? ` (${event.count} times)` : "";
    return `${clock(event.lastTimestamp)} ${event.type} ${event.reason}${times}: ${event.message}`;
  });
  return [["", facts], ["Containers", pod.containers.map((each) => `${each.name}: ${each.state}`)],
    ["Events", told.length > 0 ? told : [happened.trouble || "none"]]];
}

const clock = (moment) => new Date(moment).toLocaleTimeString();

function nodeBlocks(node) {
  const peers = node.peers_known === null ? "–" : `${node.peers_served} of ${node.peers_known} served`;
  const facts = [
    ["netd", words(node.netd)], ["Underlay", node.underlay], ["Addresses", list(node.addresses)],
    ["Subnets", list(node.subnets)], ["Lease", lease(node.lease)],
    ["Pods", `${node.pods.running} of ${node.pods.all} run`], ["Peers", peers],
    ["Cable", bothWays(node.cable)], ["Tunnel", orDash(node.tunnel, bothWays)],
  ];
  const own = (what) => what.filter((note) => note.places.includes(node.name)).map((note) => note.text);
  const happenings = own(notes());
  const ways = snapshot.paths.filter((path) => path.from === node.name).map((path) => `to ${path.to}: ${wayText(path)}`);
  return [["", facts], ["Ways to other nodes", ways.length > 0 ? ways : ["none that its netd tells of"]],
    ["Problems, faults and repairs", happenings.length > 0 ? happenings : ["none"]]];
}

function wayText(path) {
  const reason = path.reason === "" ? "" : ` (${path.reason})`;
  return [path.state + reason, ...path.probes.map(probeText)].join("; ");
}

function probeText(probe) {
  const time = orDash(probe.round_trip_us, (time) => milliseconds(time / 1000));
  return `probes of ${probe.subnet}: ${words(probe.state)}, ${time}, ${percent(loss([probe]))}`;
}

// Of the selected pod, one question at a time.
async function askForEvents() {
  const [kind, pod] = view.selected?.split("/") ?? [];
  if (kind !== "pod" || isAsking) return;
  isAsking = true;
  let told;
  try {
    const answer = await fetch(`/api/v1/pods/${encodeURIComponent(pod)}/events`);
    const events = answer.ok ? await answer.json() : [];
    told = { of: pod, events, trouble: answer.ok ? "" : await answer.text() };
  } catch {
    // The server has gone, which is told elsewhere; what was known stays.
    told = happened;
  }
  isAsking = false;
  if (view.selected !== `pod/${pod}`) return;
  happened = told;
  showDetails();
}

// --- Problems, faults, repairs ---

function notes() {
  const problems = snapshot.problems.map((problem) => (
    { mood: problem.mood, places: [problem.of], text: `${problem.of}: ${problem.what}` }));
  // A node without a netd is a problem already.
  const faults = snapshot.faults.filter((fault) => fault.fault !== "stopped").map((fault) => (
    { mood: "bad", places: fault.places, text: `fault ${words(fault.fault)}, ${fault.places.join(" and ")}: ${fault.what}` }));
  const repairs = snapshot.repairs.map((repair) => {
    const times = repair.count > 1 ? ` ${repair.count} times` : "";
    return { mood: "waiting", places: [repair.node],
      text: `${repair.node}: netd put back${times}, ${time(repair.seconds)} ago: ${repair.object}` };
  });
  return [...problems, ...faults, ...repairs];
}

function showNotes() {
  const all = notes();
  const [problems, faults] = [snapshot.problems.length, snapshot.faults.filter((fault) => fault.fault !== "stopped").length];
  say(byId("notes-heading"), all.length === 0 ? "No problems, no faults, nothing put back lately"
    : `${counted(problems, "problem")}, ${counted(faults, "fault")}, ${snapshot.repairs.length} put back by netd`);
  const numbered = all.map((note, number) => ({ ...note, key: String(number) }));
  const make = () => element("li", "", element("span"), element("span"));
  keep(byId("notes-list"), numbered, (note) => note.key, make, (line, note) => {
    set(line.firstElementChild, "class", `mark ${note.mood}`);
    say(line.lastElementChild, note.text);
  });
}

// --- Tables ---

const TABLES = {
  "nodes-table": () => [
    ["Node", "netd", "Underlay", "Addresses", "Subnets", "Lease", "Pods", "Cable in", "Cable out", "Tunnel in", "Tunnel out"],
    snapshot.nodes.map((node) => [node.name, words(node.netd), node.underlay, list(node.addresses), list(node.subnets),
      lease(node.lease), `${node.pods.running}/${node.pods.all}`, received(node.cable), sent(node.cable),
      received(node.tunnel), sent(node.tunnel)]),
  ],
  "pods-table": () => [
    ["Pod", "Ready", "Status", "Restarts", "Node", "Addresses", "Processors", "Memory", "In", "Out"],
    snapshot.pods.map((pod) => [pod.name, pod.ready, pod.status, String(pod.restarts), pod.node, list(pod.addresses),
      cpu(pod), memory(pod), received(pod.traffic), sent(pod.traffic)]),
  ],
  "paths-table": () => [
    ["From", "To", "State", "Probes", "Round trip", "Loss"],
    snapshot.paths.map((path) => [path.from, path.to, path.state, list(path.probes.map((probe) => words(probe.state))),
      orDash(roundTrip(path.probes), milliseconds), path.probes.length === 0 ? "–" : percent(loss(path.probes))]),
  ],
};

function showTables() {
  for (const [id, content] of Object.entries(TABLES)) {
    const table = byId(id);
    if (!table.closest("details").open) continue;
    const [headings, rows] = content();
    if (!table.tHead) {
      const cells = headings.map((heading) => Object.assign(element("th", "", heading), { scope: "col" }));
      table.append(element("thead", "", element("tr", "", ...cells)), element("tbody"));
    }
    const numbered = rows.map((cells, number) => ({ cells, key: String(number) }));
    const make = ({ cells }) => element("tr", "", ...cells.map((_, at) => (
      at === 0 ? Object.assign(element("th"), { scope: "row" }) : element("td"))));
    keep(table.tBodies[0], numbered, (row) => row.key, make, (row, { cells }) => {
      cells.forEach((cell, at) => say(row.children[at], cell));
    });
  }
}

for (const details of document.querySelectorAll("#tables details")) {
  details.addEventListener("toggle", () => snapshot && showTables());
}

// --- The lab as a whole ---

function showSummary() {
  const ready = snapshot.pods.filter((pod) => pod.is_ready).length;
  const bad = snapshot.problems.filter((problem) => problem.mood === "bad").length;
  const parts = [counted(snapshot.nodes.length, "node"), `${ready}/${snapshot.pods.length} pods ready`,
    `${snapshot.backend}, ${snapshot.store}`, `pods in ${snapshot.pod_networks.join(" ")}`];
  if (bad > 0) parts.unshift(counted(bad, "problem"));
  say(byId("name"), `lab ${snapshot.lab}`);
  say(byId("summary"), parts.join(" · "));
  const title = bad > 0 ? `${counted(bad, "problem")} – lab ${snapshot.lab}` : `lab ${snapshot.lab}`;
  if (document.title !== title) document.title = title;
}

function show() {
  document.querySelector("main").hidden = false;
  showSummary();
  draw();
  showNotes();
  showTables();
  showDetails();
  askForEvents();
}

// --- Where it comes from ---

// What the server said last, when, and whether the page has told that it says nothing any more.
let heard = { text: "", isLost: false, at: performance.now(), isSilent: false };

function connection(text, isLost) {
  say(byId("connection"), text);
  document.body.classList.toggle("lost", isLost);
}

function hear(text, isLost) {
  heard = { text, isLost, at: performance.now(), isSilent: false };
  connection(text, isLost);
}

// A browser has few connections to one server: a page that nobody sees leaves them to others.
let stream = null;

function leave() {
  stream?.close();
  stream = null;
}

function listen() {
  if (document.hidden || stream !== null) return;
  const opened = new EventSource("/api/v1/stream");
  stream = opened;
  opened.addEventListener("snapshot", (event) => {
    snapshot = JSON.parse(event.data);
    hear("Live", false);
    show();
  });
  opened.addEventListener("nothing", (event) => {
    hear(`There is no lab to be seen: ${JSON.parse(event.data).reason}`, true);
  });
  // Nothing new, but somebody is there.
  opened.addEventListener("alive", () => heard.text !== "" && hear(heard.text, heard.isLost));
  opened.addEventListener("error", () => {
    // A browser asks again itself, unless it has given up.
    if (opened.readyState !== EventSource.CLOSED || stream !== opened) return;
    leave();
    setTimeout(listen, 1000);
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    leave();
    return;
  }
  heard.at = performance.now();
  listen();
});

const PATIENCE = 4000;

setInterval(() => {
  const age = performance.now() - heard.at;
  if (document.hidden || age < PATIENCE || heard.isSilent) return;
  heard.isSilent = true;
  const since = new Date(Date.now() - age).toLocaleTimeString();
  connection(`No answer since ${since}: lab ui has ended, or cannot be reached. When it is there again the page goes on.`, true);
}, 500);

// Positions depend on the width, and on letters.
new ResizeObserver(() => snapshot && drawLines()).observe(drawing);

// --- Colours ---

const COLOURS = ["system", "light", "dark"];
const store = {
  get: () => {
    try { return localStorage.getItem("colours"); } catch { return null; }
  },
  // A browser that keeps nothing asks the system next time.
  set: (value) => {
    try { localStorage.setItem("colours", value); } catch { /* as said */ }
  },
};

function colour(choice) {
  document.documentElement.dataset.colours = choice;
  say(byId("colours"), `Colours: ${choice}`);
}

byId("colours").addEventListener("click", () => {
  const now = COLOURS.indexOf(document.documentElement.dataset.colours);
  const next = COLOURS[(now + 1) % COLOURS.length];
  store.set(next);
  colour(next);
});

const chosen = store.get();
colour(COLOURS.includes(chosen) ? chosen : "system");
listen();
