"use strict";
// What the reader chose outlives a reload in the same tab.
const memory = (() => {
  const key = "scalestudy " + location.pathname;
  let kept = {};
  try { kept = JSON.parse(sessionStorage.getItem(key)) || {}; } catch { /* no storage: nothing is kept */ }
  return {
    get: (name) => kept[name],
    set: (name, value) => {
      kept[name] = value;
      try { sessionStorage.setItem(key, JSON.stringify(kept)); } catch { /* as above */ }
    },
  };
})();

// A page of an unfinished study says how old it is; one that is written again is loaded again.
(() => {
  for (const [place, one] of [...document.querySelectorAll("details")].entries()) {
    const name = "open " + (one.closest("section") || {}).id + " " + place;
    if (memory.get(name) !== undefined) one.open = memory.get(name);
    one.addEventListener("toggle", () => memory.set(name, one.open));
  }
  // A link to a folded section, or to something inside it, opens it.
  const reveal = () => {
    const goal = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = goal && goal.closest("details");
    if (fold && !fold.open) { fold.open = true; goal.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) links.get(entry.target.id).classList.toggle("here", entry.isIntersecting);
  }, { rootMargin: "0px 0px -60% 0px" });
  for (const id of links.keys()) if (document.getElementById(id)) seen.observe(document.getElementById(id));
  const age = document.getElementById("age");
  if (!age) return;
  const written = Number(age.dataset.written), refresh = Number(age.dataset.refresh || 0);
  const loaded = Date.now();
  const ago = (seconds) => seconds < 100 ? Math.round(seconds) + " s" : seconds < 6000 ? Math.round(seconds / 60) + " min" : (seconds / 3600).toFixed(1) + " h";
  const show = () => {
    const parts = [", " + ago(Math.max(0, Date.now() / 1000 - written)) + " ago"];
    if (refresh) parts.push("looks for a newer page every " + ago(refresh));
    age.textContent = parts.join("; ");
  };
  const busy = () => document.activeElement && document.activeElement.matches("select, input");
  const tick = () => {
    show();
    // A menu that is open must not vanish under the reader's hand.
    if (refresh && !document.hidden && !busy() && Date.now() - loaded >= 1000 * refresh) location.reload();
  };
  show();
  setInterval(tick, 1000);
  addEventListener("pagehide", () => memory.set("scroll", scrollY));
  const scroll = memory.get("scroll");
  const type = (performance.getEntriesByType("navigation")[0] || {}).type;
  if (scroll && type === "reload") {
    history.scrollRestoration = "manual";
    // Charts below are drawn after this and make the page as long as it was.
    const settle = () => scrollTo(0, scroll);
    addEventListener("load", () => { settle(); setTimeout(settle, 400); });
  }
})();
