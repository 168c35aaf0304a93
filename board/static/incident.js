// The page of an incident: shown anew when the stream names the incident.
import { setServerTime, watchCountdowns } from "./countdown.js";
import { follow } from "./stream.js";

const AT_ONCE_MS = 1000; // changes within it are loaded together
let timer;

const article = () => document.querySelector("article.incident-page");

async function load() {
  timer = undefined;
  const response = await fetch(location.href);
  if (!response.ok) return;
  const found = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = document.adoptNode(found.querySelector("article.incident-page"));
  article().replaceWith(fresh);
  htmx.process(fresh);
  setServerTime(Number(fresh.dataset.serverTime));
  watchCountdowns(fresh);
}

const schedule = () => (timer ??= setTimeout(load, AT_ONCE_MS / 2));

follow({
  changed: (ids) => ids.includes(article().dataset.id) && schedule(),
  resync: schedule,
});
