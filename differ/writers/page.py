"""What is always the same in an HTML report (html.py): its style, and what stands before and after the changes.

Text has a contrast of at least 4.5 to what is behind it, in both colour schemes, and no kind of change is told by
its colour alone: it has a letter too, and in the picture what is removed is hatched.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --paper: #ffffff; --text: #1b2430; --soft: #566070; --edge: #d9dee6; --link: #0b57c2;
  --k0: #bfe3d6; --k1: #fbdf9d; --k2: #f6c6c9; --strong0: #0c6b4f; --strong1: #855300; --strong2: #ab2536;
  --hatch: #eeb0b5; --frame: #eef1f5; --on: #ffffff; --hover: #edf2fa; --shadow: 0 1px 3px #1b243014;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11151b; --paper: #1a2028; --text: #e6eaf0; --soft: #a2adbb; --edge: #313a46; --link: #8ab8ff;
    --k0: #1e4f41; --k1: #5a4309; --k2: #642b34; --strong0: #6fd4b1; --strong1: #f0bd55; --strong2: #ff98a1;
    --hatch: #72343e; --frame: #232b35; --on: #11151b; --hover: #232d3a; --shadow: none;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 1240px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
.over { margin: 0; color: var(--soft); font-size: 13px; }
h1 { margin: 2px 0 0; font: 600 24px/1.35 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 .to { color: var(--soft); font-weight: 400; padding: 0 .2em; }
h2 { margin: 28px 0 10px; font-size: 17px; }
bdi { unicode-bidi: isolate; }
.totals { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: 18px 0 20px; }
.total { background: var(--paper); border: 1px solid var(--edge); border-radius: 10px; padding: 12px 16px; box-shadow: var(--shadow); }
.total dt { color: var(--soft); display: flex; align-items: center; gap: 8px; }
.total dd { margin: 0; }
.total .count { font-size: 27px; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.total .bytes { color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
.kind { display: inline-block; flex: none; width: 21px; height: 21px; border-radius: 5px; text-align: center; font: 700 12px/21px ui-monospace, "DejaVu Sans Mono", monospace; color: var(--on); }
.kind.k0 { background: var(--strong0); } .kind.k1 { background: var(--strong1); } .kind.k2 { background: var(--strong2); }
.app { display: none; }
.runs .app { display: block; } .runs .plain { display: none; }
.tools { position: sticky; top: 0; z-index: 2; background: var(--ground); padding: 10px 0; display: flex; flex-wrap: wrap; gap: 10px; align-items: center; border-bottom: 1px solid var(--edge); }
input[type=search] { flex: 1 1 260px; min-width: 0; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: 8px; padding: 8px 12px; height: 40px; }
input::placeholder { color: var(--soft); opacity: 1; }
.group { display: inline-flex; gap: 6px; align-items: center; }
button { font: inherit; color: inherit; cursor: pointer; }
.toggle { background: transparent; border: 1px solid var(--edge); border-radius: 8px; height: 40px; padding: 0 12px; display: inline-flex; gap: 7px; align-items: center; color: var(--soft); }
.toggle[aria-pressed=true] { background: var(--paper); border-color: var(--soft); color: var(--text); }
.toggle[aria-pressed=false] .kind { background: none; color: var(--soft); box-shadow: inset 0 0 0 1px var(--soft); }
.toggle[aria-pressed=false] .word { text-decoration: line-through; }
.bar { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 8px 16px; margin: 12px 0 8px; }
.bar h2 { margin: 14px 0 0; } .bar .status { margin: 14px 0 0; }
.sizes .toggle { height: 32px; padding: 0 10px; font-size: 14px; }
.sizes .toggle .word { text-decoration: none; }
.bar > * { min-width: 0; max-width: 100%; overflow-wrap: anywhere; }
.crumbs { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; min-width: 0; }
.crumbs li { min-width: 0; max-width: 100%; }
.crumbs li + li::before { content: "/"; color: var(--soft); padding: 0 5px; }
.link { background: none; border: 0; padding: 2px 0; color: var(--link); text-align: left; overflow-wrap: anywhere; text-decoration: underline; text-underline-offset: 3px; text-decoration-thickness: 1px; }
.link[aria-current] { color: var(--text); font-weight: 600; text-decoration: none; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.map { position: relative; height: 420px; background: var(--paper); border: 1px solid var(--edge); border-radius: 10px; overflow: hidden; }
.tile { position: absolute; padding: 0; border: 0; border-radius: 4px; overflow: hidden; background: var(--frame); text-align: left; font-size: 13px; line-height: 18px; }
.tile:hover { filter: brightness(.96); }
.tile:focus-visible { outline-offset: -3px; outline-color: var(--text); z-index: 1; }
.cell, .inside, .part { position: absolute; overflow: hidden; }
.cell { border-radius: 3px; }
.frame { background: var(--frame); box-shadow: inset 0 0 0 1px var(--edge); }
.part.k0 { background: var(--k0); } .part.k1 { background: var(--k1); }
.part.k2 { background: repeating-linear-gradient(135deg, var(--k2) 0 7px, var(--hatch) 7px 9px); }
.label { position: absolute; top: 0; left: 0; right: 0; padding: 2px 7px 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; color: var(--text); }
.frame > .label { font-weight: 600; font-size: 12px; }
.label.second { top: 19px; padding-top: 0; font-size: 12px; }
.much { color: var(--soft); font-weight: 400; padding-left: 8px; }
.note { color: var(--soft); padding: 14px 18px; margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--soft); font-size: 13px; margin: 8px 0; padding: 0; list-style: none; }
.legend li { display: flex; gap: 7px; align-items: center; }
.legend .part { position: static; width: 18px; height: 14px; border-radius: 3px; }
summary { cursor: pointer; color: var(--link); padding: 6px 0; }
.scroll { overflow-x: auto; background: var(--paper); border: 1px solid var(--edge); border-radius: 10px; max-height: 480px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--edge); font-weight: 400; }
th[scope=row] { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9em; }
thead th { font-weight: 600; background: var(--frame); }
thead th:first-child { text-align: left; }
tbody tr:last-child > * { font-weight: 600; border-bottom: 0; }
.lines { position: relative; overflow: hidden; }
.list { --line: 32px; height: min(640px, 75vh); overflow-y: auto; overflow-x: hidden; background: var(--paper); border: 1px solid var(--edge); border-radius: 10px; }
.line { position: absolute; left: 0; right: 0; height: var(--line); padding: 0 14px; display: grid; grid-template-columns: 21px minmax(0, 3fr) minmax(0, 2fr) 76px; gap: 12px; align-items: center; border-bottom: 1px solid var(--edge); cursor: pointer; }
.line:hover { background: var(--hover); }
.line.active { background: var(--hover); box-shadow: inset 3px 0 0 var(--link); }
.path { display: flex; min-width: 0; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
.path bdi { overflow: hidden; text-overflow: ellipsis; white-space: pre; }
.path .above { color: var(--soft); flex: 0 1 auto; min-width: 2em; } .path .above:empty { display: none; }
.path .name { flex: 0 0 auto; max-width: 75%; } .path .above:empty + .name { max-width: 100%; }
.why { color: var(--soft); font-size: 13px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.size { text-align: right; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.status { color: var(--soft); font-size: 14px; margin: 0; }
dialog { width: min(720px, calc(100vw - 24px)); max-height: calc(100vh - 48px); padding: 20px 24px; color: var(--text); background: var(--paper); border: 1px solid var(--edge); border-radius: 12px; }
dialog::backdrop { background: #0008; }
dialog h2 { margin: 0 0 12px; font: 600 15px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
dialog dl { display: grid; grid-template-columns: minmax(7em, auto) 1fr; gap: 6px 16px; margin: 0 0 18px; font-size: 14px; }
dialog dt { color: var(--soft); } dialog dd { margin: 0; overflow-wrap: anywhere; }
dialog b { font-weight: 600; font-size: 12px; color: var(--soft); }
.plainbutton { background: transparent; border: 1px solid var(--soft); border-radius: 8px; height: 38px; padding: 0 14px; margin-right: 8px; }
footer { color: var(--soft); font-size: 13px; padding-top: 18px; padding-bottom: 32px; }
@media (max-width: 640px) {
  header, main, footer { padding-left: 12px; padding-right: 12px; }
  header { padding-top: 18px; }
  h1 { font-size: 20px; }
  .totals { gap: 8px; }
  .total { padding: 9px 10px; } .total dt { font-size: 13px; gap: 6px; } .total .count { font-size: 21px; } .total .bytes { font-size: 13px; }
  .tools { gap: 8px; } .tools .group { width: 100%; } .tools .toggle { flex: 1 1 0; justify-content: center; padding: 0 4px; font-size: 14px; }
  input[type=search] { flex-basis: 100%; font-size: 16px; }
  .map { height: 340px; }
  .list { --line: 54px; }
  .line { grid-template-columns: 21px minmax(0, 1fr) auto; grid-template-rows: 1fr 1fr; column-gap: 10px; row-gap: 0; padding: 5px 10px; }
  .line.bare { grid-template-rows: 1fr; } .line.bare .why { display: none; }
  .line:not(.bare) .kind { grid-row: 1 / 3; }
  .line .why { grid-column: 2 / 4; grid-row: 2; }
  dialog { padding: 16px; } dialog dl { grid-template-columns: 1fr; gap: 2px; } dialog dd { margin-bottom: 8px; }
}
@media (prefers-reduced-motion: no-preference) { .tile, .line, .toggle { transition: background-color .12s; } }
@media (forced-colors: active) { .tile, .cell, .kind { border: 1px solid; } .kind { line-height: 19px; } }
@media print { .tools, .sizes, dialog { display: none !important; } .list { height: auto; max-height: none; } }
"""

START = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="differ {version}">
<title>{lower} → {upper}: what differs</title>
"""

HEADER = """</head>
<body>
<header>
<p class="over">What differs between two trees</p>
<h1><bdi>{lower}</bdi><span class="to"> → </span><bdi>{upper}</bdi></h1>
</header>
"""

TOTAL = """<div class="total"><dt><span class="kind k{index}" aria-hidden="true">{letter}</span> {kind}</dt>
<dd class="count">{count}</dd>
<dd class="bytes" data-bytes="{bytes}">{shown} bytes</dd></div>
"""

TOOLS = """<div class="app">
<div class="tools">
<input type="search" id="query" placeholder="Search paths and reasons" aria-label="Search paths and reasons" autocomplete="off" spellcheck="false">
<div class="group" role="group" aria-label="Kinds shown">
<button type="button" class="toggle" data-kind="0" aria-pressed="true"><span class="kind k0" aria-hidden="true">A</span><span class="word">added</span></button>
<button type="button" class="toggle" data-kind="1" aria-pressed="true"><span class="kind k1" aria-hidden="true">M</span><span class="word">modified</span></button>
<button type="button" class="toggle" data-kind="2" aria-pressed="true"><span class="kind k2" aria-hidden="true">D</span><span class="word">removed</span></button>
</div>
</div>
<section aria-labelledby="by-directory">
<h2 id="by-directory">By directory</h2>
<div class="bar">
<nav aria-label="Directory"><ol class="crumbs" id="crumbs"></ol></nav>
<div class="group sizes" role="group" aria-label="The picture is sized by">
<button type="button" class="toggle" data-by="bytes" aria-pressed="true"><span class="word">Bytes</span></button>
<button type="button" class="toggle" data-by="changes" aria-pressed="false"><span class="word">Changes</span></button>
</div>
</div>
<div class="map" id="map" role="group" aria-label="Picture of the directories. Arrow keys move, Enter opens, Backspace goes up." ></div>
<p class="note" id="nothing" hidden></p>
<ul class="legend">
<li><span class="part k0"></span>A added</li><li><span class="part k1"></span>M modified</li><li><span class="part k2"></span>D removed</li>
<li>Area is size. Select a directory to open it.</li>
</ul>
<details><summary>The same as a table</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Figures by directory">
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Added</th><th scope="col">Bytes added</th><th scope="col">Modified</th><th scope="col">Bytes modified</th><th scope="col">Removed</th><th scope="col">Bytes removed</th></tr></thead>
<tbody id="figures"></tbody>
</table>
</div>
</details>
</section>
<section aria-labelledby="changes-list">
<div class="bar"><h2 id="changes-list">Changes</h2><p class="status" id="status" role="status"></p></div>
<div class="list" id="list" role="listbox" tabindex="0" aria-labelledby="changes-list"><div class="lines" id="lines" role="presentation"></div></div>
</section>
<dialog id="details" aria-labelledby="what">
<h2 id="what"></h2>
<dl id="facts"></dl>
<button type="button" class="plainbutton" id="close">Close</button><button type="button" class="plainbutton" id="where">Open its directory</button>
</dialog>
</div>
<p class="plain">The list, the search and the picture need JavaScript, which this page runs from itself alone. The changes
are in it as lines of JSON; <code>differ --report FILE.jsonl</code> writes those alone.</p>
</main>
<footer>Made by differ {version}, report schema {schema}. The page holds everything it shows and asks for nothing over a network.
Bytes are sizes of regular files: new ones, those that were modified as they are now, and removed ones, with what removed directories held.</footer>
"""
