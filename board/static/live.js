// The live list: puts changed rows in their place as the stream names them.
import { setServerTime, now, watchCountdowns } from "./countdown.js";
import { follow, scheduled } from "./stream.js";

const AT_ONCE_MS = 1000; // changes within it are asked for together
const MOST_IDS = 500;
const SLICE = 50; // rows that one task puts in place
const MOST_ROWS = 600; // as many are on the page at most: the first ones make way for those that follow

let pending = new Set();
let everything = false;
const received = new Map(); // ids by when the stream named them last, the oldest first
let forgotten = 0; // what was named before this instant is no longer in `received`
const begun = new WeakMap(); // requests of htmx, by when they began

const list = () => document.getElementById("live");
const rows = () => document.getElementById("rows");

// ---- Changed rows

/** Whether row a stands before row b: by key, rows without one last, then by id. */
function before(a, b) {
  const [x, y] = [a.dataset.key, b.dataset.key];
  if (x === y) return a.dataset.id < b.dataset.id;
  if (x === "" || y === "") return y === "";
  return Number(x) < Number(y);
}

function place(row, present) {
  let low = 0;
  let high = present.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(present[middle], row)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const nextTask = () => new Promise((resolve) => setTimeout(resolve));

/** Removes the rows of `ids` and puts those of `changed` where they belong among the rows that are loaded. */
async function replaceRows(ids, changed) {
  const holder = rows();
  const byId = new Map(changed.map((row) => [row.dataset.id, row]));
  let present = [...holder.querySelectorAll("[data-row]")];
  const [first, last] = [present[0], present.at(-1)];
  const focused = document.activeElement?.closest?.("[data-row]")?.dataset.id;
  for (const row of present) {
    const id = row.dataset.id;
    if (!ids.has(id)) continue;
    const selected = row.hasAttribute("data-selected");
    if (selected && byId.has(id)) byId.get(id).setAttribute("data-selected", "");
    row.remove();
  }
  present = present.filter((row) => row.isConnected);
  const more = holder.querySelector("[data-more]");
  const trimmed = holder.querySelector("[data-first]");
  let placed = 0;
  for (const row of byId.values()) {
    // Before the first and behind the last row of the page there are others: it comes when those are loaded.
    if ((more && last && before(last, row)) || (trimmed && first && before(row, first))) continue;
    const index = place(row, present);
    holder.insertBefore(row, present[index] ?? more ?? null);
    present.splice(index, 0, row);
    row.classList.add("changed");
    htmx.process(row);
    watchCountdowns(row);
    if (row.dataset.id === focused) row.querySelector("a")?.focus({ preventScroll: true });
    if (++placed % SLICE === 0) await nextTask();
  }
}

/** What a request that posts must carry when somebody is signed in. */
function csrfHeader() {
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  return token ? { "X-CSRF-Token": token } : {};
}

async function fetchText(address, options) {
  const response = await fetch(address, { ...options, headers: { ...options?.headers, "HX-Request": "true" } });
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

async function loadChanged(ids) {
  const asking = list();
  const found = await fetchText(asking.dataset.changed, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...csrfHeader() },
    body: JSON.stringify({ ids: [...ids] }),
  });
  if (list() !== asking) return askAgain(ids); // the viewer chose another filter meanwhile
  const changed = found.getElementById("changed");
  setServerTime(Number(changed.dataset.serverTime));
  const changedRows = [...changed.querySelectorAll("[data-row]")].map((row) => document.adoptNode(row));
  if (changedRows.length && rows().hidden) return loadList();
  document.getElementById("counts").replaceWith(document.adoptNode(found.getElementById("counts")));
  await replaceRows(ids, changedRows);
  if (!rows().hidden && !rows().querySelector("[data-row]")) await loadList();
}

/** Loads the list again, as many rows as are shown now if they are not too many. */
async function loadList() {
  const asking = list();
  const shown = rows().querySelectorAll("[data-row]").length;
  const address = asking.dataset.list + (asking.dataset.list.includes("?") ? "&" : "?") + `rows=${Math.max(shown, 100)}`;
  const selected = rows().querySelector("[data-selected]")?.dataset.id;
  const found = await fetchText(address);
  if (list() !== asking) return askForEverything();
  const fresh = document.adoptNode(found.getElementById("live"));
  for (const row of fresh.querySelectorAll("[data-row]")) {
    if (row.dataset.id === selected) row.setAttribute("data-selected", "");
  }
  asking.replaceWith(fresh);
  htmx.process(fresh);
  setServerTime(Number(fresh.dataset.serverTime));
  watchCountdowns(fresh);
}

const schedule = scheduled(async () => {
  const ids = pending;
  const all = everything || ids.size > MOST_IDS;
  pending = new Set();
  everything = false;
  try {
    if (all) await loadList();
    else if (ids.size) await loadChanged(ids);
  } catch (error) {
    everything = true; // when the server is back
    throw error;
  }
}, AT_ONCE_MS);

function askAgain(ids) {
  for (const id of ids) pending.add(id);
  if (pending.size) schedule();
}

function askForEverything() {
  everything = true;
  schedule();
}

/** What changed while a request of htmx was under way: its answer may be older. */
function askForMissed(since) {
  if (since === undefined) return;
  if (since < forgotten) return askForEverything();
  askAgain([...received].filter(([, at]) => at >= since).map(([id]) => id));
}

/** Takes the first rows away when there are too many, and leaves a link that leads back to them. */
function trim(all) {
  if (all.length <= MOST_ROWS) return;
  const holder = rows();
  for (const row of all.slice(0, all.length - MOST_ROWS)) row.remove();
  if (holder.querySelector("[data-first]")) return;
  const first = document.getElementById("first-rows").content.cloneNode(true);
  first.querySelector("a").href = list().dataset.list;
  holder.prepend(first);
}

document.addEventListener("htmx:before:request", ({ detail }) => begun.set(detail.ctx, Date.now()));
document.addEventListener("htmx:after:swap", ({ detail }) => {
  // A page of the list that follows may have a row that a change has already put in place.
  const seen = new Set();
  const all = [];
  for (const row of rows()?.querySelectorAll("[data-row]") ?? []) {
    if (seen.has(row.dataset.id)) row.remove();
    else all.push(row);
    seen.add(row.dataset.id);
  }
  trim(all);
  const sent = Number(list()?.dataset.serverTime);
  if (sent && Math.abs(sent - now()) > 5000) setServerTime(sent);
  askForMissed(begun.get(detail.ctx));
});

follow({
  changed(ids) {
    for (const id of ids) {
      received.delete(id);
      received.set(id, Date.now());
    }
    for (const [id, at] of received) {
      if (received.size <= MOST_IDS) break;
      received.delete(id);
      forgotten = at + 1;
    }
    askAgain(ids);
  },
  resync() {
    forgotten = Date.now() + 1;
    askForEverything();
  },
});
