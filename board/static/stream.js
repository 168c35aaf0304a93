// The stream of changes: connects, connects again, and says in the header when the data are stale.

const STREAM = document.getElementById("stream");
const FRESHNESS = document.getElementById("freshness");
const STALE_MS = 10000; // the stream says every 2 s whether the read model is current
const AGAIN_MS = 2000;

let current = Date.now(); // when the data were current last
let connected; // undefined until the first answer

function clockTime(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString(document.documentElement.lang, {
    timeZone: document.documentElement.dataset.zone,
    hour12: false,
  });
}

function showFreshness() {
  const old = Date.now() - current > STALE_MS;
  const state = connected === false || old ? "stale" : connected ? "live" : "connecting";
  const text = FRESHNESS.dataset[state].replace("{time}", clockTime(current));
  if (FRESHNESS.textContent === text) return;
  FRESHNESS.dataset.state = state;
  FRESHNESS.textContent = text;
}

/** Every event says whether the read model is current, and if not when it was changed last. */
function noteFreshness({ current: isCurrent, since }) {
  connected = true; // the stream may have opened before this script listened
  if (isCurrent) current = Date.now();
  else if (since) current = Math.min(current, since);
  showFreshness();
}

/** htmx may have looked at the page before its extension for streams was there, so the element is processed again. */
function connect() {
  htmx.process(STREAM, true);
  htmx.trigger(STREAM, "follow");
}

function connectAgain() {
  connected = false;
  showFreshness();
  setTimeout(connect, AGAIN_MS);
}

/**
 * Gives a function that has `load` called soon: never twice at a time, so that the latest answer is the one that is
 * shown; once more where it was asked for meanwhile; `leastMs` after the call before; and again after it failed.
 */
export function scheduled(load, leastMs) {
  let timer;
  let asked = 0;
  let loading = false;
  let more = false;

  async function run() {
    timer = undefined;
    loading = true;
    more = false;
    asked = Date.now();
    let failed = false;
    try {
      await load();
    } catch (error) {
      console.warn(error);
      failed = true;
    }
    loading = false;
    if (failed) schedule(AGAIN_MS);
    else if (more) schedule();
  }

  function schedule(least = 0) {
    if (loading) more = true;
    else timer ??= setTimeout(run, Math.max(least, asked + leastMs - Date.now(), 0));
  }

  return schedule;
}

/** Calls `changed` with the ids of incidents that changed, and `resync` when any may have. */
export function follow({ changed, resync }) {
  STREAM.addEventListener("htmx:sse:after:connection", () => {
    const again = connected === false; // changes may have been missed
    connected = true;
    current = Date.now();
    showFreshness();
    if (again) resync();
  });
  STREAM.addEventListener("htmx:sse:error", () => {
    connected = false;
    showFreshness();
  });
  for (const name of ["htmx:sse:close", "htmx:error", "htmx:response:error"]) {
    STREAM.addEventListener(name, connectAgain);
  }
  STREAM.addEventListener("status", (event) => noteFreshness(JSON.parse(event.detail.data)));
  STREAM.addEventListener("change", (event) => {
    const data = JSON.parse(event.detail.data);
    noteFreshness(data);
    changed(data.incidents);
  });
  STREAM.addEventListener("resync", (event) => {
    noteFreshness(JSON.parse(event.detail.data));
    resync();
  });
  setInterval(showFreshness, 1000);
  connect();
}
