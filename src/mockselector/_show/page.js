"use strict";
// What a page does beyond being read: a row can be walked to by keys, or from the overview; rows can be searched.
(() => {
  const table = document.querySelector("table");
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  const events = rows.filter((row) => !row.classList.contains("note"));
  const marked = rows.filter((row) => row.matches(".bad, .proof, .differs"));
  const section = document.getElementById("events");
  const form = section.querySelector("form");
  const count = form.querySelector("output");
  let current = null;

  // Where each event is along the axes of the overview, by its number, in thousandths: as the overview has it.
  const axes = [...document.querySelectorAll(".axes > div")].map((element) => {
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.hidden = true;
    element.append(cursor);
    const places = element.dataset.at.split(" ").map(Number);
    const at = new Map();
    for (const range of element.dataset.of.split(" ")) {
      const [first, last] = range.split("-").map(Number);
      for (let one = first; one <= last; one++) at.set(one, places[at.size]);
    }
    return { element, cursor, at };
  });
  const number = (row) => (row.id.startsWith("e") ? Number(row.id.slice(1)) : 0);
  function nearest(wanted) {
    let best = events[0];
    for (const row of events) if (Math.abs(number(row) - wanted) < Math.abs(number(best) - wanted)) best = row;
    return best;
  }

  function go(row, focus = true) {
    if (!row) return;
    if (current) { current.classList.remove("current"); current.removeAttribute("tabindex"); }
    current = row;
    row.classList.add("current");
    row.tabIndex = -1;
    if (focus) row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    for (const { cursor, at } of axes) {
      cursor.hidden = !at.has(number(row));
      cursor.style.left = `${at.get(number(row)) / 10}%`;
    }
  }
  // The bytes of a row wait in its <noscript>, as text: they become elements when they are asked for.
  function toggle(button) {
    const kept = button.nextElementSibling;
    if (kept.localName === "noscript") {
      const box = document.createElement("div");
      box.className = "bytes";
      box.hidden = true;
      box.innerHTML = kept.textContent;
      box.querySelector("summary").remove();
      box.replaceChildren(...box.firstElementChild.childNodes);
      kept.replaceWith(box);
    }
    const box = button.nextElementSibling;
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
  }
  function next(among, step) {
    const shown = among.filter((row) => !row.hidden);
    if (!current) return step > 0 ? shown[0] : shown[shown.length - 1];
    const at = shown.indexOf(current);
    if (at >= 0) return shown[at + step];
    const after = (row) => current.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    return step > 0 ? shown.find(after) : shown.filter((row) => !after(row)).pop();
  }
  const keys = {
    ArrowDown: () => next(rows, 1), j: () => next(rows, 1), ArrowUp: () => next(rows, -1), k: () => next(rows, -1),
    n: () => next(marked, 1), p: () => next(marked, -1),
    Home: () => rows.find((row) => !row.hidden), End: () => rows.filter((row) => !row.hidden).pop(),
  };
  table.tabIndex = 0;
  table.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("pre")) return;
    if (event.key === "Enter" && event.target === current) {
      for (const button of current.querySelectorAll("button")) toggle(button);
      event.preventDefault();
    } else if (Object.hasOwn(keys, event.key)) {
      go(keys[event.key]());
      event.preventDefault();
    }
  });
  table.addEventListener("click", (event) => {
    const row = event.target.closest("tbody tr");
    const button = event.target.closest("button");
    if (button) toggle(button);
    else if (row && !event.target.closest(".bytes")) go(row, false);
  });
  for (const { element, at } of axes) {
    element.addEventListener("click", (event) => {
      const box = element.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 1000;
      let best = 1;
      let least = Infinity;
      for (const [one, place] of at) if (Math.abs(place - x) < least) [best, least] = [one, Math.abs(place - x)];
      go(nearest(best));
    });
  }
  window.addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row && row.matches("tr")) go(row);
  });

  // At first only those rows are laid out that are looked at. The others follow while nobody waits for anything else: a
  // screen reader has a row only then.
  const bodies = [...table.tBodies];
  const idle = window.requestIdleCallback ?? window.setTimeout;
  let scrolled = -Infinity;
  window.addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });
  function layOut() {
    if (performance.now() - scrolled < 300) {
      setTimeout(layOut, 300);
      return;
    }
    for (let rows = 0; bodies.length && rows < 40; ) {
      const body = bodies.shift();
      rows += body.rows.length;
      body.style.contentVisibility = "visible";
    }
    if (bodies.length) idle(layOut);
    else document.body.classList.add("whole");
  }
  window.addEventListener("load", () => idle(layOut));

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  const field = form.querySelector("input");
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    count.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
  });
})();
