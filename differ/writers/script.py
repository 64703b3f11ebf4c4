r"""The program in an HTML report (html.py): its words, the changes as a tree, the list, what happens when.

It runs in a reader's browser, has no library under it and asks for nothing over a network; the page's policy
allows it alone.  The names in a report are anybody's: they become text nodes and attributes, never markup.
"""

SCRIPT = r"""
const $ = id => document.getElementById(id);
const KINDS = ["added", "modified", "removed"], LETTERS = ["A", "M", "D"];
const rows = JSON.parse($("changes").textContent);

// ---- words and numbers, as the command prints them

function size(count) {
  if (count < 1000) return count + " B";
  const units = ["kB", "MB", "GB", "TB", "PB", "EB"];
  let amount = count, at = -1;
  do { amount /= 1000; at++; } while (amount >= 999.5 && at < 5);
  return Number(amount.toPrecision(3)) + " " + units[at];
}
const number = count => count.toLocaleString("en");
const many = (count, what) => number(count) + " " + (count === 1 ? what : what.endsWith("y") ? what.slice(0, -1) + "ies" : what + "s");

// As printable() of the command: two names never look the same, and none steers what is around it.
const SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"};
const hex = byte => "\\x" + byte.toString(16).padStart(2, "0");
const escaped = text => text.replace(/[\p{C}\p{Z}\\]/gu, c =>
  c === " " ? c : SHORT[c] || [...utf8(c)].map(hex).join(""));
const utf8 = c => {
  const code = c.codePointAt(0);
  return code >= 0xd800 && code < 0xe000 ? [code & 0xff] : new TextEncoder().encode(c);
};
const CHARACTERS = new RegExp("[\\x00-\\x7f]|[\\xc2-\\xdf][\\x80-\\xbf]|\\xe0[\\xa0-\\xbf][\\x80-\\xbf]" +
  "|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}|\\xed[\\x80-\\x9f][\\x80-\\xbf]|\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}" +
  "|[\\xf1-\\xf3][\\x80-\\xbf]{3}|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2}|[^]", "g");
const decoder = new TextDecoder("utf-8", {ignoreBOM: true});
const decoded = base64 => atob(base64).replace(CHARACTERS, bytes =>
  bytes.length === 1 && bytes > "\x7f" ? hex(bytes.charCodeAt(0))
    : escaped(decoder.decode(Uint8Array.from(bytes, c => c.charCodeAt(0)))));
const name = (told, key) => told[key + "_base64"] ? decoded(told[key + "_base64"]) : escaped(told[key]);

function time(text) {
  const [, seconds, ns] = /^(-?\d+)\.(\d+)$/.exec(text);
  const whole = Number(seconds);
  // Times before 1970 and those that no Date holds stay numbers.
  if (seconds.startsWith("-") || whole > 2e11) return text;
  return new Date(whole * 1000).toISOString().slice(0, -5).replace("T", " ") + (Number(ns) ? "." + ns : "") + " UTC";
}
function value(field, told) {
  if (told === null) return "";
  if (field === "mtime") return time(told);
  if (field === "size") return size(told);
  if (field === "target") return name(told, "target");
  if (field === "links") return told.map(one => name(one, "path")).join(", ");
  if (field === "xattrs") return Object.keys(told).map(key => escaped(key) + " = " + decoded(told[key])).join(", ") || "none";
  return String(told);
}
function why(row) {
  const reasons = [];
  for (const [field, [lower, upper]] of Object.entries(row.fields || {})) {
    reasons.push(lower === null || upper === null || field === "links" || field === "xattrs" ? field
      : field + " " + value(field, lower).replace(/ UTC$/, "") + " → " + value(field, upper));
  }
  if (row.held === null) reasons.push("directory that could not be read");
  else if (row.held && row.type === "dir" && row.kind === "removed") reasons.push("directory that held " + many(row.held.names, "name"));
  else if (row.held && row.fields && row.fields.type[0] === "dir") reasons.push("was a directory that held " + many(row.held.names, "name"));
  else if (row.type !== "file" && !row.fields) reasons.push({dir: "directory", char: "character device", block: "block device", symlink: "symbolic link"}[row.type] || row.type);
  if (row.target !== undefined && !(row.fields && row.fields.target)) reasons.push("→ " + name(row, "target"));
  if (row.link !== undefined) reasons.push("hard link to " + name(row, "link"));
  return reasons.join(", ");
}

// ---- the changes as a tree of directories

// Bytes by kind: a link has none of its own, and a directory that is gone takes along what it held.
function bytes(row) {
  const held = row.held ? row.held.bytes : 0;
  if (row.k === 2) return [0, 0, row.held === undefined ? row.bytes || 0 : held];
  const own = row.link === undefined ? row.bytes || 0 : 0;
  return row.k === 0 ? [own, 0, 0] : [0, own, held];
}
const node = (name, above) => ({name, above, kids: new Map(), row: null, bytes: [0, 0, 0], count: [0, 0, 0]});
const root = node("", null);
const nodes = [root];
rows.forEach((row, index) => {
  row.index = index;
  row.k = KINDS.indexOf(row.kind);
  row.path = name(row, "path");
  let at = root;
  for (const part of row.path.split("/")) {
    let next = at.kids.get(part);
    if (!next) { next = node(part, at); at.kids.set(part, next); nodes.push(next); }
    at = next;
  }
  at.row = row;
  row.node = at;
});
const path = at => { const parts = []; for (; at.above; at = at.above) parts.unshift(at.name); return parts.join("/"); };
const sum = three => three[0] + three[1] + three[2];
const isWithin = (at, above) => { while (at && at !== above) at = at.above; return at === above; };

const state = {here: root, query: "", kinds: [true, true, true], by: "bytes"};
let matching = [], listed = [];

function match() {
  const words = state.query.toLowerCase();
  for (const one of nodes) { one.bytes.fill(0); one.count.fill(0); }
  matching = rows.filter(row => {
    if (!state.kinds[row.k]) return false;
    if (!words) return true;
    // Made when it is first wanted: a page that is only looked at opens sooner.
    if (row.text === undefined) row.text = (row.path + "\n" + why(row)).toLowerCase();
    return row.text.includes(words);
  });
  for (const row of matching) {
    const own = bytes(row);
    for (let at = row.node; at; at = at.above) {
      for (let k = 0; k < 3; k++) at.bytes[k] += own[k];
      at.count[row.k]++;
    }
  }
}

// ---- the list: only the lines that can be seen are in the page

const TALLEST = 8e6; // pixels; browsers give up on elements of some 16 million
let line = 0, active = -1;
const inner = () => Math.min(TALLEST, listed.length * line);
// Where the list is longer than an element can be, a pixel of scrolling is more than a pixel of lines.
const stretch = () => { const view = $("list").clientHeight; return inner() > view ? (listed.length * line - view) / (inner() - view) : 1; };

function show() {
  const list = $("list"), body = $("lines"), view = list.clientHeight, top = list.scrollTop * stretch();
  const from = Math.max(0, Math.floor(top / line) - 6), to = Math.min(listed.length, Math.ceil((top + view) / line) + 6);
  const made = [];
  for (let index = from; index < to; index++) {
    const row = listed[index], slash = row.path.lastIndexOf("/") + 1, reasons = why(row);
    const option = element("div", "line" + (index === active ? " active" : "") + (reasons ? "" : " bare"),
      element("span", "kind k" + row.k, LETTERS[row.k]),
      element("span", "path", element("bdi", "above", row.path.slice(0, slash)), element("bdi", "name", row.path.slice(slash) + (row.type === "dir" ? "/" : ""))),
      element("span", "why", reasons),
      element("span", "size", sum(bytes(row)) || row.type === "file" ? size(sum(bytes(row))) : ""));
    option.id = "line" + index;
    option.title = row.path + (reasons ? "\n" + reasons : "");
    option.style.top = index * line - top + list.scrollTop + "px";
    for (const [key, told] of [["role", "option"], ["aria-selected", index === active], ["aria-setsize", listed.length], ["aria-posinset", index + 1],
      ["aria-label", row.kind + " " + row.path + (reasons ? ", " + reasons : "") + ", " + size(sum(bytes(row)))]]) option.setAttribute(key, told);
    made.push(option);
  }
  body.replaceChildren(...made);
  if (active >= from && active < to) list.setAttribute("aria-activedescendant", "line" + active);
  else list.removeAttribute("aria-activedescendant");
}
function walk(event) {
  const list = $("list"), page = Math.max(1, Math.floor(list.clientHeight / line) - 1);
  const to = {ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: listed.length - 1}[event.key];
  if (event.key === "Enter" && active >= 0) details(listed[active]);
  else if (to === undefined || !listed.length) return;
  else {
    active = Math.max(0, Math.min(listed.length - 1, to));
    const top = list.scrollTop * stretch(), view = list.clientHeight;
    if (active * line < top) list.scrollTop = active * line / stretch();
    else if ((active + 1) * line > top + view) list.scrollTop = ((active + 1) * line - view) / stretch();
    show();
  }
  event.preventDefault();
}

// ---- all that is known of one change

let asked = null;
function details(row) {
  asked = row;
  $("what").textContent = row.path;
  const body = $("facts"), fact = (term, ...told) => body.append(element("dt", "", term), element("dd", "", ...told));
  body.textContent = "";
  fact("Kind", LETTERS[row.k] + " " + row.kind);
  fact("Type", row.type);
  if (row.bytes !== undefined) fact("Size", number(row.bytes) + " bytes");
  if (row.held) fact("Held", many(row.held.names, "name") + ", " + number(row.held.bytes) + " bytes");
  if (row.held === null) fact("Held", "could not be read");
  if (row.target !== undefined) fact("Points to", name(row, "target"));
  if (row.link !== undefined) fact("Hard link to", name(row, "link"));
  for (const [field, [lower, upper]] of Object.entries(row.fields || {})) {
    const known = lower !== null && upper !== null;
    const exact = one => field === "size" ? number(one) + " bytes" : value(field, one);
    fact("Differs: " + field, ...(known ? [element("div", "", element("b", "", "LOWER "), exact(lower)), element("div", "", element("b", "", "UPPER "), exact(upper))] : ["yes"]));
  }
  if (row.sha256) fact("SHA-256", ...row.sha256.map((sum, side) => element("div", "", element("b", "", side ? "UPPER " : "LOWER "), sum || "none")));
  $("details").showModal();
}

// ---- what happens when

function refresh(focused) {
  const here = state.here, trail = [];
  for (let at = here; at; at = at.above) trail.unshift(at);
  $("crumbs").replaceChildren(...trail.map(at => {
    const crumb = element("button", "link", element("bdi", "", at.above ? at.name : "all directories"));
    crumb.type = "button";
    crumb.onclick = () => go(at, here);
    if (at === here) crumb.setAttribute("aria-current", "location");
    return element("li", "", crumb);
  }));
  listed = here.above ? matching.filter(row => isWithin(row.node, here)) : matching;
  active = -1;
  $("list").scrollTop = 0;
  measure();
  draw(focused);
  table();
  $("status").textContent = number(listed.length) + " of " + many(rows.length, "change") + (here.above ? " in " + path(here) + "/" : "");
}
function measure() {
  line = parseFloat(getComputedStyle($("list")).getPropertyValue("--line"));
  $("lines").style.height = inner() + "px";
  $("list").hidden = !listed.length;
  show();
}
function go(at, focused) { state.here = at; refresh(focused); }

let waiting = 0;
$("query").oninput = () => { clearTimeout(waiting); waiting = setTimeout(() => { state.query = $("query").value; match(); refresh(); }, 120); };
document.querySelectorAll("[data-kind]").forEach(button => button.onclick = () => {
  const k = Number(button.dataset.kind);
  state.kinds[k] = !state.kinds[k];
  button.setAttribute("aria-pressed", state.kinds[k]);
  match(); refresh();
});
document.querySelectorAll("[data-by]").forEach(button => button.onclick = () => by(button.dataset.by));
function by(what) {
  state.by = what;
  document.querySelectorAll("[data-by]").forEach(one => one.setAttribute("aria-pressed", one.dataset.by === what));
  draw(); table();
}
$("map").onclick = event => { const tile = event.target.closest(".tile"); if (tile) open(tile.target); };
$("map").onkeydown = steer;
$("list").onscroll = () => requestAnimationFrame(show);
$("list").onkeydown = walk;
$("list").onclick = event => {
  const option = event.target.closest(".line");
  if (!option) return;
  active = Number(option.id.slice(4));
  show();
  details(listed[active]);
};
$("close").onclick = () => $("details").close();
$("where").onclick = () => { $("details").close(); go(asked.node.above); };
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; measure(); draw(); } });

match();
document.querySelectorAll("[data-bytes]").forEach(one => one.textContent = size(Number(one.dataset.bytes)));
document.documentElement.classList.add("runs");
if (!sum(root.bytes)) by("changes");
refresh();
"""
