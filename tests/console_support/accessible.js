// What WCAG 2.2 AA asks and a page can be asked for: every finding is a line. The stand-in for axe, of which there is no package.
const found = [];
const where = (one) => one.tagName.toLowerCase() + (one.id ? "#" + one.id : "") + (one.className && one.className.baseVal === undefined ? "." + one.className.split(" ").join(".") : "");
const shown = (one) => one.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) && one.getClientRects().length > 0;
const words = (one) => (one.textContent || "").replace(/\s+/g, " ").trim();
function name(one) {
  const by = one.getAttribute("aria-labelledby");
  if (by) return by.split(/\s+/).map((id) => words(document.getElementById(id) || document.createElement("i"))).join(" ").trim();
  if (one.getAttribute("aria-label")) return one.getAttribute("aria-label").trim();
  if (one.labels && one.labels.length) return [...one.labels].map(words).join(" ").trim();
  return words(one) || (one.getAttribute("title") || "").trim();
}
// 3.1.1, 2.4.2, 1.3.1, 2.4.1
if (!document.documentElement.lang) found.push("the page has no language");
if (!document.title.trim()) found.push("the page has no title");
for (const landmark of ["main", "header"]) if (document.querySelectorAll("body > " + landmark).length !== 1) found.push("not one " + landmark);
const first = document.querySelector("a[href], button, input");
if (!first || first.getAttribute("href") !== "#main") found.push("the first stop of the keyboard does not skip to the page");
for (const nav of document.querySelectorAll("nav, [role=region]")) if (!name(nav)) found.push("a landmark without a name: " + where(nav));
// Headings: one first, none left out.
const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(shown);
if (headings.filter((one) => one.tagName === "H1").length !== 1) found.push("not one h1");
headings.reduce((before, one) => {
  const level = Number(one.tagName[1]);
  if (level > before + 1) found.push("a heading leaves out a level: " + words(one));
  if (!words(one)) found.push("an empty heading: " + where(one));
  return level;
}, 0);
// 4.1.1, and references
const ids = new Set();
for (const one of document.querySelectorAll("[id]")) {
  if (ids.has(one.id)) found.push("twice: #" + one.id);
  ids.add(one.id);
}
for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
  for (const one of document.querySelectorAll("[" + attribute + "]")) {
    for (const id of one.getAttribute(attribute).split(/\s+/)) if (!ids.has(id)) found.push(attribute + " leads nowhere: " + id);
  }
}
// 1.3.1, 3.3.2, 4.1.2: what is used has a name
for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea, meter")) {
  if (!name(one) || (one.tagName !== "METER" && one.labels.length === 0)) found.push("without a label: " + where(one));
}
for (const one of document.querySelectorAll("a[href], button, summary")) if (!name(one)) found.push("without a name: " + where(one));
const links = new Map();
for (const one of [...document.querySelectorAll("main a[href], main button")].filter(shown)) {
  const to = one.href || (one.form && [...new FormData(one.form)].filter(([key]) => key !== "token").join());
  if (links.has(name(one)) && links.get(name(one)) !== to) found.push("two things of one name: " + name(one));
  links.set(name(one), to);
}
for (const one of document.querySelectorAll("img, svg")) if (!one.getAttribute("alt") && one.getAttribute("aria-hidden") !== "true" && one.getAttribute("role") !== "img") found.push("a picture without words: " + where(one));
for (const one of document.querySelectorAll("table")) {
  if ([...one.querySelectorAll("th")].some((head) => !head.scope)) found.push("a head without a scope: " + where(one));
  if (!one.querySelector("th")) found.push("a table without heads: " + where(one));
}
for (const one of document.querySelectorAll("[tabindex]")) if (one.tabIndex > 0) found.push("an order of its own: " + where(one));
// 2.1.1: what scrolls can be reached by the keyboard
for (const one of document.querySelectorAll("*")) {
  const style = getComputedStyle(one);
  const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY) && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1);
  if (scrolls && shown(one) && one.tabIndex < 0 && !one.querySelector("a, button, input, [tabindex]")) found.push("scrolls by the mouse alone: " + where(one));
}
// 1.4.10: no page is wider than the window
if (document.documentElement.scrollWidth > document.documentElement.clientWidth) found.push("wider than the window: " + document.documentElement.scrollWidth);
// 2.5.8: targets, but for those within a line of text
for (const one of [...document.querySelectorAll("button, .button, select, input:not([type=hidden]), summary, nav a")].filter(shown)) {
  const box = one.getBoundingClientRect();
  if (box.width > 1 && (box.height < 24 || box.width < 24)) found.push("too small a target: " + where(one) + " " + Math.round(box.width) + "x" + Math.round(box.height));
}
// 1.4.3: contrast, as computed
function colour(text) {
  const parts = text.match(/[\d.]+/g).map(Number);
  return parts.length < 4 ? [...parts.slice(0, 3), 1] : parts;
}
const over = (top, ground) => [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
function ground(one) {
  const layers = [];
  for (let at = one; at; at = at.parentElement) {
    const layer = colour(getComputedStyle(at).backgroundColor);
    layers.push(layer);
    if (layer[3] === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
}
function light([r, g, b]) {
  const [x, y, z] = [r, g, b].map((part) => { const c = part / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function ratio(a, b) {
  const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}
let compared = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  if (!walker.currentNode.nodeValue.trim() || seen.has(one) || !shown(one) || one.closest("option, meter")) continue;
  seen.add(one);
  const style = getComputedStyle(one);
  const below = ground(one);
  const size = parseFloat(style.fontSize);
  const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
  const is = ratio(over(colour(style.color), below), below);
  compared += 1;
  if (is < least) found.push("contrast " + is.toFixed(2) + ": " + where(one) + " " + words(one).slice(0, 40));
}
// 1.4.11: the edges of what is typed into
for (const one of [...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter(shown)) {
  const is = ratio(colour(getComputedStyle(one).borderTopColor), ground(one.parentElement));
  if (is < 3) found.push("an edge of " + is.toFixed(2) + ": " + where(one));
}
if (compared < 8) found.push("hardly any text was looked at: " + compared);
return found;
