r"""The program in an HTML report, continued (script.py): the picture of the directories and the table behind it."""

TREEMAP = r"""
// ---- the picture: rectangles as square as they can be (Bruls, Huizing, van Wijk 2000)

function squares(items, x, y, w, h) {
  const scale = w * h / items.reduce((all, item) => all + item.v, 0), found = [];
  for (let at = 0; at < items.length;) {
    const side = Math.min(w, h);
    let end = at, area = 0, worst = Infinity;
    for (; end < items.length; end++) {
      const v = items[end].v * scale, all = area + v;
      const next = Math.max(side * side * items[at].v * scale / (all * all), all * all / (side * side * v));
      if (next > worst) break;
      worst = next; area = all;
    }
    const thick = side ? area / side : 0, wide = w >= h;
    let along = wide ? y : x;
    for (; at < end; at++) {
      const long = thick ? items[at].v * scale / thick : 0;
      found.push(wide ? [items[at], x, along, thick, long] : [items[at], along, y, long, thick]);
      along += long;
    }
    if (wide) { x += thick; w -= thick; } else { y += thick; h -= thick; }
  }
  return found;
}
const figure = at => sum(state.by === "bytes" ? at.bytes : at.count);
const amount = v => state.by === "bytes" ? size(v) : many(v, "change");
// The most that a directory shows; what is smaller is one rectangle together.
function items(at, most) {
  const all = [...at.kids.values()].map(kid => ({at: kid, v: figure(kid)})).filter(item => item.v > 0);
  all.sort((one, other) => other.v - one.v || (one.at.name < other.at.name ? -1 : 1));
  if (all.length <= most) return all;
  const rest = all.splice(most - 1), together = node(many(rest.length, "smaller entry"), at);
  for (const {at: kid} of rest) for (let k = 0; k < 3; k++) { together.bytes[k] += kid.bytes[k]; together.count[k] += kid.count[k]; }
  together.isRest = true;
  const item = {at: together, v: figure(together)}, place = all.findIndex(other => other.v < item.v);
  all.splice(place < 0 ? all.length : place, 0, item);
  return all;
}
function element(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}
function placed(made, x, y, w, h) {
  Object.assign(made.style, {left: x + "px", top: y + "px", width: w + "px", height: h + "px"});
  return made;
}
// A directory where all changes are below one directory is shown, and opened, as one with it.
function step(at) {
  const all = sum(at.count);
  for (const kid of at.kids.values()) if (all && sum(kid.count) === all && kid.kids.size) return kid;
  return null;
}
function deepest(at) {
  for (let next = at; next; next = step(at)) at = next;
  return at;
}
const highest = at => { while (at.above && step(at)) at = at.above; return at; };
const isDirectory = at => at.kids.size > 0 || (at.row !== null && at.row.type === "dir");
function title(at, below) {
  const parts = [];
  for (let one = below; one !== at.above; one = one.above) parts.unshift(one.name);
  return parts.join("/") + (isDirectory(below) ? "/" : "");
}
let cells = 0; // in the picture: a page stays quick with some hundred
function paint(into, from, w, h, depth) {
  const at = deepest(from), label = h > 20;
  if (at.kids.size && depth < 6 && w > 64 && h > 48 && cells < 900) {
    into.classList.add("frame");
    const inside = element("span", "inside"), name = element("span", "label", element("bdi", "", title(from, at)));
    if (w > 180) name.append(element("span", "much", amount(figure(at))));
    into.append(name, placed(inside, 3, 21, w - 6, h - 24));
    for (const [item, x, y, iw, ih] of squares(items(at, 40), 0, 0, w - 6, h - 24)) {
      if (iw < 3 || ih < 3) continue;
      cells++;
      const tile = placed(element("span", "cell"), x, y, Math.max(1, iw - 1), Math.max(1, ih - 1));
      inside.append(tile);
      paint(tile, item.at, iw - 1, ih - 1, depth + 1);
    }
    return;
  }
  const parts = state.by === "bytes" ? at.bytes : at.count, all = sum(parts);
  let along = 0;
  for (let k = 0; k < 3; k++) {
    if (!parts[k]) continue;
    const share = parts[k] / all * 100, part = element("span", "part k" + k);
    Object.assign(part.style, w >= h ? {left: along + "%", width: share + "%", top: 0, bottom: 0}
      : {top: along + "%", height: share + "%", left: 0, right: 0});
    into.append(part);
    along += share;
  }
  if (label) {
    const letters = LETTERS.filter((letter, k) => parts[k]), line = element("span", "label", element("b", "", letters.join(" ")));
    if (w > 66) line.append(" ", element("bdi", "", title(from, at)));
    if (w > 12 + 15 * letters.length) into.append(line);
    if (w > 66 && h > 40) into.append(element("span", "label second", amount(figure(at))));
  }
}
const told = at => KINDS.map((kind, k) => at.count[k] ? number(at.count[k]) + " " + kind + " (" + size(at.bytes[k]) + ")" : "")
  .filter(Boolean).join(", ");

function draw(focused) {
  const map = $("map"), w = map.clientWidth, h = map.clientHeight;
  map.textContent = "";
  cells = 0;
  const found = figure(state.here) && w ? squares(items(state.here, 60), 0, 0, w, h) : [];
  $("nothing").hidden = found.length > 0;
  $("nothing").textContent = !matching.length ? "Nothing matches." : "No bytes here: what has changed has none. Size the picture by changes instead.";
  // The first to be focused is one that can be opened.
  found.sort(([one], [other]) => Boolean(one.at.isRest) - Boolean(other.at.isRest));
  let first = true;
  for (const [item, x, y, tw, th] of found) {
    const at = deepest(item.at), shown = at.isRest ? at.name : title(item.at, at), tile = placed(element("button", "tile"), x + 1, y + 1, Math.max(1, tw - 2), Math.max(1, th - 2));
    const kind = at.isRest ? "see the list" : isDirectory(at) ? "directory" : at.row.type;
    tile.type = "button";
    tile.setAttribute("aria-label", shown + ", " + kind + ": " + told(at));
    tile.title = shown + "\n" + told(at);
    tile.tabIndex = first ? 0 : -1;
    tile.target = at;
    paint(tile, item.at, tw - 2, th - 2, 1);
    map.append(tile);
    const isAsked = focused && isWithin(focused, item.at);
    if (focused && (isAsked || first)) tile.focus({preventScroll: true});
    if (first || isAsked) { for (const other of map.children) other.tabIndex = -1; tile.tabIndex = 0; }
    first = false;
  }
  if (focused && first) $("crumbs").querySelector("button").focus();
}
function open(at) {
  if (at.isRest) $("list").focus();
  else if (at.kids.size) go(at, at);
  else details(at.row);
}
function steer(event) {
  const tiles = [...$("map").children], at = tiles.indexOf(document.activeElement);
  if ((event.key === "Backspace" || event.key === "Escape") && state.here.above) go(highest(state.here.above), state.here);
  else if (event.key === "Home" || event.key === "End") focus(tiles.at(event.key === "Home" ? 0 : -1));
  else if (event.key.startsWith("Arrow") && at >= 0) {
    const from = tiles[at].getBoundingClientRect(), isAcross = event.key === "ArrowLeft" || event.key === "ArrowRight";
    const sign = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1;
    let best = null, nearest = Infinity;
    for (const tile of tiles) {
      const to = tile.getBoundingClientRect();
      const ahead = sign * (isAcross ? to.x + to.width / 2 - from.x - from.width / 2 : to.y + to.height / 2 - from.y - from.height / 2);
      const aside = isAcross ? Math.max(0, to.top - from.bottom, from.top - to.bottom) : Math.max(0, to.left - from.right, from.left - to.right);
      if (tile !== tiles[at] && ahead > 1 && ahead + 4 * aside < nearest) { best = tile; nearest = ahead + 4 * aside; }
    }
    if (best) focus(best);
  } else return;
  event.preventDefault();
}
function focus(tile) {
  if (!tile) return;
  for (const other of $("map").children) other.tabIndex = -1;
  tile.tabIndex = 0;
  tile.focus();
}

// ---- the table behind the picture

function table() {
  const body = $("figures"), here = state.here;
  body.textContent = "";
  const kids = [...here.kids.values()].filter(kid => sum(kid.count)).sort((one, other) => figure(other) - figure(one) || sum(other.count) - sum(one.count));
  const row = (head, at) => {
    const line = element("tr", "", head);
    for (let k = 0; k < 3; k++) line.append(element("td", "", at.count[k] ? number(at.count[k]) : "-"), element("td", "", at.count[k] ? size(at.bytes[k]) : "-"));
    body.append(line);
  };
  const head = (...inside) => { const cell = element("th", "", ...inside); cell.scope = "row"; return cell; };
  for (const kid of kids.slice(0, 200)) {
    const shown = element("bdi", "", kid.name + (isDirectory(kid) ? "/" : ""));
    if (!kid.kids.size) { row(head(shown), kid); continue; }
    const button = element("button", "link", shown);
    button.type = "button";
    button.onclick = () => {
      go(kid);
      (body.querySelector("button") || $("crumbs").lastChild.firstChild).focus();
    };
    row(head(button), kid);
  }
  if (kids.length > 200) {
    const rest = node("", null);
    for (const kid of kids.slice(200)) for (let k = 0; k < 3; k++) { rest.bytes[k] += kid.bytes[k]; rest.count[k] += kid.count[k]; }
    row(head(many(kids.length - 200, "smaller entry")), rest);
  }
  const own = node("", null);
  for (const kid of kids) for (let k = 0; k < 3; k++) { own.bytes[k] += kid.bytes[k]; own.count[k] += kid.count[k]; }
  for (let k = 0; k < 3; k++) { own.bytes[k] = here.bytes[k] - own.bytes[k]; own.count[k] = here.count[k] - own.count[k]; }
  if (sum(own.count)) row(head("The directory itself"), own);
  row(head("All of " + (here.above ? path(here) + "/" : "the tree")), here);
}
"""
