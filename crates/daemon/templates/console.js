// Keeps pictures and the log fresh. Every page works without it.
"use strict";

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("standin", { createHTML: (text) => text })
  : { createHTML: (text) => text };
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

// Makes `old` what `fresh` is, and leaves alone what is the same: focus, selection and opened details stay.
function become(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  children(old, fresh);
}

function children(old, fresh) {
  const named = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  let here = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = wanted.id ? named.get(wanted.id) : here;
    const fits = found && !(found.id && found.id !== wanted.id) && found.nodeName === wanted.nodeName;
    if (!fits) {
      old.insertBefore(wanted, here);
      continue;
    }
    if (found === here) here = here.nextSibling;
    else old.insertBefore(found, here);
    if (found.nodeType === Node.ELEMENT_NODE) become(found, wanted);
    else if (found.nodeValue !== wanted.nodeValue) found.nodeValue = wanted.nodeValue;
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function places(root) {
  return new Map([...root.querySelectorAll("[data-chip]")].map((chip) => [chip.dataset.chip, chip.getBoundingClientRect()]));
}

// What has moved is seen to move.
function show(root, text) {
  const before = places(root);
  const fresh = new DOMParser().parseFromString(policy.createHTML("<div>" + text + "</div>"), "text/html").body.firstChild;
  children(root, fresh);
  if (calm.matches) return;
  for (const chip of root.querySelectorAll("[data-chip]")) {
    const from = before.get(chip.dataset.chip);
    if (!from) continue;
    const to = chip.getBoundingClientRect();
    const [x, y] = [from.left - to.left, from.top - to.top];
    if (x || y) {
      chip.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 240, easing: "ease-out" });
    }
  }
}

// A server that is cut off says nothing at all: silence counts as an interruption, and is tried anew.
const SILENCE = 12000;
function attend(address, told) {
  const notice = document.getElementById("connection");
  let events;
  let heard;
  const hear = () => {
    heard = Date.now();
    notice.hidden = true;
  };
  const listen = () => {
    if (events) events.close();
    heard = Date.now();
    events = new EventSource(address());
    events.addEventListener("open", hear);
    events.addEventListener("alive", hear);
    events.addEventListener("error", () => { notice.hidden = false; });
    events.addEventListener("over", () => window.location.reload());
    for (const [kind, tell] of Object.entries(told)) {
      events.addEventListener(kind, (event) => {
        hear();
        tell(event);
      });
    }
  };
  listen();
  setInterval(() => {
    if (Date.now() - heard < SILENCE) return;
    notice.hidden = false;
    listen();
  }, 1000);
}

const live = document.getElementById("live");
if (live) {
  const title = document.title;
  attend(() => live.dataset.live, {
    picture: (event) => {
      show(live, event.data);
      document.title = (live.querySelector("#complaints") ? "! " : "") + title;
    },
  });
}

// The log, followed: what comes in stands above, what has come before is known again, and the page does not grow.
const rows = document.querySelector("[data-follow]");
if (rows) {
  const address = new URL(rows.dataset.follow, window.location);
  const missed = document.getElementById("missed");
  const most = Number(rows.dataset.most);
  attend(() => address.href, {
    rows: (event) => {
      address.searchParams.set("from", event.lastEventId);
      const text = policy.createHTML("<table><tbody>" + event.data + "</tbody></table>");
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelectorAll("tr");
      rows.prepend(...[...fresh].filter((row) => !row.id || !document.getElementById(row.id)));
      while (rows.children.length > most) rows.lastElementChild.remove();
    },
    missed: (event) => {
      address.searchParams.set("from", event.lastEventId);
      missed.hidden = false;
    },
  });
}

// A mistake's place in the text of a zone.
for (const link of document.querySelectorAll("a[data-line]")) {
  link.addEventListener("click", (event) => {
    const text = document.getElementById("text");
    event.preventDefault();
    const lines = text.value.split("\n");
    const index = Number(link.dataset.line) - 1;
    const begin = lines.slice(0, index).reduce((sum, line) => sum + line.length + 1, 0);
    text.focus();
    text.setSelectionRange(begin, begin + (lines[index] || "").length);
    text.scrollTop = Math.max(0, (text.scrollHeight / lines.length) * (index - 4));
  });
}
