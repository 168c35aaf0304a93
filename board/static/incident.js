// The page of an incident: shown anew when the stream names the incident.
import { setServerTime, watchCountdowns } from "./countdown.js";
import { follow, scheduled } from "./stream.js";

const AT_ONCE_MS = 500; // changes within it are loaded together

const article = () => document.querySelector("article.incident-page");

async function load() {
  const response = await fetch(location.href);
  if (response.status >= 500) throw new Error(`${location.href}: ${response.status}`);
  if (!response.ok) return;
  const found = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ["incident-head", "incident-detail"]) {
    const part = document.adoptNode(found.getElementById(id));
    document.getElementById(id).replaceWith(part);
    htmx.process(part);
  }
  document.getElementById("open-proposals")?.replaceWith(document.adoptNode(found.getElementById("open-proposals")));
  showActions(found.getElementById("actions"));
  setServerTime(Number(found.querySelector("article.incident-page").dataset.serverTime));
  watchCountdowns(article());
}

/** Offers what makes sense now. A form that is open stays as it is filled, and so does the last message. */
function showActions(offered) {
  const shown = document.getElementById("actions");
  if (shown?.querySelector("details[open]")) return;
  if (!offered || !shown) {
    shown?.remove();
    if (offered) document.getElementById("incident-head").after(document.adoptNode(offered));
  } else {
    offered.querySelector("#action-result").replaceWith(shown.querySelector("#action-result"));
    shown.replaceWith(document.adoptNode(offered));
  }
  const present = document.getElementById("actions");
  if (present) htmx.process(present);
}

/** The answer to a form takes its place: the keyboard goes on at what is to be corrected, or at the message. */
document.addEventListener("htmx:after:swap", () => {
  const section = document.getElementById("actions");
  if (!section || section.contains(document.activeElement)) return;
  const next = section.querySelector("[aria-invalid]") ?? section.querySelector("details[open] summary, summary");
  next?.focus();
});

const schedule = scheduled(load, AT_ONCE_MS);

follow({
  changed: (ids) => ids.includes(article().dataset.id) && schedule(AT_ONCE_MS),
  resync: () => schedule(AT_ONCE_MS),
});
